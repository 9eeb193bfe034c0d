"""A roster in, a roster out: one function for each edit that a user may ask for."""
