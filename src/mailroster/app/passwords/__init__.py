"""Passwords: hashed, verified, and judged by the policy."""
