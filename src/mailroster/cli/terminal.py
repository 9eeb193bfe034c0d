"""The capabilities of the terminal. `TERM=dumb` (terminfo) means no cursor movement and no colours,
`NO_COLOR` (no-color.org) no colours."""

import os
from typing import TextIO


def is_capable(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal that understands escape sequences."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def has_colour(stream: TextIO | None) -> bool:
    """Whether a stream gets colours and bold text."""
    return is_capable(stream) and not os.environ.get("NO_COLOR")
