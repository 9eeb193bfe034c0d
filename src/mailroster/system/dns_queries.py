"""Sends questions to name servers, and waits for a limited time."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dns.message import Message

#: After so many questions in a row without an answer a server is not asked again: an own server of
#: the domain, and a resolver, which may wait for the servers of one bad name.
_OWN_TRIES, _RESOLVER_TRIES = 2, 5
#: The largest answer by UDP that is requested, for which no network makes fragments.
_UDP_MAX_OCTETS = 1232

#: An address and a port.
Server = tuple[str, int]


class NoAnswer(Exception):
    """No server gave a usable answer; with the reason."""


class Queries:
    """Questions to any servers. `answer_s` is the time for one answer, `total_s` that for all of
    them. `has_answer`: some server has replied, even if with an error."""

    def __init__(self, answer_s: float, total_s: float) -> None:
        self._answer_s = answer_s
        self._end = time.monotonic() + total_s
        self._unanswered: Counter[Server] = Counter()  # questions in a row
        self.has_answer = False

    def has_answered(self, server: Server) -> bool:
        """Whether a server has replied to the last question to it."""
        return server in self._unanswered and not self._unanswered[server]

    def ask(
        self, name: str, kind: str, servers: Sequence[Server], *, recursive: bool, flags: int = 0
    ) -> "Message":
        """The reply of the first server with a usable one: records, or NXDOMAIN. Raises NoAnswer
        with the reasons of all."""
        import dns.exception
        import dns.flags
        import dns.message
        import dns.rcode

        try:
            query = dns.message.make_query(name, kind, use_edns=0, payload=_UDP_MAX_OCTETS)
        except (dns.exception.DNSException, ValueError):
            raise NoAnswer("the name is not valid") from None
        query.flags = (query.flags | flags | dns.flags.AD) if recursive else dns.flags.Flag(0)
        tries = _RESOLVER_TRIES if recursive else _OWN_TRIES
        reasons = []
        for server in servers:
            try:
                reply = self._exchange(query, server, tries)
            except NoAnswer as error:
                reasons.append(str(error))
                continue
            code = reply.rcode()
            if code in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                return reply
            reasons.append(dns.rcode.to_text(code))
        raise NoAnswer("; ".join(dict.fromkeys(reasons)) or "there is no server")

    def _exchange(self, query: "Message", server: Server, tries: int) -> "Message":
        """The reply of one server. Repeats the question once: packets get lost. Raises NoAnswer."""
        if self._unanswered[server] >= tries:
            raise NoAnswer(f"no answer within {self._answer_s:g} s")
        try:
            reply = self._exchange_once(query, server)
        except NoAnswer:
            self._unanswered[server] += 1
            if self._unanswered[server] >= tries:
                raise
            try:
                reply = self._exchange_once(query, server)
            except NoAnswer:
                self._unanswered[server] += 1
                raise
        self._unanswered[server] = 0
        return reply

    def _exchange_once(self, query: "Message", server: Server) -> "Message":
        """The reply of one server, by TCP if it is too long for UDP. Raises NoAnswer."""
        import dns.exception
        import dns.query

        left_s = self._end - time.monotonic()
        if left_s <= 0:
            raise NoAnswer("the time for all questions is over")
        address, port = server
        try:
            reply, _ = dns.query.udp_with_fallback(
                query, address, min(self._answer_s, left_s), port, ignore_unexpected=True
            )
        except dns.exception.Timeout:
            raise NoAnswer(f"no answer within {self._answer_s:g} s") from None
        except (dns.exception.DNSException, OSError, EOFError, ValueError) as error:
            raise NoAnswer(_reason(error)) from None
        self.has_answer = True
        return reply


def _reason(error: Exception) -> str:
    """Why there is no reply, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"the reply is not valid ({type(error).__name__})"
