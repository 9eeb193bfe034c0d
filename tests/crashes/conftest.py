"""Crash tests look at a folder thousands of times, and no other process edits it meanwhile."""

import pytest

from mailroster.store import config_folder, reader


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that sees an unfinished edit looks again at once: nobody will finish it."""
    for module in (reader, config_folder):
        monkeypatch.setattr(module, "PAUSE_S", 0.0)
