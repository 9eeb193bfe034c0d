"""Compilers: what each server's tables hold, as pure functions of the roster."""
