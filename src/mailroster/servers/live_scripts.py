"""The Sieve scripts that Dovecot runs: copies below `sieve/` in the state folder, each with its
binary beside it."""

import os
import time
from collections.abc import Mapping

from mailroster.base.layout import Layout
from mailroster.roster.formats.sieve import AFTER, BEFORE
from mailroster.servers.sievec import binary, compile_scripts
from mailroster.system.files import Disk, read

#: Scripts are dated back by this: Dovecot uses a binary only if it is newer than its script.
OLDER_S = 10


class LiveScripts:
    """The scripts in force of one instance, by name: `before`, `after` or an address."""

    def __init__(self, layout: Layout) -> None:
        self._layout, self._disk = layout, Disk()

    def names(self) -> set[str]:
        names = set()
        for folder in (self._layout.sieve, self._layout.sieve_accounts):
            if os.path.isdir(folder):
                names |= {name[:-6] for name in os.listdir(folder) if name.endswith(".sieve")}
        return names

    def path(self, name: str) -> str:
        is_common = name in (BEFORE, AFTER)
        folder = self._layout.sieve if is_common else self._layout.sieve_accounts
        return os.path.join(folder, f"{name}.sieve")

    def has(self, name: str, text: bytes | None) -> bool:
        """Whether a script is in force with this text."""
        path = self.path(name)
        return text == read(path) and os.path.exists(path)

    def has_binary(self, name: str) -> bool:
        return os.path.exists(binary(self.path(name)))

    def activate(self, texts: Mapping[str, bytes], dovecot_conf: str) -> None:
        """Writes and compiles valid scripts. Raises OSError, ServerError."""
        group = os.stat(self._layout.sieve).st_gid
        for name, text in texts.items():
            if not self.has(name, text):
                # Dovecot would run an old binary with any text; without one it compiles itself.
                path = self.path(name)
                self._remove(binary(path))
                mtime_s = int(time.time()) - OLDER_S
                self._disk.replace(path, text, mode=0o640, group=group, mtime_s=mtime_s)
        compile_scripts([self.path(name) for name in texts], dovecot_conf)

    def remove(self, name: str) -> None:
        """Takes a script out of force. Raises OSError."""
        path = self.path(name)
        for file in (path, binary(path)):
            self._remove(file)

    def _remove(self, file: str) -> None:
        if os.path.exists(file):
            self._disk.remove(file)
