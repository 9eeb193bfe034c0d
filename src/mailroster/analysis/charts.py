"""What the pictures show: the way of one address, and the map of a roster or of one domain."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from mailroster.analysis.graph import (
    ADDRESS,
    ALIAS,
    DISCARDED,
    EMPTIED,
    LOOP,
    MAILBOX,
    MORE,
    NOWHERE,
    RULE,
    Edge,
    Graph,
    Node,
)
from mailroster.analysis.graph import ELSEWHERE as ELSEWHERE_NODE
from mailroster.base.address import split, split_extension
from mailroster.base.findings import ParseError, Refused
from mailroster.roster.documents.document import Document
from mailroster.roster.formats import regexp
from mailroster.roster.formats.local_aliases import DISCARD
from mailroster.roster.formats.virtual import Alias
from mailroster.routing.router import POSTMASTER_SETTING, Router, role_recipient
from mailroster.routing.trace import ELSEWHERE, Hop, Trace, is_served

#: Nodes of a map; beyond that nobody can read it, and its drawing takes minutes.
NODES_MAX = 1000
#: Recipients of one entry that are drawn, and mailboxes of one domain to which nothing leads.
DRAWN_MAX, ALONE_MAX = 25, 8
#: Hops of one way that are drawn.
HOPS_MAX = 200


def way_chart(way: Trace) -> Graph:
    """The way of one address. Of a long way its beginning."""
    ends = {end.address.lower(): end for end in way.recipients}
    nodes: dict[str, Node] = {}
    edges: dict[Edge, None] = {}

    def node(address: str, kind: str = ADDRESS) -> str:
        name = address.lower()
        end = ends.get(name)
        lines = [address]
        if end is not None:
            kind = {ELSEWHERE: ELSEWHERE_NODE}.get(end.kind, end.kind)
            lines.append(f"mailbox of {end.mailbox}" if end.mailbox else end.kind)
        if name not in nodes or nodes[name].kind == ADDRESS:
            nodes[name] = Node(name, kind, tuple(lines))
        return name

    node(way.address)
    for hop in way.hops[:HOPS_MAX]:
        source = node(hop.address, _kind(hop))
        if hop.where is not None:
            drawn_as = nodes[source]
            nodes[source] = drawn_as._replace(lines=(*drawn_as.lines, str(hop.where)))
        for result in hop.results[:DRAWN_MAX]:
            if result.lower() != source:
                edges[Edge(source, node(result))] = None
        if len(hop.results) > DRAWN_MAX:
            _more(nodes, edges, source, len(hop.results) - DRAWN_MAX)
    if len(way.hops) > HOPS_MAX:
        _more(nodes, edges, way.address.lower(), len(way.hops) - HOPS_MAX, "more steps")
    drawn = (
        {edge.target for edge in edges} | {edge.source for edge in edges} | {way.address.lower()}
    )
    kept = tuple(found for found in nodes.values() if found.name in drawn)
    why = f": {way.answer.why}" if way.answer.why else ""
    return Graph(f"{way.address} ({way.answer.data}{why})", kept, tuple(edges), legend=True)


def _kind(hop: Hop) -> str:
    if hop.where is None or hop.stays():
        return ADDRESS
    return RULE if hop.where.file == regexp.REGEXP.file else ALIAS


def map_chart(router: Router, domain: str = "") -> Graph:
    """What leads where in a roster, entry by entry as they stand: of one domain, the entries in it,
    and those that lead into it. Refused if it would have more than NODES_MAX nodes."""
    if domain and not router.roster.names_domain(domain):
        raise Refused(f"no account and no alias is in the domain {domain!r}")
    drawing = _Map(router, domain)
    drawing.aliases()
    drawing.rules()
    drawing.mailboxes()
    nodes = tuple(drawing.nodes.values())
    return Graph(domain or "all domains", nodes, tuple(drawing.edges), legend=True)


class _Entry(NamedTuple):
    """A line that leads somewhere: its node, and the recipients as they are written."""

    node: Node
    recipients: tuple[str, ...]


class _Map:
    """One map while it is drawn."""

    def __init__(self, router: Router, domain: str) -> None:
        self.router, self.domain = router, domain
        self.nodes: dict[str, Node] = {}
        self.edges: dict[Edge, None] = {}
        self._known: set[str] | None = None
        self._entries: set[str] = set()  # the names of nodes that have a line of their own

    def aliases(self) -> None:
        for document in self.router.roster.aliases():
            self._aliases_in(document)

    def _aliases_in(self, document: Document[Alias]) -> None:
        for key, alias in document.items():
            own = split(self.router.qualified(key))[1]
            if self.domain in ("", own) or self._leads_in(alias.recipients):
                name = self._name(key)
                where = f"line {document.location(document.position(key)).line}"
                lines = (key, "catch-all") if key[0] == "@" else (key,)
                node = Node(name, ALIAS, (*lines, where), own)
                if self._loops(key):
                    node = node._replace(kind=LOOP, lines=(*node.lines, "loop: not served"))
                elif name in self.router.roster.accounts:
                    node = self._mailbox(name, where)
                self._draw(_Entry(node, alias.recipients))

    def rules(self) -> None:
        document = self.router.roster.regexp
        for position, rule, within in regexp.placed(document):
            words = tuple(regexp.recipients(rule.result))
            if rule.kind != "match" or not (self._is_about(rule.pattern) or self._leads_in(words)):
                continue
            name = str(document.location(position))
            lines = (rule.pattern, f"{name}{', in an if' if within else ''}")
            self._draw(_Entry(Node(name, RULE, lines), words))

    def mailboxes(self) -> None:
        """Those to which nothing leads: a few of them as they are, many as one."""
        alone: dict[str, list[str]] = {}
        keys = self.router.roster.accounts.keys()
        for key in keys:
            domain = split(key)[1]
            if key not in self.nodes and self.domain in ("", domain):
                alone.setdefault(domain, []).append(key)
        for domain, keys in alone.items():
            if len(keys) > ALONE_MAX:
                self._add_many(domain, keys)
            else:
                for key in keys:
                    self._add(self._node(key))

    def _add_many(self, domain: str, keys: list[str]) -> None:
        """Mailboxes as one node; those that get no mail, by a rule that takes it, as another."""
        emptied = [key for key in keys if self._is_emptied(key)]
        for kind, count, what in (
            (MAILBOX, len(keys) - len(emptied), "without aliases"),
            (EMPTIED, len(emptied), "get no mail"),
        ):
            if count:
                lines = (f"{count} mailbox{'' if count == 1 else 'es'}", what)
                self._add(Node(f"{kind} of {domain}", kind, lines, domain))

    def _draw(self, entry: _Entry) -> None:
        self._add(entry.node)
        if entry.node.name not in self._entries:  # of two files the first counts
            self._entries.add(entry.node.name)
            self.nodes[entry.node.name] = entry.node  # says more than one drawn as a recipient
        for word in entry.recipients[:DRAWN_MAX]:
            target, extension = self._target(word, entry.node)
            if target != entry.node.name:
                self.edges[Edge(entry.node.name, target, extension)] = None
        if len(entry.recipients) > DRAWN_MAX:
            _more(self.nodes, self.edges, entry.node.name, len(entry.recipients) - DRAWN_MAX)

    def _target(self, word: str, entry: Node) -> tuple[str, str]:
        """The node of a recipient, and the extension with which it is written."""
        if "$" in word and entry.kind == RULE:
            return self._add(Node(f"{word} of {entry.name}", ADDRESS, (word,))), ""
        if word[0] == "@":
            key = word.lower()
            kind = ALIAS if key in self.router.roster.virtual else ADDRESS
            there = key[1:] if is_served(self.router, key[1:]) else ""
            return self._add(Node(key, kind, (key,), there)), ""
        name = self._name(word)
        local, domain = split(name)
        user, extension = split_extension(local)
        bare = f"{user}@{domain}"
        roster = self.router.roster
        is_whole = name in roster.virtual or name in roster.accounts
        if extension and not is_whole and (bare in roster.accounts or bare in roster.virtual):
            return self._add(self._node(bare)), extension
        return self._add(self._node(name)), ""

    def _node(self, name: str) -> Node:
        """A whole address as a node: what it is by itself."""
        roster = self.router.roster
        local, domain = split(name)
        if name in roster.accounts:
            return self._mailbox(name)
        if name == DISCARD:
            return Node(name, DISCARDED, (name, "discarded"))
        if not is_served(self.router, domain):
            return Node(name, ELSEWHERE_NODE, (name,))
        bare = local if domain == self.router.origin else name
        if name in roster.virtual or any(bare in document for document in roster.aliases()):
            return Node(name, ALIAS, (name,), domain)
        if role_recipient(self.router, bare):
            return Node(name, ADDRESS, (name, POSTMASTER_SETTING), domain)
        if self._is_unknown(name):
            return Node(name, NOWHERE, (name, "does not exist"), domain)
        return Node(name, ADDRESS, (name,), domain)

    def _mailbox(self, name: str, *more: str) -> Node:
        """An account, with what more its label says."""
        quota = self.router.roster.quotas.get(name)
        size = () if quota is None else (f"quota {quota.size}",)
        if self._is_emptied(name):
            return Node(name, EMPTIED, (name, *size, *more, "gets no mail"), split(name)[1])
        return Node(name, MAILBOX, (name, *size, *more), split(name)[1])

    def _is_emptied(self, account: str) -> bool:
        """Whether an alias or a rule takes the mail of an account, and gives it none of it."""
        try:
            ends = self.router.expand(account)
        except ParseError:
            return True
        return not any(self.router.mailbox(end) == account for end in ends)

    def _loops(self, key: str) -> bool:
        """Whether Postfix can't follow an alias to its end, so that it is not served."""
        try:
            self.router.follow(key)
        except ParseError:
            return True
        return False

    def _is_unknown(self, address: str) -> bool:
        """Whether nothing takes mail for an address in a domain that is served."""
        try:
            return self.router.lookup(address) is None
        except ParseError:
            return False

    def _name(self, word: str) -> str:
        return word if word[0] == "@" or word == DISCARD else self.router.qualified(word).lower()

    def _add(self, node: Node) -> str:
        self.nodes.setdefault(node.name, node)
        if len(self.nodes) > NODES_MAX:
            raise Refused(
                f"the map of {self.domain or 'all domains'} has more than {NODES_MAX} nodes; "
                + ("'setup explain ADDRESS' shows one" if self.domain else "name one domain")
            )
        return node.name

    def _leads_in(self, recipients: Iterable[str]) -> bool:
        return not self.domain or self.domain in self._domains(recipients)

    def _domains(self, recipients: Iterable[str]) -> Iterator[str]:
        for word in recipients:
            yield split(self.router.qualified(word))[1].lower()

    def _is_about(self, pattern: str) -> bool:
        """Whether a pattern may be about the domain: it names it, or no domain at all."""
        plain = pattern.replace("\\", "").lower()
        return self.domain in plain or not any(domain in plain for domain in self._known_domains())

    def _known_domains(self) -> set[str]:
        if self._known is None:
            roster = self.router.roster
            keys = (*roster.accounts.keys(), *roster.virtual.keys())
            self._known = {split(key)[1] for key in keys} - {""}
        return self._known


def _more(
    nodes: dict[str, Node], edges: dict[Edge, None], source: str, count: int, what: str = "more"
) -> None:
    name = f"{source} and {what}"
    nodes[name] = Node(name, MORE, (f"and {count:,} {what}",))
    edges[Edge(source, name)] = None
