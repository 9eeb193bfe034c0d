"""Describes errors of the system for people."""

from mailroster.system.files import reason, remedy


def describe(error: OSError) -> str:
    """The path, the reason, and what to do."""
    return f"{error.filename}: {reason(error)}" if error.filename else f"{error}{remedy(error)}"
