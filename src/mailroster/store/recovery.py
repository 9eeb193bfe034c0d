"""Recovery: completes or rolls back an edit that a crash cut short. The next edit does it; commands
that only read see the edit as completed (store/leftovers.py)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mailroster.base.findings import Refused, TryAgain
from mailroster.store.errors import SetAside, words_of
from mailroster.store.journal import Journal
from mailroster.store.leftovers import (
    NOTHING,
    Foreign,
    Leftovers,
    PendingEdit,
    Unreadable,
    Untrusted,
)
from mailroster.store.links import ConfigFolder, Target
from mailroster.store.staging import Staging
from mailroster.system.files import ABSENT, NO_RIGHT, Disk

if TYPE_CHECKING:
    from mailroster.store.append import Append
    from mailroster.store.history.log import History


class Recovery:
    """The recovery of one folder."""

    def __init__(
        self,
        config: ConfigFolder,
        disk: Disk,
        leftovers: Leftovers,
        journal: Journal,
        staging: Staging,
    ) -> None:
        self._folder, self._config, self._disk = config.path, config, disk
        self._leftovers, self._journal, self._staging = leftovers, journal, staging

    def pending(self) -> PendingEdit:
        """The edit that `recover` would complete, for commands that only read. Costs one lstat if
        there is no journal. Raises TryAgain for an edit that we may not read."""
        if not self._journal.exists():
            return NOTHING._replace(seen={self._journal.path: ABSENT})
        try:
            return self._leftovers.pending_edit()
        except Untrusted:
            return NOTHING
        except OSError as error:
            raise self._cut_short(error) from error

    def content(self, file: str, pending: PendingEdit) -> bytes:
        """The content of a file once an edit is completed. Raises OSError."""
        if file in pending.staged:
            return pending.staged[file]
        if pending.append is not None and pending.append.file == file:
            content = self._leftovers.appended(pending.append)
            if content is not None:
                return content
        return self._config.read(file)

    def is_needed(self) -> bool:
        """Whether there is a journal or a staged file: an edit is under way or was cut short."""
        return any(self._staging.debris())

    def recover(self, history: "History") -> None:
        """Completes or rolls back an edit that a crash cut short; the caller holds the lock of the
        folder.

        Raises Refused if its files belong to a user who may not write the folder, and SetAside if
        another program has written the same files since.
        """
        try:
            set_aside = self._finish()
            self._staging.sweep()
            history.recover()
        except Foreign as error:
            raise Refused(
                f"{words_of(error, self._folder)}, who may not write {self._folder}; look at the "
                f"files {self._folder}/.*mailroster-*, then remove them"
            ) from error
        except IsADirectoryError as error:
            raise Refused(
                f"{words_of(error, self._folder)}, but should be a file; remove it"
            ) from error
        except OSError as error:
            if error.errno in NO_RIGHT and not self._journal.exists():
                return  # no edit was committed: readers see the right content
            raise self._cut_short(error) from error
        if set_aside:
            raise SetAside.of(set_aside)

    def _finish(self) -> Sequence[str]:
        """Completes the edit of the journal. Returns the files that another program has written
        since."""
        if not self._journal.exists():
            return ()
        try:
            pending = self._leftovers.pending_edit()
        except (Foreign, Unreadable):
            raise
        except Untrusted:
            return ()  # not written by us: it is removed
        if pending.append:
            self._finish_append(pending.append)
        for file in pending.set_aside:
            self._staging.set_aside(file)
        if pending.staged or pending.set_aside:
            self._staging.install(list(pending.staged))
        return pending.set_aside

    def _finish_append(self, append: "Append") -> None:
        """Completes an append that was cut short, unless another program wrote to the file."""
        if self._leftovers.appended(append) is None:
            return
        size = append.size + len(append.lines)
        with Target(self._config, append.file) as path:
            self._disk.patch(path, (), [(append.size, append.lines)], size, sync=True)

    def _cut_short(self, error: OSError) -> TryAgain:
        return TryAgain(
            f"{words_of(error, self._folder)}; an edit of {self._folder} was cut short: the next "
            "edit by a user who may write there completes it"
        )
