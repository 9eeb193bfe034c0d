"""Asks name servers, with dnspython (PyPI: dnspython; the extra `dns`).

Names in the zone of a domain are asked of the zone's own name servers, so that a change is seen at
once; all other names of the resolvers of the machine. Answers come from other people: everything
here is limited in number, size and time.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mailroster.base.dns import FAILED, ROOT, Answer, Delegation, is_within
from mailroster.base.findings import Refused, TryAgain
from mailroster.base.setting_rules import DNS_PORT
from mailroster.system.dns_messages import (
    ALIASES_MAX,
    is_referral,
    name_text,
    read_records,
    type_number,
)
from mailroster.system.dns_queries import NoAnswer, Queries, Server
from mailroster.system.files import read_small
from mailroster.system.routes import IPV6_TARGET, has_route

if TYPE_CHECKING:
    from dns.message import Message

#: The time for one answer of one server, and for all questions together.
ANSWER_S, TOTAL_S = 4.0, 120.0
#: The most servers of a zone that are asked.
_SERVERS_MAX = 8
_RESOLV_CONF = "/etc/resolv.conf"
_MISSING = (
    "questions to the DNS need dnspython, which is not installed; install Debian's package "
    "python3-dnspython, or 'mailroster[dns]' with pip"
)
_NO_AUTHORITY = "it is not an authority for the zone"


def require_library() -> None:
    """Raises Refused if dnspython is not installed."""
    try:
        import dns.message  # noqa: F401
    except ImportError:
        raise Refused(_MISSING) from None


def system_resolvers() -> list[Server]:
    """The resolvers of the machine (resolv.conf(5)); 127.0.0.1 if there are none."""
    try:
        text = read_small(_RESOLV_CONF).decode("utf-8", "replace")
    except OSError:
        text = ""
    lines = [line.split() for line in text.splitlines()]
    servers = [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]
    return [(server, DNS_PORT) for server in servers[:3]] or [("127.0.0.1", DNS_PORT)]


class NameServers:
    """The DNS as one domain needs it.

    `resolvers` answer recursive questions. `only` is a server that is asked instead of the domain's
    own servers, and before the resolvers: they get the names that it refuses. `port` is that of the
    domain's own servers.
    """

    def __init__(
        self,
        domain: str,
        resolvers: Sequence[Server] = (),
        only: Server | None = None,
        port: int = DNS_PORT,
        answer_s: float = ANSWER_S,
        total_s: float = TOTAL_S,
    ) -> None:
        require_library()
        self._resolvers = list(resolvers) or system_resolvers()
        self._only, self._port = only, port
        self._queries = Queries(answer_s, total_s)
        self._faults: dict[str, str] = {}
        self._known: dict[tuple[str, str], Answer] = {}
        self._is_bogus = False
        self._own: list[tuple[str, Server]] = []  # the name and the address of each own server
        self._names: list[str] = []
        self._zone = domain
        if not only:
            self._zone = self._zone_of(domain)
            self._names = self._find_own_servers() if self._queries.has_answer else []

    # -- questions

    def require_answer(self) -> None:
        """Raises TryAgain if no server has given any reply: then nothing can be checked."""
        if self._only:
            self.ask(self._zone, "MX")
        if not self._queries.has_answer:
            asked = [self._only] if self._only else self._resolvers
            names = ", ".join(address for address, _ in asked)
            raise TryAgain(
                f"no answer from the name server {names}; check the network and the firewall (port "
                "53, UDP and TCP), or name another server by --server"
            )

    def ask(self, name: str, kind: str) -> Answer:
        """The records of a name; CNAME records are followed. Never raises for a failed lookup."""
        key = name, kind
        if key not in self._known:
            self._known[key] = self._lookup(name, kind)
        return self._known[key]

    def own_answers(self, name: str, kind: str) -> Iterator[Answer]:
        """The answers of each server of the zone that replies as an authority for a name; none for
        an alias."""
        import dns.flags

        for _, server in self._own:
            try:
                reply = self._queries.ask(name, kind, [server], recursive=False)
            except NoAnswer:
                continue
            answer, aliases = read_records(reply, name, kind)
            if reply.flags & dns.flags.AA and not aliases:
                yield answer

    def is_secure(self, name: str) -> bool:
        """Whether the resolver says that DNSSEC authenticates the address of a name."""
        import dns.flags

        try:
            reply = self._recursive(name, "A")
        except NoAnswer:
            return False
        return bool(reply.flags & dns.flags.AD)

    def delegation(self) -> Delegation:
        """The zone, its servers, and the faults seen so far."""
        return Delegation(
            self._zone, tuple(self._names), tuple(self._faults.items()), self._is_bogus
        )

    def _lookup(self, name: str, kind: str) -> Answer:
        aliases: list[str] = []
        target = name
        try:
            for _ in range(ALIASES_MAX):
                reply = self._reply(target, kind)
                answer, alias = read_records(reply, target, kind)
                if not alias:
                    return answer._replace(aliases=tuple(aliases))
                aliases += alias
                target = alias[-1]
                if answer.records:
                    return answer._replace(aliases=tuple(aliases))
        except NoAnswer as error:
            return Answer(FAILED, reason=str(error), aliases=tuple(aliases))
        reason = f"more than {ALIASES_MAX} CNAME records in a row"
        return Answer(FAILED, reason=reason, aliases=tuple(aliases))

    def _reply(self, name: str, kind: str) -> "Message":
        """The reply of an own server for a name of the zone, else of a resolver. Raises
        NoAnswer."""
        if self._own and is_within(name, self._zone):
            try:
                reply = self._ask_own(name, kind)
            except NoAnswer:
                return self._ask_resolvers(name, kind)
            if not is_referral(reply):
                return reply
        return self._ask_resolvers(name, kind)

    def _ask_own(self, name: str, kind: str) -> "Message":
        import dns.flags

        reasons = []
        for server_name, server in self._own:
            try:
                reply = self._queries.ask(name, kind, [server], recursive=False)
            except NoAnswer as error:
                self._faults.setdefault(server_name, str(error))
                reasons.append(str(error))
                continue
            if reply.flags & dns.flags.AA or (name != self._zone and is_referral(reply)):
                return reply
            self._faults.setdefault(server_name, _NO_AUTHORITY)
            reasons.append("no authority")
        raise NoAnswer("; ".join(dict.fromkeys(reasons)))

    def _ask_resolvers(self, name: str, kind: str) -> "Message":
        """The reply of a resolver. One that checks DNSSEC hides wrong signatures behind SERVFAIL,
        but not from a question with the bit CD (RFC 4035, 3.2.2)."""
        import dns.flags

        if self._is_bogus:
            return self._recursive(name, kind, dns.flags.CD)
        try:
            return self._recursive(name, kind)
        except NoAnswer as error:
            if "SERVFAIL" not in str(error) or not is_within(name, self._zone):
                raise
            first = error
        try:
            unchecked = self._recursive(name, kind, dns.flags.CD)
        except NoAnswer:
            raise first from None
        try:
            return self._recursive(name, kind)  # it works now: that was another fault
        except NoAnswer:
            self._is_bogus = True
            return unchecked

    def _recursive(self, name: str, kind: str, flags: int = 0) -> "Message":
        if self._only is None:
            return self._queries.ask(name, kind, self._resolvers, recursive=True, flags=flags)
        try:
            return self._queries.ask(name, kind, [self._only], recursive=True, flags=flags)
        except NoAnswer as error:
            if "REFUSED" not in str(error):
                raise
        return self._queries.ask(name, kind, self._resolvers, recursive=True, flags=flags)

    # -- the servers of the zone

    def _zone_of(self, domain: str) -> str:
        """The zone that contains a domain: the owner of the SOA record in the answer (RFC 2308).
        The domain itself if that can't be found out."""
        try:
            reply = self._ask_resolvers(domain, "SOA")
        except NoAnswer:
            return domain
        for section in (reply.answer, reply.authority):
            for rrset in section:
                name = name_text(rrset.name)
                if rrset.rdtype == type_number("SOA") and is_within(domain, name) and name != ROOT:
                    return name
        return domain

    def _find_own_servers(self) -> list[str]:
        """Looks up the name servers of the zone; their names."""
        if "." not in self._zone:
            return []  # a domain without a zone of its own: its parent is a TLD
        try:
            answer, _ = read_records(self._ask_resolvers(self._zone, "NS"), self._zone, "NS")
        except NoAnswer:
            return []
        names = [record[0] for record in answer.records][:_SERVERS_MAX]
        for name in names:
            addresses = list(self._addresses(name))
            if not addresses:
                self._faults.setdefault(name, "it has no address")
            self._own += ((name, (address, self._port)) for address in addresses[:2])
        # IPv4 first: many machines have no IPv6. Without a route to it, it is left out.
        self._own.sort(key=lambda own: ":" in own[1][0])
        if not has_route(IPV6_TARGET):
            self._own = [own for own in self._own if ":" not in own[1][0]]
        return names

    def _addresses(self, name: str) -> Iterator[str]:
        for kind in ("A", "AAAA"):
            try:
                answer, _ = read_records(self._ask_resolvers(name, kind), name, kind)
            except NoAnswer:
                continue
            yield from answer.first_fields()

    def ask_each_own_server(self) -> None:
        """Asks each server of the zone, at its first address, for the zone itself: other questions
        go to the first one that answers. Does nothing if no server has answered so far: then a
        firewall is more likely than a fault of all."""
        if not any(self._queries.has_answered(server) for _, server in self._own):
            return
        names = set()
        for name, server in self._own:
            if name not in names and not self._queries.has_answered(server):
                self._ask_one(name, server)
            names.add(name)

    def _ask_one(self, name: str, server: Server) -> None:
        """Asks one own server for the zone, and records its fault."""
        import dns.flags

        try:
            reply = self._queries.ask(self._zone, "SOA", [server], recursive=False)
        except NoAnswer as error:
            self._faults.setdefault(name, str(error))
            return
        if not reply.flags & dns.flags.AA:
            self._faults.setdefault(name, _NO_AUTHORITY)
