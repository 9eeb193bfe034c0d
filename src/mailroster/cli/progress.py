"""A bar on a terminal, while something takes its time."""

import sys
import time
from types import TracebackType

from mailroster.cli.terminal import is_capable

_WIDTH = 30
#: What takes less than this needs no bar.
_PATIENCE_S = 0.5
_CLEAR_LINE = "\r\x1b[K"


class Bar:
    """For a `with` block. Told how much of the whole is done, it draws itself on standard error if
    that is a terminal; at the end, Ctrl-C included, it is gone."""

    def __init__(self, whole: int, what: str) -> None:
        self._whole, self._what = whole, what
        self._terminal = is_capable(sys.stderr)
        self._since = time.monotonic()
        self._drawn = False

    def __enter__(self) -> "Bar":
        return self

    def __call__(self, done: int) -> None:
        if self._terminal and time.monotonic() - self._since > _PATIENCE_S:
            full = _WIDTH * done // max(self._whole, 1)
            bar = "#" * full + "." * (_WIDTH - full)
            self._draw(f"\r[{bar}] {done} of {self._whole} {self._what}")
            self._drawn = True

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
