"""The results of the regexp table for addresses, evaluated by Postfix itself and cached.

`postmap -q -` answers only when its input ends. So each request with an address that was not looked
up since the table changed runs a process (10 ms). If the patterns take too long for an address, its
process is killed at the end of the request; other requests do not wait for it. An address without
the literals that the patterns require needs no process (`pattern_literals`).
"""

import asyncio
from collections.abc import Iterable

from mailroster.base.layout import Layout
from mailroster.daemons.policy.pattern_literals import PatternLiterals
from mailroster.servers.patterns import results_of
from mailroster.system.files import ABSENT, Identity, identity, read
from mailroster.system.programs import program

#: The cache is emptied when it has so many results.
_RESULTS_MAX = 20_000
#: The number of processes at a time. Further requests wait; after ANSWER_S their answer is DUNNO.
_AT_ONCE = 4


class PatternCache:
    """The cached results of the regexp table of an instance."""

    def __init__(self, layout: Layout) -> None:
        self._path, self._config = layout.table("regexp"), layout.postmap
        self._table: Identity = ABSENT  # that the results are of
        self._results: dict[str, str | None] = {}
        self._missing: set[str] = set()
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._literals = PatternLiterals("")

    def refresh(self) -> Identity:
        """Empties the cache if the table has changed. Returns the identity of the table."""
        table = identity(self._path)
        if table != self._table:
            self._table = table
            self._results.clear()
            text = read(self._path).decode("utf-8", "surrogateescape")
            self._literals = PatternLiterals(text)
        return table

    def captured(self, address: str) -> str | None:
        """The result for `Router.captured`; None if there is none, or it is not cached: then the
        address is missing."""
        if address not in self._results and self._literals.may_match(address):
            self._missing.add(address)
        return self._results.get(address)

    def pop_missing(self) -> set[str]:
        """The addresses whose results were missing since the last call."""
        missing, self._missing = self._missing, set()
        return missing

    async def fetch(self, addresses: Iterable[str]) -> None:
        """Caches the results for some addresses. Raises OSError if Postfix does not answer."""
        missing = [a for a in addresses if a not in self._results]
        async with self._turn:
            missing = [a for a in missing if a not in self._results]
            if not missing:
                return
            table = self._table
            results = await self._query(missing)
            if table != self._table:
                return  # the table has changed meanwhile
            if len(self._results) > _RESULTS_MAX:
                self._results.clear()
            self._results.update((address, results.get(address)) for address in missing)

    async def _query(self, addresses: list[str]) -> dict[str, str]:
        postmap = program("postmap")
        if postmap is None:
            raise OSError("the program postmap is missing")
        pipe, quiet = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        argv = (postmap, "-c", self._config, "-q", "-", f"pcre:{self._path}")
        process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, stderr=quiet)
        keys = "".join(f"{address}\n" for address in addresses)
        try:
            out, _ = await process.communicate(keys.encode("utf-8", "surrogateescape"))
        except BaseException:
            if process.returncode is None:
                process.kill()
                await process.wait()
            raise
        if process.returncode not in (0, 1):  # 1: no result
            raise OSError(f"postmap ended with {process.returncode}")
        return results_of(out.decode("utf-8", "surrogateescape"), addresses)
