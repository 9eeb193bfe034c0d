"""The pictures as graphs: the route of one address, and the map of a roster or of one domain."""

from collections.abc import Iterable, Sequence

from mailroster.analysis.graph import (
    ADDRESS,
    ALIAS,
    EMPTIED,
    MAILBOX,
    MORE,
    RULE,
    Edge,
    Graph,
    Node,
)
from mailroster.analysis.map_nodes import MapNodes
from mailroster.base.address import split
from mailroster.base.findings import Refused
from mailroster.roster.documents.document import Document
from mailroster.roster.formats import regexp
from mailroster.roster.formats.virtual import Alias
from mailroster.routing.router import Router
from mailroster.routing.trace import Hop, Trace

#: The most nodes of a map; a larger one can't be read, and takes minutes to draw.
NODES_MAX = 1000
#: The most recipients of one entry that are drawn, and mailboxes of one domain without an alias.
DRAWN_MAX, ALONE_MAX = 25, 8
#: The most hops of one route that are drawn.
HOPS_MAX = 200


class _Drawing:
    """The nodes and edges of one picture, as far as it is drawn."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.edges: dict[Edge, None] = {}

    def add_rest(self, source: str, count: int, noun: str = "more") -> None:
        """One node for the targets of a source that are not drawn."""
        name = f"{source} and {noun}"
        self.nodes[name] = Node(name, MORE, (f"and {count:,} {noun}",))
        self.edges[Edge(source, name)] = None


def route_chart(trace: Trace) -> Graph:
    """The route of one address; of a long route the beginning."""
    start = trace.address.lower()
    ends = {end.address.lower(): end for end in trace.recipients}
    drawing = _Drawing()

    def node(address: str, kind: str = ADDRESS) -> str:
        name = address.lower()
        end = ends.get(name)
        lines = [address]
        if end is not None:
            kind = end.kind
            lines.append(f"mailbox of {end.mailbox}" if end.mailbox else end.kind)
        if name not in drawing.nodes or drawing.nodes[name].kind == ADDRESS:
            drawing.nodes[name] = Node(name, kind, tuple(lines))
        return name

    node(trace.address)
    for hop in trace.hops[:HOPS_MAX]:
        source = node(hop.address, _kind(hop))
        if hop.where is not None:
            lines = (*drawing.nodes[source].lines, str(hop.where))
            drawing.nodes[source] = drawing.nodes[source]._replace(lines=lines)
        for result in hop.results[:DRAWN_MAX]:
            if result.lower() != source:
                drawing.edges[Edge(source, node(result))] = None
        if len(hop.results) > DRAWN_MAX:
            drawing.add_rest(source, len(hop.results) - DRAWN_MAX)
    if len(trace.hops) > HOPS_MAX:
        drawing.add_rest(start, len(trace.hops) - HOPS_MAX, "more steps")
    connected = {start, *(name for edge in drawing.edges for name in (edge.source, edge.target))}
    nodes = tuple(node for node in drawing.nodes.values() if node.name in connected)
    reason = f": {trace.answer.why}" if trace.answer.why else ""
    title = f"{trace.address} ({trace.answer.data}{reason})"
    return Graph(title, nodes, tuple(drawing.edges), legend=True)


def _kind(hop: Hop) -> str:
    if hop.where is None or hop.stays():
        return ADDRESS
    return RULE if hop.where.file == regexp.REGEXP.file else ALIAS


def map_chart(router: Router, domain: str = "") -> Graph:
    """The entries of a roster and the addresses to which they lead. Of one domain: the entries in
    it, and those that lead into it. Refused if the map has more than NODES_MAX nodes."""
    if domain and not router.roster.names_domain(domain):
        raise Refused(f"no account and no alias is in the domain {domain!r}")
    drawing = _Map(router, domain)
    for document in router.roster.aliases():
        drawing.add_aliases(document)
    drawing.add_rules()
    drawing.add_mailboxes()
    nodes = tuple(drawing.nodes.values())
    return Graph(domain or "all domains", nodes, tuple(drawing.edges), legend=True)


class _Map(_Drawing):
    """A map, as far as it is drawn; `domain` is "" for all of them."""

    def __init__(self, router: Router, domain: str) -> None:
        super().__init__()
        self._router, self._domain = router, domain
        self._nodes_of = MapNodes(router)
        self._known: set[str] | None = None
        self._entries: set[str] = set()  # the names of nodes that have a line of their own

    def add_aliases(self, document: Document[Alias]) -> None:
        for key, alias in document.items():
            domain = split(self._router.qualified(key))[1]
            if self._domain in ("", domain) or self._leads_in(alias.recipients):
                line = document.location(document.position(key)).line
                node = self._nodes_of.of_alias(key, f"line {line}")
                self._add_entry(node, alias.recipients)

    def add_rules(self) -> None:
        document = self._router.roster.regexp
        for position, rule, within in regexp.placed(document):
            words = regexp.recipients(rule.result)
            if rule.kind == "match" and (self._is_about(rule.pattern) or self._leads_in(words)):
                name = str(document.location(position))
                lines = (rule.pattern, f"{name}{', in an if' if within else ''}")
                self._add_entry(Node(name, RULE, lines), words)

    def add_mailboxes(self) -> None:
        """The accounts without an alias: a few one by one, many as one node."""
        alone: dict[str, list[str]] = {}
        for key in self._router.roster.accounts.counted():
            domain = split(key)[1]
            if key not in self.nodes and self._domain in ("", domain):
                alone.setdefault(domain, []).append(key)
        for domain, keys in alone.items():
            if len(keys) > ALONE_MAX:
                self._add_many(domain, keys)
            else:
                for key in keys:
                    self._add(self._nodes_of.of_address(key))

    def _add_many(self, domain: str, keys: list[str]) -> None:
        """One node for many mailboxes, and one for those that get no mail."""
        emptied = sum(map(self._nodes_of.is_emptied, keys))
        for kind, count, text in (
            (MAILBOX, len(keys) - emptied, "without aliases"),
            (EMPTIED, emptied, "get no mail"),
        ):
            if count:
                lines = (f"{count} mailbox{'' if count == 1 else 'es'}", text)
                self._add(Node(f"{kind} of {domain}", kind, lines, domain))

    def _add_entry(self, node: Node, recipients: Sequence[str]) -> None:
        """An entry with the edges to its recipients."""
        self._add(node)
        if node.name not in self._entries:  # with an entry in both files the first counts
            self._entries.add(node.name)
            self.nodes[node.name] = node  # its label says more than that of a recipient
        for word in recipients[:DRAWN_MAX]:
            if "$" in word and node.kind == RULE:
                target, extension = Node(f"{word} of {node.name}", ADDRESS, (word,)), ""
            else:
                target, extension = self._nodes_of.of_recipient(word)
            self._add(target)
            if target.name != node.name:
                self.edges[Edge(node.name, target.name, extension)] = None
        if len(recipients) > DRAWN_MAX:
            self.add_rest(node.name, len(recipients) - DRAWN_MAX)

    def _add(self, node: Node) -> None:
        self.nodes.setdefault(node.name, node)
        if len(self.nodes) > NODES_MAX:
            hint = "'setup explain ADDRESS' shows one" if self._domain else "name one domain"
            area = self._domain or "all domains"
            raise Refused(f"the map of {area} has more than {NODES_MAX} nodes; {hint}")

    def _leads_in(self, recipients: Iterable[str]) -> bool:
        """Whether a recipient is in the domain."""
        domains = (split(self._router.qualified(word))[1].lower() for word in recipients)
        return not self._domain or self._domain in domains

    def _is_about(self, pattern: str) -> bool:
        """Whether a pattern may be about the domain: it names it, or no domain at all."""
        plain = pattern.replace("\\", "").lower()
        return self._domain in plain or not any(name in plain for name in self._known_domains())

    def _known_domains(self) -> set[str]:
        if self._known is None:
            roster = self._router.roster
            keys = (*roster.accounts.keys(), *roster.virtual.keys())
            self._known = {split(key)[1] for key in keys} - {""}
        return self._known
