"""What the system refused, in words."""

from mailroster.system.files import reason, remedy


def words_of(error: OSError) -> str:
    """On which path it was refused and why, and what to do."""
    return f"{error.filename}: {reason(error)}" if error.filename else f"{error}{remedy(error)}"
