"""A progress bar on the terminal."""

import sys
import time
from types import TracebackType

from mailroster.cli.terminal import is_capable

_WIDTH = 30
#: Shorter work gets no bar.
_DELAY_S = 0.5
_CLEAR_LINE = "\r\x1b[K"


class Bar:
    """A context manager. Each call with the count of finished items redraws the bar on standard
    error, if that is a terminal. The end of the block, Ctrl-C included, clears it."""

    def __init__(self, total: int, noun: str) -> None:
        self._total, self._noun = total, noun
        self._terminal = is_capable(sys.stderr)
        self._since = time.monotonic()
        self._drawn = False

    def __enter__(self) -> "Bar":
        return self

    def __call__(self, done: int) -> None:
        if self._terminal and time.monotonic() - self._since > _DELAY_S:
            full = _WIDTH * done // max(self._total, 1)
            bar = "#" * full + "." * (_WIDTH - full)
            self._drawn = True  # before the first drawing: Ctrl-C may come in the middle of it
            self._draw(f"\r[{bar}] {done} of {self._total} {self._noun}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._drawn:
            self._draw(_CLEAR_LINE)

    def _draw(self, text: str) -> None:
        print(text, end="", file=sys.stderr, flush=True)
