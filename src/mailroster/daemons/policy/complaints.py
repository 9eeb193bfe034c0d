"""The log of the policy service: one line for each kind of trouble, at most once a minute."""

import sys
import time

_REPEAT_S = 60.0
#: So many kinds of trouble are remembered.
_KINDS_MAX = 100


class Complaints:
    """The troubles that were logged in the last minute."""

    def __init__(self) -> None:
        self._logged_s: dict[str, float] = {}

    def log(self, text: str) -> None:
        """Logs a line, unless it was logged in the last minute. A full disk is ignored."""
        now = time.monotonic()
        if now - self._logged_s.get(text, -_REPEAT_S) < _REPEAT_S:
            return
        if len(self._logged_s) > _KINDS_MAX:
            self._logged_s.clear()
        self._logged_s[text] = now
        try:
            print(f"{time.strftime('%b %d %H:%M:%S')} policy: {text}", file=sys.stderr, flush=True)
        except OSError:
            pass
