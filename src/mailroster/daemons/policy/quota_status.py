"""Asks Dovecot's quota-status whether a mailbox has room for a message (Postfix's
SMTPD_POLICY_README is its protocol). A few connections are kept for a while, since for each of
them Dovecot has a process."""

import asyncio

#: How many questions may be asked at once, and how long an idle connection is kept.
AT_ONCE = 8
KEEP_S = 20.0

_Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class QuotaStatus:
    """The service at a socket."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._idle: dict[_Stream, asyncio.TimerHandle] = {}
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def action(self, mailbox: str, size: int) -> str:
        """The action about a message of some bytes for a mailbox: `552 …` if it is full. Raises
        OSError if the service does not answer, or nonsense."""
        async with self._turn:
            stream = self._kept()
            if stream is not None:
                try:
                    return await self._asked(stream, mailbox, size)
                except OSError:
                    pass  # Dovecot has ended it meanwhile
            return await self._asked(await asyncio.open_unix_connection(self._path), mailbox, size)

    async def _asked(self, stream: _Stream, mailbox: str, size: int) -> str:
        reader, writer = stream
        try:
            request = f"protocol_state=RCPT\nrecipient={mailbox}\nsize={size}\n\n"
            writer.write(request.encode())
            await writer.drain()
            said = (await reader.readuntil(b"\n\n")).decode("ascii", "replace").strip()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            writer.close()
            raise OSError(f"{self._path}: {error}") from None
        except BaseException:  # what would come later is no answer to the next question
            writer.close()
            raise
        self._idle[stream] = asyncio.get_running_loop().call_later(KEEP_S, self._drop, stream)
        name, _, action = said.partition("=")
        if name != "action":
            raise OSError(f"{self._path}: no answer but {said[:80]!r}")
        return action

    def _kept(self) -> _Stream | None:
        if not self._idle:
            return None
        stream, timer = self._idle.popitem()
        timer.cancel()
        return stream

    def _drop(self, stream: _Stream) -> None:
        del self._idle[stream]
        stream[1].close()
