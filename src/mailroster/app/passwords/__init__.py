"""Passwords: hashes them, verifies them, and checks them against the policy."""
