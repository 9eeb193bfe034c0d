"""A picture as a value, and as text in Graphviz's language (graphviz.org, "DOT Language").

Every name and label is put in quotes, with what means anything to Graphviz inside of them escaped;
so no address and no pattern can be more than a text, in the text, and in the SVG made of it.
"""

from mailroster.finding import printable
from mailroster.values import NamedTuple

ADDRESS, ALIAS, RULE = "address", "alias", "rule"
MAILBOX, ELSEWHERE, NOWHERE, MORE = "mailbox", "elsewhere", "nowhere", "more"
DISCARDED = "discarded"
_STYLES = {
    ADDRESS: 'shape=box, style="rounded"',
    ALIAS: 'shape=box, style="rounded,filled", fillcolor="#dbe9f6", color="#3b6ea5"',
    RULE: 'shape=hexagon, style="filled", fillcolor="#f3e3f6", color="#7b4a8c"',
    MAILBOX: 'shape=box, style="filled", fillcolor="#e2f2df", color="#4a7c3f"',
    ELSEWHERE: 'shape=box, style="rounded,dashed", color="#666666"',
    NOWHERE: 'shape=octagon, style="filled", fillcolor="#f9dcdc", color="#a33c3c"',
    DISCARDED: 'shape=box, style="dashed", color="#a33c3c"',
    MORE: 'shape=note, color="#666666", fontcolor="#444444"',
}
#: The longest line of a label, in characters.
_LABEL_MAX = 64
_HEAD = """\
  rankdir=LR; labelloc=t; fontsize=16; nodesep=0.15; ranksep=0.7;
  fontname="Helvetica,Arial,sans-serif";
  node [fontname="Helvetica,Arial,sans-serif", fontsize=11, height=0.3];
  edge [fontname="Helvetica,Arial,sans-serif", fontsize=9, color="#666666", arrowsize=0.7];
"""


class Node(NamedTuple):
    """`group` is the domain whose frame it stands in, "" for none; `lines` are its label."""

    name: str
    kind: str
    lines: tuple[str, ...]
    group: str = ""


class Edge(NamedTuple):
    source: str
    target: str
    label: str = ""


class Graph(NamedTuple):
    title: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def dot(graph: Graph) -> str:
    """The picture in Graphviz's language."""
    groups: dict[str, list[Node]] = {"": []}
    for node in graph.nodes:
        groups.setdefault(node.group, []).append(node)
    lines = [f"digraph {_quoted(graph.title)} {{", f"{_HEAD}  label={_quoted(graph.title)};"]
    lines += [f"  {_node(node)}" for node in groups.pop("")]
    for number, (group, nodes) in enumerate(groups.items()):
        lines.append(f"  subgraph cluster_{number} {{")
        lines.append(f'    label={_quoted(group)}; color="#bbbbbb"; fontsize=12;')
        lines += [f"    {_node(node)}" for node in nodes]
        lines.append("  }")
    for source, target, label in graph.edges:
        told = f" [label={_quoted(_short(label))}]" if label else ""
        lines.append(f"  {_quoted(source)} -> {_quoted(target)}{told};")
    return "\n".join([*lines, "}", ""])


def _node(node: Node) -> str:
    label = "\\n".join(_escaped(_short(line)) for line in node.lines)
    return f'{_quoted(node.name)} [label="{label}", {_STYLES[node.kind]}];'


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    """A text inside of quotes: Graphviz reads backslashes and entities there."""
    return printable(text).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")


def _short(text: str) -> str:
    half = _LABEL_MAX // 2
    return text if len(text) <= _LABEL_MAX else f"{text[:half]}…{text[-half:]}"
