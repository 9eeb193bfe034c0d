"""Attacks by a person who can push files into the config folder."""
