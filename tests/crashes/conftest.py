"""Crash tests look at a folder thousands of times, and no other process edits it meanwhile."""

import pytest

from mailroster.store import config_folder


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that sees an unfinished edit looks again at once: nobody will finish it."""
    monkeypatch.setattr(config_folder, "_PAUSE_S", 0.0)
