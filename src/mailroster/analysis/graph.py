"""A picture as a value, and as text in Graphviz's language (graphviz.org, "DOT Language").

Every name and label is in quotes, and characters that mean something to Graphviz are escaped: an
address or a pattern can only be a text, in this text and in the SVG made of it.

Graphviz only guesses the width of a text, and the font of the viewer is not known. So every box is
wide enough for DejaVu Sans, the widest of the usual fonts, and titles get blanks.
"""

from typing import NamedTuple

from mailroster.base.findings import printable

ADDRESS, ALIAS, RULE = "address", "alias", "rule"
MAILBOX, ELSEWHERE, NOWHERE, MORE = "mailbox", "elsewhere", "nowhere", "more"
DISCARDED, EMPTIED, LOOP = "discarded", "emptied", "loop"
_RED = 'fillcolor="#f9dcdc", color="#a33c3c"'
_STYLES = {
    ADDRESS: 'shape=box, style="rounded"',
    ALIAS: 'shape=box, style="rounded,filled", fillcolor="#dbe9f6", color="#3b6ea5"',
    RULE: 'shape=box, style="filled", fillcolor="#f3e3f6", color="#7b4a8c"',
    MAILBOX: 'shape=box, style="filled", fillcolor="#e2f2df", color="#4a7c3f"',
    ELSEWHERE: 'shape=box, style="rounded,dashed", color="#666666"',
    NOWHERE: f'shape=box, style="rounded,filled", {_RED}',
    DISCARDED: 'shape=box, style="rounded,dashed", color="#a33c3c"',
    EMPTIED: f'shape=box, style="filled", {_RED}',
    LOOP: f'shape=box, style="filled,dashed", {_RED}',
    MORE: 'shape=box, style="dotted", color="#666666", fontcolor="#444444"',
}
#: The text of each kind in the legend, in its order.
_LEGEND = {
    ALIAS: "alias",
    RULE: "rule by pattern",
    ADDRESS: "address",
    MAILBOX: "mailbox",
    ELSEWHERE: "another server",
    DISCARDED: "discarded",
    NOWHERE: "does not exist: mail is refused",
    EMPTIED: "mailbox that gets no mail",
    LOOP: "loop: not served",
    MORE: "more of them",
}
#: The longest line of a label, in characters.
_LABEL_MAX = 64
_FONTSIZE, _LINE_HEIGHT = 11, 1.3
_POINTS_PER_INCH = 72
#: Space at the left and the right of a label, in inches.
_MARGIN = 0.11
#: Widths of the characters from the blank to the tilde in DejaVu Sans, in hundredths of the font
#: size, and the width of any other character.
_WIDTHS = (
    32, 41, 46, 84, 64, 96, 78, 28, 40, 40, 50, 84, 32, 37, 32, 34, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 34, 34, 84, 84, 84, 54, 100, 69, 69, 70, 78, 64, 58, 78, 76, 30, 30, 66, 56, 87, 75, 79,
    61, 79, 70, 64, 62, 74, 69, 99, 69, 62, 69, 40, 34, 40, 84, 50, 50, 62, 64, 55, 64, 62, 36, 64,
    64, 28, 28, 58, 28, 98, 64, 62, 64, 64, 42, 53, 40, 64, 60, 82, 60, 60, 53, 64, 34, 64, 84,
)  # fmt: skip
_OTHER_WIDTH = 110
_FONT = "Liberation Sans,Arial,Helvetica,DejaVu Sans,sans-serif"
_HEAD = f"""\
  rankdir=LR; labelloc=t; fontsize=16; nodesep=0.15; ranksep=0.7; pad=0.2;
  fontname="{_FONT}";
  node [fontname="{_FONT}", fontsize={_FONTSIZE}, height=0.3, margin="{_MARGIN},0.055"];
  edge [fontname="{_FONT}", fontsize=9, color="#666666", arrowsize=0.7];
"""
_LEGEND_TITLE = "Legend"


class Node(NamedTuple):
    """A box. `group`: the domain whose frame contains it, "" for none; `lines`: its label."""

    name: str
    kind: str
    lines: tuple[str, ...]
    group: str = ""


class Edge(NamedTuple):
    source: str
    target: str
    label: str = ""


class Graph(NamedTuple):
    """A picture. `legend`: whether it explains its colours."""

    title: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    legend: bool = False


def dot(graph: Graph) -> str:
    """The picture in Graphviz's language."""
    groups: dict[str, list[Node]] = {"": []}
    for node in graph.nodes:
        groups.setdefault(node.group, []).append(node)
    lines = [f"digraph {_quoted(graph.title)} {{", f"{_HEAD}  label={_title(graph.title)};"]
    lines += [f"  {_node(node)}" for node in groups.pop("")]
    for number, (group, nodes) in enumerate(groups.items()):
        lines.append(f"  subgraph cluster_{number} {{")
        # On the left no edge crosses the title: edges leave a box on its right.
        lines.append(f'    label={_title(group)}; labeljust=l; color="#bbbbbb"; fontsize=12;')
        lines += [f"    {_node(node)}" for node in nodes]
        lines.append("  }")
    broken = {node.name for node in graph.nodes if node.kind == LOOP}
    for source, target, label in graph.edges:
        settings = [f"label={_title(_short(label))}"] if label else []
        if source in broken:
            settings += ["style=dashed", 'color="#a33c3c"']
        attributes = f" [{', '.join(settings)}]" if settings else ""
        lines.append(f"  {_quoted(source)} -> {_quoted(target)}{attributes};")
    if graph.legend:
        lines += _legend({node.kind for node in graph.nodes})
    return "\n".join([*lines, "}", ""])


def _legend(kinds: set[str]) -> list[str]:
    """A frame with a box for each kind of node in the picture."""
    shown = [kind for kind in _LEGEND if kind in kinds]
    lines = ["  subgraph cluster_legend {"]
    settings = 'labeljust=l; color="#bbbbbb"; fontsize=12; style=dotted'
    lines.append(f"    label={_title(_LEGEND_TITLE)}; {settings};")
    for kind in shown:
        # The line feed keeps the name apart from those of addresses and rules.
        node = Node(f"\n{kind}", kind, (_LEGEND[kind],))
        lines.append(f"    {_node(node)}")
    return [*lines, "  }"]


def width_inches(text: str, fontsize: int = _FONTSIZE) -> float:
    """The width of a line of text in DejaVu Sans, at most."""
    hundredths = sum(
        _WIDTHS[ord(char) - 32] if " " <= char <= "~" else _OTHER_WIDTH for char in text
    )
    return hundredths / 100 * fontsize / _POINTS_PER_INCH


def _node(node: Node) -> str:
    lines = [printable(_short(line)) for line in node.lines]
    label = "\\n".join(map(_escaped, lines))
    width = max(map(width_inches, lines), default=0) + 2 * _MARGIN
    height = len(lines) * _FONTSIZE * _LINE_HEIGHT / _POINTS_PER_INCH + 0.11
    size = f"width={width:.2f}, height={height:.2f}"
    return f'{_quoted(node.name)} [label="{label}", {size}, {_STYLES[node.kind]}];'


def _title(text: str) -> str:
    """A text without a box, in quotes. No-break spaces around it leave room for a wider font."""
    blanks = "\u00a0" * (len(text) // 4 + 1)
    return f'"{blanks}{_escaped(text)}{blanks}"'


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    """A text inside quotes, where Graphviz reads backslashes and entities."""
    return printable(text).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")


def _short(text: str) -> str:
    half = _LABEL_MAX // 2
    return text if len(text) <= _LABEL_MAX else f"{text[:half]}…{text[-half:]}"
