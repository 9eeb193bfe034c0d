"""Attacks by a person with an ordinary login on the machine."""
