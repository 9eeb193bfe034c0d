"""What the rules of the regexp table make of an address, told by Postfix itself and remembered.

`postmap -q -` answers only when its input ends: one process for each request with an address that
was not looked up since the table was changed (10 ms). An address for which the patterns take too
long has its process killed at the end of the request; the others don't wait for it. An address
without the literals that the patterns require has no process (`pattern_literals`).
"""

import asyncio
from collections.abc import Iterable

from mailroster.base.layout import Layout
from mailroster.daemons.policy.pattern_literals import PatternLiterals
from mailroster.servers.patterns import results_of
from mailroster.system.files import ABSENT, Identity, identity, read
from mailroster.system.programs import program

#: How many answers are kept.
_KNOWN = 20_000
#: Processes at a time; requests beyond wait, and have no opinion when their time is over.
_AT_ONCE = 4


class Patterns:
    """The regexp table of an instance."""

    def __init__(self, layout: Layout) -> None:
        self._path, self._config = layout.table("regexp"), layout.postmap
        self._seen: Identity = ABSENT
        self._known: dict[str, str | None] = {}
        self._wanted: set[str] = set()  # asked for and not known
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._literals = PatternLiterals("")

    def look(self) -> Identity:
        """Forgets what is known if the table is another; gives which one it is."""
        found = identity(self._path)
        if found != self._seen:
            self._seen = found
            self._known.clear()
            text = read(self._path).decode("utf-8", "surrogateescape")
            self._literals = PatternLiterals(text)
        return found

    def captured(self, address: str) -> str | None:
        """`Router.captured`, as far as it is known: else None, and the address is wanted."""
        if address not in self._known and self._literals.may_match(address):
            self._wanted.add(address)
        return self._known.get(address)

    def wanted(self) -> set[str]:
        """What was asked for in vain since this was called last."""
        wanted, self._wanted = self._wanted, set()
        return wanted

    async def learn(self, addresses: Iterable[str]) -> None:
        """Finds out about some addresses. Raises OSError if Postfix does not tell."""
        missing = [a for a in addresses if a not in self._known]
        async with self._turn:
            missing = [a for a in missing if a not in self._known]
            if not missing:
                return
            seen = self._seen
            results = await self._ask(missing)
            if seen != self._seen:
                return  # the table has changed meanwhile
            if len(self._known) > _KNOWN:
                self._known.clear()
            self._known.update((address, results.get(address)) for address in missing)

    async def _ask(self, addresses: list[str]) -> dict[str, str]:
        postmap = program("postmap")
        if postmap is None:
            raise OSError("there is no postmap")
        pipe, quiet = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        argv = (postmap, "-c", self._config, "-q", "-", f"pcre:{self._path}")
        process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, stderr=quiet)
        asked = "".join(f"{address}\n" for address in addresses)
        try:
            out, _ = await process.communicate(asked.encode("utf-8", "surrogateescape"))
        except BaseException:
            if process.returncode is None:
                process.kill()
                await process.wait()
            raise
        if process.returncode not in (0, 1):  # 1 is "not found"
            raise OSError(f"postmap ended with {process.returncode}")
        return results_of(out.decode("utf-8", "surrogateescape"), addresses)
