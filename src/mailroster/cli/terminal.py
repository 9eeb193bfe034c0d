"""What the terminal can show. `TERM=dumb` (terminfo: no cursor movement, no colours) gets plain
text; so does no colour with `NO_COLOR` (no-color.org)."""

import os
from typing import TextIO


def is_capable(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal that understands escape sequences."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def has_colour(stream: TextIO | None) -> bool:
    """Whether to write in colours and bold to a stream."""
    return is_capable(stream) and not os.environ.get("NO_COLOR")
