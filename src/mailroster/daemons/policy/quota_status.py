"""Queries Dovecot's quota-status: has a mailbox room for a message? Its protocol is Postfix's
SMTPD_POLICY_README. Only a few connections are kept open, and not for long, since Dovecot runs a
process for each."""

import asyncio

#: How many queries may run at once, and how long an idle connection is kept.
AT_ONCE = 8
KEEP_S = 20.0

_Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class QuotaStatus:
    """The client of the service at a socket."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._idle: dict[_Stream, asyncio.TimerHandle] = {}
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def action(self, mailbox: str, size: int) -> str:
        """The action for a message of `size` bytes to a mailbox: `552 …` if it is full. Raises
        OSError if the service does not answer, or its answer has no action."""
        async with self._turn:
            stream = self._idle_stream()
            if stream is not None:
                try:
                    return await self._query(stream, mailbox, size)
                except OSError:
                    pass  # Dovecot has closed it meanwhile
            return await self._query(await asyncio.open_unix_connection(self._path), mailbox, size)

    async def _query(self, stream: _Stream, mailbox: str, size: int) -> str:
        reader, writer = stream
        try:
            request = f"protocol_state=RCPT\nrecipient={mailbox}\nsize={size}\n\n"
            writer.write(request.encode())
            await writer.drain()
            answer = (await reader.readuntil(b"\n\n")).decode("ascii", "replace").strip()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            writer.close()
            raise OSError(f"{self._path}: {error}") from None
        except BaseException:  # a late answer would be read as that to the next query
            writer.close()
            raise
        self._idle[stream] = asyncio.get_running_loop().call_later(KEEP_S, self._drop, stream)
        name, _, action = answer.partition("=")
        if name != "action":
            raise OSError(f"{self._path}: unexpected answer {answer[:80]!r}")
        return action

    def _idle_stream(self) -> _Stream | None:
        if not self._idle:
            return None
        stream, timer = self._idle.popitem()
        timer.cancel()
        return stream

    def _drop(self, stream: _Stream) -> None:
        del self._idle[stream]
        stream[1].close()
