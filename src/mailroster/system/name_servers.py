"""Asks name servers, with dnspython (PyPI: dnspython; the extra `dns`).

Names in the zone of a domain are asked of the zone's own name servers, so that a change is seen at
once; all other names of the resolvers of the machine. Answers come from other people: everything
here is limited in number, size and time.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mailroster.base.dns import ANSWERED, FAILED, NO_NAME, ROOT, Answer, Delegation, is_within
from mailroster.base.findings import Refused, TryAgain
from mailroster.system.files import read_small

if TYPE_CHECKING:
    from dns.message import Message
    from dns.rdata import Rdata
    from dns.rrset import RRset

#: The time for one answer of one server, and for all questions together.
ANSWER_S, TOTAL_S = 4.0, 120.0
#: After so many questions in a row without an answer a server is not asked again: an own server of
#: the domain, and a resolver, which may wait for the servers of one bad name.
_OWN_TRIES, _RESOLVER_TRIES = 2, 5
#: The most servers of a zone that are asked, and CNAME records that are followed.
_SERVERS_MAX, _ALIASES_MAX = 8, 8
#: The most records of one answer.
_RECORDS_MAX = 200
_PORT = 53
#: The largest answer by UDP that is requested, for which no network makes fragments.
_UDP_MAX_OCTETS = 1232
_RESOLV_CONF = "/etc/resolv.conf"
_MISSING = (
    "--check needs dnspython, which is not installed; install Debian's package python3-dnspython, "
    "or 'mailroster[dns]' with pip"
)
#: Addresses of the internet, to look up routes (RFC 5737, RFC 3849), and any port.
_IPV4_TARGET, _IPV6_TARGET, _DISCARD_PORT = "192.0.2.1", "2001:db8::1", 9
_NO_AUTHORITY = "it is not an authority for the zone"

#: An address and a port.
Server = tuple[str, int]


class NoAnswer(Exception):
    """No server gave a usable answer; with the reason."""


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
    return [(server, _PORT) for server in servers[:3]] or [("127.0.0.1", _PORT)]


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
        port: int = _PORT,
        answer_s: float = ANSWER_S,
        total_s: float = TOTAL_S,
    ) -> None:
        require_library()
        self._resolvers = list(resolvers) or system_resolvers()
        self._only, self._port, self._answer_s = only, port, answer_s
        self._end = time.monotonic() + total_s
        self._unanswered: Counter[Server] = Counter()  # questions in a row
        self._faults: dict[str, str] = {}
        self._known: dict[tuple[str, str], Answer] = {}
        self._is_bogus = self._has_answer = False
        self._own: list[tuple[str, Server]] = []  # the name and the address of each own server
        self._names: list[str] = []
        self._zone = domain
        if not only:
            self._zone = self._zone_of(domain)
            self._names = self._find_own_servers() if self._has_answer else []

    # -- questions

    def require_answer(self) -> None:
        """Raises TryAgain if no server has given any reply: then nothing can be checked."""
        if self._only:
            self.ask(self._zone, "MX")
        if not self._has_answer:
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
            for _ in range(_ALIASES_MAX):
                reply = self._reply(target, kind)
                answer, alias = _read(reply, target, kind)
                if not alias:
                    return answer._replace(aliases=tuple(aliases))
                aliases += alias
                target = alias[-1]
                if answer.records:
                    return answer._replace(aliases=tuple(aliases))
        except NoAnswer as error:
            return Answer(FAILED, reason=str(error), aliases=tuple(aliases))
        reason = f"more than {_ALIASES_MAX} CNAME records in a row"
        return Answer(FAILED, reason=reason, aliases=tuple(aliases))

    def _reply(self, name: str, kind: str) -> "Message":
        """The reply of an own server for a name of the zone, else of a resolver. Raises
        NoAnswer."""
        if self._own and is_within(name, self._zone):
            try:
                reply = self._ask_own(name, kind)
            except NoAnswer:
                return self._ask_resolvers(name, kind)
            if not _is_referral(reply):
                return reply
        return self._ask_resolvers(name, kind)

    def _ask_own(self, name: str, kind: str) -> "Message":
        import dns.flags

        reasons = []
        for server_name, server in self._own:
            try:
                reply = self._query(name, kind, [server], recursive=False)
            except NoAnswer as error:
                self._faults.setdefault(server_name, str(error))
                reasons.append(str(error))
                continue
            if reply.flags & dns.flags.AA or _is_referral(reply):
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
            return self._query(name, kind, self._resolvers, recursive=True, flags=flags)
        try:
            return self._query(name, kind, [self._only], recursive=True, flags=flags)
        except NoAnswer as error:
            if "REFUSED" not in str(error):
                raise
        return self._query(name, kind, self._resolvers, recursive=True, flags=flags)

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
                name = _text(rrset.name)
                if rrset.rdtype == _type("SOA") and is_within(domain, name) and name != ROOT:
                    return name
        return domain

    def _find_own_servers(self) -> list[str]:
        """Looks up the name servers of the zone; their names."""
        if "." not in self._zone:
            return []  # a domain without a zone of its own: its parent is a TLD
        try:
            answer, _ = _read(self._ask_resolvers(self._zone, "NS"), self._zone, "NS")
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
        if not has_route(_IPV6_TARGET):
            self._own = [own for own in self._own if ":" not in own[1][0]]
        return names

    def _addresses(self, name: str) -> Iterator[str]:
        for kind in ("A", "AAAA"):
            try:
                answer, _ = _read(self._ask_resolvers(name, kind), name, kind)
            except NoAnswer:
                continue
            yield from answer.first_fields()

    def ask_each_own_server(self) -> None:
        """Asks each server of the zone, at its first address, for the zone itself: other questions
        go to the first one that answers. Does nothing if no server has answered so far: then a
        firewall is more likely than a fault of all."""
        answered = {server for server, count in self._unanswered.items() if not count}
        if not answered.intersection(server for _, server in self._own):
            return
        names = set()
        for name, server in self._own:
            if name not in names and server not in answered:
                self._ask_one(name, server)
            names.add(name)

    def _ask_one(self, name: str, server: Server) -> None:
        """Asks one own server for the zone, and records its fault."""
        import dns.flags

        try:
            reply = self._query(self._zone, "SOA", [server], recursive=False)
        except NoAnswer as error:
            self._faults.setdefault(name, str(error))
            return
        if not reply.flags & dns.flags.AA:
            self._faults.setdefault(name, _NO_AUTHORITY)

    # -- one question

    def _query(
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
        self._has_answer = True
        return reply


def _reason(error: Exception) -> str:
    """Why there is no reply, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"the reply is not valid ({type(error).__name__})"


def _type(kind: str) -> int:
    import dns.rdatatype

    return int(dns.rdatatype.from_text(kind))


def _is_referral(reply: "Message") -> bool:
    """Whether a server only names the servers of a zone below its own."""
    import dns.flags

    names_servers = any(rrset.rdtype == _type("NS") for rrset in reply.authority)
    return not reply.answer and names_servers and not reply.flags & dns.flags.AA


def _read(reply: "Message", name: str, kind: str) -> tuple[Answer, list[str]]:
    """The records in a reply, and the CNAME records on the way to them."""
    import dns.rcode

    by_name: dict[tuple[str, int], RRset] = {}
    for rrset in reply.answer:
        by_name.setdefault((_text(rrset.name), int(rrset.rdtype)), rrset)
    aliases: list[str] = []
    target = name
    while (target, _type(kind)) not in by_name and len(aliases) < _ALIASES_MAX:
        alias = by_name.get((target, _type("CNAME")))
        if alias is None:
            break
        target = _text(alias[0].target)
        aliases.append(target)
    asked = by_name.get((target, _type(kind)))
    if asked is None:
        # NXDOMAIN is about the last name of the chain (RFC 6604).
        status = NO_NAME if reply.rcode() == dns.rcode.NXDOMAIN else ANSWERED
        return Answer(status), aliases
    records = tuple(sorted(_fields(rdata) for rdata in list(asked)[:_RECORDS_MAX]))
    return Answer(ANSWERED, records), aliases


def _text(name: Any) -> str:
    """A name as `base.dns` has it."""
    text = str(name.to_text(omit_final_dot=True)).lower()
    return text or ROOT


def _fields(rdata: "Rdata") -> tuple[str, ...]:
    """The fields of a record, as text."""
    import dns.rdatatype

    record: Any = rdata
    kind = dns.rdatatype.to_text(record.rdtype)
    if kind == "TXT":
        return (b"".join(record.strings).decode("utf-8", "backslashreplace"),)
    if kind == "MX":
        return str(record.preference), _text(record.exchange)
    if kind == "SRV":
        numbers = record.priority, record.weight, record.port
        return (*map(str, numbers), _text(record.target))
    if kind == "CAA":
        tag, value = (
            part.decode("utf-8", "backslashreplace") for part in (record.tag, record.value)
        )
        return str(record.flags), tag, value
    if kind == "TLSA":
        numbers = record.usage, record.selector, record.mtype
        return (*map(str, numbers), record.cert.hex())
    if kind in ("CNAME", "NS", "PTR"):
        return (_text(record.target),)
    return (record.to_text(),)


def public_addresses() -> list[str]:
    """The addresses of this machine that the internet can reach, as the routes of the kernel choose
    them. Sends nothing."""
    import ipaddress

    found = [_source_address(target) for target in (_IPV4_TARGET, _IPV6_TARGET)]
    return [address for address in found if address and ipaddress.ip_address(address).is_global]


def has_route(target: str) -> bool:
    """Whether the kernel has a route to an IP address. Sends nothing."""
    return bool(_source_address(target))


def _source_address(target: str) -> str:
    """The address from which this machine would send to an IP address; "" without a route. A UDP
    socket only looks up the route."""
    import socket

    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, _DISCARD_PORT))
            return str(probe.getsockname()[0]).partition("%")[0]
    except OSError:
        return ""
