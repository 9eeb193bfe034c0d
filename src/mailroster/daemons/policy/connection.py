"""One connection of an smtpd: answers each request, a list of attributes, with an action, in order
(Postfix, SMTPD_POLICY_README)."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

_REQUEST_MAX_BYTES = 1 << 16
_END = b"\n\n"

Answer = str | Coroutine[Any, Any, str]


class Connection(asyncio.Protocol):
    """The protocol for the event loop. An immediate answer needs no task."""

    def __init__(self, answer: Callable[[Mapping[str, str]], Answer]) -> None:
        self._answer = answer
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._task: asyncio.Task[str] | None = None  # of an answer that takes time

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._answer_requests()

    def _answer_requests(self) -> None:
        """Answers the received requests, up to the first whose answer takes time."""
        while self._task is None and _END in self._received:
            raw, _, self._received = self._received.partition(_END)
            answer = self._answer(attributes(raw))
            if isinstance(answer, str):
                self._reply(answer)
            else:
                self._task = asyncio.ensure_future(answer)
                self._task.add_done_callback(self._answered)
        if len(self._received) > _REQUEST_MAX_BYTES and self._transport is not None:
            self._transport.close()

    def _answered(self, task: asyncio.Task[str]) -> None:
        self._task = None
        if not task.cancelled():
            self._reply(task.result())
            self._answer_requests()

    def _reply(self, action: str) -> None:
        if self._transport is not None:
            self._transport.write(f"action={action}\n\n".encode("ascii", "replace"))


def attributes(raw: bytes) -> dict[str, str]:
    """The attributes of a request, by name; a value may contain `=`."""
    lines = raw.decode("utf-8", "surrogateescape").split("\n")
    return dict(line.split("=", 1) for line in lines if "=" in line)
