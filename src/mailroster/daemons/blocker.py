"""Blocks clients that guess passwords, from the reports of logins (mailroster.daemons.guesses
decides, mailroster.publish.block_table is what Dovecot reads)."""

import asyncio
import time
from collections import OrderedDict
from contextlib import suppress

from mailroster.base.address import fold
from mailroster.base.client_network import Networks, network
from mailroster.base.layout import Layout
from mailroster.base.setting_rules import words
from mailroster.base.settings import Settings
from mailroster.daemons.guesses import AccountBlock, Block, ClientBlock, Guess, Guesses
from mailroster.daemons.login_reports import LoginReport
from mailroster.publish.block_table import (
    BlockRow,
    BlockTable,
    ClosedRow,
    Login,
    moment_of,
    text_of,
)
from mailroster.servers.config.dovecot.blocks import EVERY_ACCOUNT
from mailroster.servers.reopen import reopen_database
from mailroster.system.clock import Clock
from mailroster.system.log import log, words_of
from mailroster.system.threads import in_thread

#: A login that was written is not written again for so long.
_KNOWN_AGAIN_S = 86_400
_LOGINS_MAX, _WAITING_MAX = 100_000, 100_000
_AGAIN_S, _CLEANING_S = 1.0, 86_400.0


class Blocker:
    """The blocks that are not written yet, and what is known of clients and accounts."""

    def __init__(self, settings: Settings, layout: Layout) -> None:
        never = "" if settings.never_blocked == "none" else settings.never_blocked
        self._never = Networks(words(never))
        self._never_text = settings.never_blocked
        self._layout, self._table = layout, BlockTable(layout)
        self._guesses = Guesses()
        self._blocks: dict[str, Block] = {}
        self._logins: dict[Login, None] = {}
        self._written: OrderedDict[Login, float] = OrderedDict()
        self._has_work = asyncio.Event()

    def take(self, report: LoginReport) -> None:
        """Counts a wrong password, or remembers a client that has logged in."""
        try:
            client = network(report.remote)
        except ValueError:
            return  # a login from this machine itself, such as that of doveadm(1)
        account, now = fold(report.name or report.login), time.time()
        if self._never.contain(client):
            self._remember(Login(EVERY_ACCOUNT, client), now)
        elif report.success:
            self._remember(Login(report.master.lower() or account, client), now)
        elif not report.is_blocked:
            guess = Guess(client, account, report.password_hash)
            for block in self._guesses.take(guess, now):
                self._add(block)

    def _remember(self, login: Login, now: float) -> None:
        if now - self._written.get(login, 0.0) < _KNOWN_AGAIN_S:
            return
        self._written[login] = now
        self._written.move_to_end(login)
        if len(self._written) > _LOGINS_MAX:
            self._written.popitem(last=False)
        if len(self._logins) < _WAITING_MAX:
            self._logins[login] = None
            self._has_work.set()

    def _add(self, block: Block) -> None:
        if len(self._blocks) < _WAITING_MAX:
            name = block.client if isinstance(block, ClientBlock) else block.account
            self._blocks[name] = block
            self._has_work.set()

    async def write(self, stop: asyncio.Event) -> None:
        """Writes blocks as they begin, until `stop` is set. While that fails, it logs why and tries
        again; nothing is lost."""
        log(
            "clients that guess passwords are blocked (block_guessing), except those of "
            f"never_blocked: {self._never_text}"
        )
        why, cleaned = "", 0.0
        await self._restore()
        while not stop.is_set():
            await _either(stop, self._has_work)
            self._has_work.clear()
            blocks, self._blocks = self._blocks, {}
            logins, self._logins = self._logins, {}
            now = time.time()
            try:
                for client in await in_thread(self._write, now, [*blocks.values()], [*logins]):
                    self._guesses.forget_client(client)
                if abs(now - cleaned) > _CLEANING_S:
                    cleaned = now
                    await in_thread(self._tidy, now)
                why = ""
            except OSError as error:
                await self._repair()
                self._blocks = blocks | self._blocks
                self._logins = logins | self._logins
                if words_of(error) != why:
                    why = words_of(error)
                    log(f"blocks are not written, so nobody is blocked: {why}")
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _AGAIN_S)
                self._has_work.set()

    def _tidy(self, now: float) -> None:
        if not Clock(self._layout.clock).doubt():
            self._table.tidy(now)

    async def _restore(self) -> None:
        """Continues with the blocks of an earlier run, without those of networks that are never
        blocked now."""
        try:
            rows = await in_thread(self._table.blocks)
            closed = await in_thread(self._table.closed)
            for row in rows:
                if not row.author and self._never.contain(row.client):
                    await in_thread(self._table.remove, row.client)
        except OSError as error:
            log(f"earlier blocks are not read: {words_of(error)}")
            return
        now = time.time()
        clients = [
            ClientBlock(row.client, moment_of(row.until), row.in_a_row)
            for row in rows
            if not row.author and row.in_a_row > 0 and not self._never.contain(row.client)
        ]
        accounts = [AccountBlock(row.account, moment_of(row.until)) for row in closed]
        self._guesses.restore([*clients, *accounts], now)

    async def _repair(self) -> None:
        """Makes the database again if it is lost or damaged."""
        try:
            if await in_thread(self._table.ensure):
                await in_thread(reopen_database, self._layout, self._layout.blocks)
                log("the database of blocks was lost or damaged, and is made again")
        except OSError:
            pass  # it is tried again

    def _write(self, now: float, blocks: list[Block], logins: list[Login]) -> set[str]:
        """Writes and logs blocks; the clients that were unblocked meanwhile."""
        since = text_of(now)
        clients = [
            BlockRow(block.client, since, text_of(block.until), "", block.in_a_row)
            for block in blocks
            if isinstance(block, ClientBlock)
        ]
        closed = [
            ClosedRow(block.account, since, text_of(block.until))
            for block in blocks
            if isinstance(block, AccountBlock)
        ]
        forgiven = self._table.write(now, clients, closed, logins, forgets=True)
        for block in blocks:
            end = text_of(block.until)
            if isinstance(block, ClientBlock) and block.is_new and block.client not in forgiven:
                log(f"{block.client} guesses passwords; it is blocked until {end} UTC")
            elif isinstance(block, AccountBlock) and block.is_new:
                log(
                    f"many passwords of {block.account!r} are guessed; until {end} UTC only "
                    "clients that have logged in before may log in"
                )
        return forgiven


async def _either(*events: asyncio.Event) -> None:
    """Waits until one of the events is set."""
    tasks = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
