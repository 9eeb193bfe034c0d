"""Questions to name servers, on a test server: answers, aliases, faults, TCP, limits of time."""

import sys
import time
from collections.abc import Iterator

import pytest

from mailroster.base.dns import ANSWERED, FAILED, NO_NAME, Answer
from mailroster.base.findings import Refused, TryAgain
from mailroster.system import name_servers
from mailroster.system.name_servers import NameServers, system_resolvers
from tests.support.name_server import GARBAGE, REFUSED, SERVFAIL, SILENT, NameServer
from tests.support.perfect_zone import asking

ZONE = r"""
example.com. SOA ns1.example.com. a.example.com. 1 2 3 4 5
example.com. NS ns1.example.com.
ns1.example.com. A 127.0.0.1
example.com. MX 10 Mail.Example.com.
example.com. MX 5 mx.elsewhere.example.
mail.example.com. A 203.0.113.25
split.example.com. TXT "one " "two"
split.example.com. TXT "\000\027[2J\195\164\255"
www.example.com. CNAME a.example.com.
a.example.com. CNAME mail.example.com.
out.example.com. CNAME mail.elsewhere.example.
mail.elsewhere.example. A 203.0.113.9
loop.example.com. CNAME loop.example.com.
dead.example.com. CNAME nothing.example.com.
_imaps._tcp.example.com. SRV 0 1 993 mail.example.com.
mail.example.com. CAA 0 issue "letsencrypt.org"
_25._tcp.mail.example.com. TLSA 1 0 0 00ff
a.b.deep.example.com. A 203.0.113.1
"""


@pytest.fixture
def server() -> Iterator[NameServer]:
    with NameServer(ZONE).running() as running:
        yield running


@pytest.mark.parametrize(
    ("name", "kind", "answer"),
    [
        ("example.com", "MX",
         Answer(ANSWERED, (("10", "mail.example.com"), ("5", "mx.elsewhere.example")))),
        ("mail.example.com", "A", Answer(ANSWERED, (("203.0.113.25",),))),
        ("split.example.com", "TXT", Answer(ANSWERED, (("\0\x1b[2Jä\\xff",), ("one two",)))),
        ("www.example.com", "A",
         Answer(ANSWERED, (("203.0.113.25",),), ("a.example.com", "mail.example.com"))),
        ("out.example.com", "A",
         Answer(ANSWERED, (("203.0.113.9",),), ("mail.elsewhere.example",))),
        ("www.example.com", "CNAME", Answer(ANSWERED, (("a.example.com",),))),
        ("_imaps._tcp.example.com", "SRV",
         Answer(ANSWERED, (("0", "1", "993", "mail.example.com"),))),
        ("mail.example.com", "CAA", Answer(ANSWERED, (("0", "issue", "letsencrypt.org"),))),
        ("_25._tcp.mail.example.com", "TLSA", Answer(ANSWERED, (("1", "0", "0", "00ff"),))),
        ("mail.example.com", "AAAA", Answer(ANSWERED)),
        ("deep.example.com", "A", Answer(ANSWERED)),  # a name with names below it exists
        ("missing.example.com", "A", Answer(NO_NAME)),
        ("dead.example.com", "A", Answer(NO_NAME, aliases=("nothing.example.com",))),
    ],
)  # fmt: skip
def test_an_answer_has_the_fields_of_each_record(
    server: NameServer, name: str, kind: str, answer: Answer
) -> None:
    assert asking(server).ask(name, kind) == answer


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (SERVFAIL, "SERVFAIL"), (REFUSED, "REFUSED"), (SILENT, "no answer within 0.2 s"),
        (GARBAGE, "the reply is not valid"),
    ],
)  # fmt: skip
def test_a_failed_lookup_has_a_reason(server: NameServer, fault: str, reason: str) -> None:
    server.faults["mail.example.com"] = fault
    answer = asking(server, answer_s=0.2).ask("mail.example.com", "A")
    assert answer.status == FAILED
    assert reason in answer.reason


def test_a_loop_of_aliases_ends(server: NameServer) -> None:
    answer = asking(server).ask("loop.example.com", "A")
    assert (answer.status, answer.records) == (FAILED, ())
    assert "CNAME" in answer.reason


def test_a_long_answer_comes_by_tcp(server: NameServer) -> None:
    server.add("\n".join(f'long.example.com. TXT "{n} {"x" * 250}"' for n in range(40)))
    answer = asking(server).ask("long.example.com", "TXT")
    assert len(answer.records) == 40
    assert server.by_tcp == 1


@pytest.mark.parametrize("name", ["a..b", "x" * 64 + ".example", "é" * 80, "a\\", ".", "", "\0.a"])
def test_a_name_that_is_not_valid_is_a_failed_lookup_or_has_no_records(
    server: NameServer, name: str
) -> None:
    assert asking(server).ask(name, "A").records == ()


def test_each_question_is_asked_once(server: NameServer) -> None:
    servers = asking(server)
    before = len(server.asked)
    assert servers.ask("example.com", "MX") == servers.ask("example.com", "MX")
    assert len(server.asked) == before + 1


def test_the_servers_of_the_zone_are_asked_not_the_resolver(server: NameServer) -> None:
    old = "\n".join(line for line in ZONE.splitlines() if "MX" not in line)
    with NameServer(f"{old}\nexample.com. MX 1 old.example.com.").running() as resolver:
        # Both know the zone; the resolver has an old answer.
        servers = NameServers("example.com", [(resolver.address, resolver.port)], port=server.port)
        assert servers.ask("example.com", "MX").records[0] == ("10", "mail.example.com")
        assert servers.ask("mail.elsewhere.example", "A").records == (("203.0.113.9",),)
    assert "mail.elsewhere.example. A" not in server.asked
    assert servers.delegation().servers == ("ns1.example.com",)


def test_each_own_server_answers_for_itself(server: NameServer) -> None:
    with NameServer(f'{ZONE}\nnew.example.com. TXT "new"').running() as resolver:
        resolvers = [(resolver.address, resolver.port)]
        for own, expected in ((server, Answer(NO_NAME)), (resolver, Answer(ANSWERED, (("new",),)))):
            servers = NameServers("example.com", resolvers, port=own.port)
            assert [*servers.own_answers("new.example.com", "TXT")] == [expected]
            assert [*servers.own_answers("www.example.com", "TXT")] == []  # an alias
        server.faults["new.example.com"] = SERVFAIL
        servers = NameServers("example.com", resolvers, port=server.port)
        assert [*servers.own_answers("new.example.com", "TXT")] == []


def test_of_a_name_below_the_zone_the_zone_is_asked(server: NameServer) -> None:
    servers = asking(server, "deep.example.com")
    assert servers.delegation().zone == "example.com"


def test_if_the_own_servers_are_silent_the_resolver_answers_and_they_are_asked_no_more(
    server: NameServer,
) -> None:
    with NameServer(ZONE).running() as silent:
        silent.faults = {name.to_text(omit_final_dot=True): SILENT for name, _ in silent.records}
        resolvers = [(server.address, server.port)]
        servers = NameServers("example.com", resolvers, port=silent.port, answer_s=0.2)
        for kind in ("MX", "TXT", "A", "CAA", "SRV"):
            servers.ask("example.com", kind)
        assert servers.ask("example.com", "MX").records
        assert len(silent.asked) == 2
        assert servers.delegation().faults == (("ns1.example.com", "no answer within 0.2 s"),)


def test_if_nothing_answers_it_ends(server: NameServer) -> None:
    server.faults = dict.fromkeys(("example.com", *(f"n{n}.a" for n in range(50))), SILENT)
    servers = asking(server, answer_s=0.1)
    answers = [servers.ask(f"n{n}.a", "A") for n in range(50)]
    assert {answer.status for answer in answers} == {FAILED}
    assert len(server.asked) <= 6


def test_without_any_answer_it_ends_at_once(server: NameServer) -> None:
    server.faults["example.com"] = SILENT
    servers = asking(server, answer_s=0.1)
    assert len(server.asked) == 2
    with pytest.raises(TryAgain, match=r"no answer from the name server 127\.0\.0\.1;"):
        servers.require_answer()
    only = NameServers("example.com", only=(server.address, server.port), answer_s=0.1)
    with pytest.raises(TryAgain):
        only.require_answer()


def test_an_error_is_an_answer(server: NameServer) -> None:
    server.faults["example.com"] = SERVFAIL
    asking(server).require_answer()


def test_the_time_for_all_questions_is_limited(server: NameServer) -> None:
    resolvers = [(server.address, server.port)]
    servers = NameServers("example.com", resolvers, port=server.port, total_s=0.3)
    time.sleep(0.4)
    answer = servers.ask("mail.example.com", "A")
    assert answer.reason == "the time for all questions is over"


def test_a_chosen_server_answers_instead_of_the_own_ones(server: NameServer) -> None:
    with NameServer("other.example. A 203.0.113.4").running() as resolver:
        server.faults["other.example"] = REFUSED
        servers = NameServers(
            "example.com", [(resolver.address, resolver.port)], only=(server.address, server.port)
        )
        assert servers.ask("mail.example.com", "A").records == (("203.0.113.25",),)
        # It is no resolver for other names, so the machine's resolver is asked.
        assert servers.ask("other.example", "A").records == (("203.0.113.4",),)
        assert resolver.asked == ["other.example. A"]


def test_the_flag_of_a_resolver_that_checks_signatures_is_reported(server: NameServer) -> None:
    assert asking(server).is_secure("mail.example.com") is False
    server.is_secure = True
    assert asking(server).is_secure("mail.example.com") is True


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("", ["127.0.0.1"]),
        ("# nameserver 192.0.2.9\nnameserver 192.0.2.1\nsearch x\nnameserver 2001:db8::1\n",
         ["192.0.2.1", "2001:db8::1"]),
        ("nameserver\n", ["127.0.0.1"]),
        ("nameserver 192.0.2.1\n" * 5, ["192.0.2.1"] * 3),
    ],
)  # fmt: skip
def test_the_resolvers_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, text: str, servers: list[str]
) -> None:
    monkeypatch.setattr(name_servers, "read_small", lambda path: text.encode())
    assert system_resolvers() == [(server, 53) for server in servers]


def test_without_the_library_the_fix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dns.message", None)
    with pytest.raises(Refused, match="python3-dnspython"):
        NameServers("example.com")
