"""Attacks by clients on the network."""
