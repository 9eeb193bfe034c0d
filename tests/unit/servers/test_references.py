"""The tables and services that settings of Postfix name: how a value is read, and who judges it."""

import socket
from pathlib import Path

import pytest

from mailroster.base.layout import Layout
from mailroster.base.settings import Settings, Sources, load
from mailroster.servers.config.overrides import Overrides
from mailroster.servers.config.references import services, tables
from mailroster.servers.overrides import check


@pytest.mark.parametrize(
    ("parameter", "value", "found"),
    [
        ("transport_maps", "hash:/a", ["hash:/a"]),
        ("transport_maps", "hash:/a, btree:/b cidr:/c", ["hash:/a", "btree:/b", "cidr:/c"]),
        ("transport_maps", "proxy:hash:/a,proxy:mysql:/b.cf", ["hash:/a", "mysql:/b.cf"]),
        ("relay_domains", "$mydestination, lmdb:/a", ["lmdb:/a"]),
        ("x", "unionmap:{hash:/a, pcre:/b}, cidr:/c", ["unionmap:{hash:/a, pcre:/b}", "cidr:/c"]),
        ("x", "pipemap:{pcre:{{/a/ b}}, hash:/c}", ["pipemap:{pcre:{{/a/ b}}, hash:/c}"]),
        ("x", "{ check_sender_access hash:/a }, reject", ["hash:/a"]),
        ("x", "check_sender_access { hash:/a, search_order=name }", ["hash:/a"]),
        ("header_checks", "pcre:{{/^a: b/ WARN c}}", ["pcre:{{/^a: b/ WARN c}}"]),
        ("transport_maps", "inline:{ {x=smtp:[h]:25} }", ["inline:{ {x=smtp:[h]:25} }"]),
        ("transport_maps", "static:smtp:[h]:25", ["static:smtp:[h]:25"]),
        ("sender_maps", "mango:/a", ["mango:/a"]),
        ("x", "check_client_access mango:/a", ["mango:/a"]),
        ("alias_maps", "unix:passwd.byname fail:x", []),
        ("smtpd_milters", "inet:localhost:11332, unix:/run/x", []),
        ("default_transport", "smtp:[relay.test]:587", []),
        ("virtual_transport", "lmtp:unix:private/lmtp", []),
        ("relayhost", "[relay.test]:submission", []),
        ("mynetworks", "127.0.0.0/8 [::1]/128", []),
        ("smtpd_banner", "$myhostname ESMTP hash: none", []),
        ("x", "A0:B1:hash:C2", []),
    ],
)  # fmt: skip
def test_the_tables_of_a_value_are_named(parameter: str, value: str, found: list[str]) -> None:
    assert [str(table) for table in tables(parameter, value)] == found


@pytest.mark.parametrize(
    ("parameter", "value", "found"),
    [
        ("smtpd_milters", "inet:localhost:1, unix:/run/x", ["inet:localhost:1", "unix:/run/x"]),
        ("non_smtpd_milters", "{ inet:h:1, default_action=accept } local:y", ["local:y"]),
        ("smtpd_milters", "{ inet:h:1, default_action=tempfail }", ["inet:h:1"]),
        ("x", "check_policy_service inet:h:1, reject", ["inet:h:1"]),
        ("x", "check_policy_service { unix:p, default_action=DUNNO }, x", []),
        ("x", "check_policy_service { unix:p, timeout=3s }, x", ["unix:p"]),
        ("smtpd_sasl_path", "inet:h:1", []),
        ("virtual_transport", "lmtp:inet:h:1", []),
    ],
)
def test_the_services_of_a_value_are_named(parameter: str, value: str, found: list[str]) -> None:
    assert list(services(parameter, value)) == found


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    options = {"home": str(tmp_path), "hostname": "mail.example.com"}
    return load(Sources(options, {}, lambda path: b"", lambda path: False))


def said(settings: Settings, main: str) -> list[str]:
    found = check(Overrides(main=main), settings, Layout(settings.state))
    return [f"{f.where.line} {f.severity} {f.code}" for f in found if f.code != "risky-override"]


@pytest.mark.parametrize(
    "table",
    [
        "hash:/nowhere", "btree:/nowhere", "lmdb:/nowhere", "texthash:/nowhere", "pcre:/nowhere",
        "regexp:/nowhere", "cidr:/nowhere", "proxy:hash:/nowhere", "memcache:/nowhere",
        "unionmap:{static:x, hash:/nowhere}", "pipemap:{hash:/nowhere, static:x}", "mysql:/x.cf",
        "mango:/x", "hash:relative", "inline:{x}",
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_opened_is_an_error_by_its_line(
    settings: Settings, table: str
) -> None:
    assert said(settings, f"# a\ntransport_maps = {table}\n") == ["2 error bad-override"]
    access = f"smtpd_recipient_restrictions =\n  check_recipient_access {table},\n  permit\n"
    assert said(settings, access) == ["1 error bad-override"]


def test_a_table_that_is_there_is_none(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "t").write_text("x y\n")
    good = ["texthash", "pcre", "regexp", "cidr"]
    (tmp_path / "empty").write_text("")
    for kind in good:
        name = "t" if kind == "texthash" else "empty"
        assert said(settings, f"transport_maps = {kind}:{tmp_path}/{name}\n") == []
    assert said(settings, f"own = {tmp_path}\ntransport_maps = texthash:$own/t\n") == []
    assert said(settings, "transport_maps = static:x, inline:{x=y}, proxy:unix:passwd.byname") == []
    ours = f"lmdb:{Layout(settings.state).table('receive_access')}"
    assert said(settings, f"smtpd_client_restrictions = check_client_access {ours}\n") == []


def test_a_service_that_does_not_answer_is_a_warning(settings: Settings, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        port = there.getsockname()[1]
        assert said(settings, f"smtpd_milters = inet:127.0.0.1:{port}\n") == []
        assert said(settings, f"smtpd_milters = inet:{port}@localhost\n") == []
    silent = ["1 warning silent-service"]
    assert said(settings, f"smtpd_milters = inet:127.0.0.1:{port}\n") == silent
    assert said(settings, f"smtpd_milters = unix:{tmp_path}/no\n") == silent
    assert said(settings, f"transport_maps = tcp:127.0.0.1:{port}\n") == silent
    assert said(settings, f"transport_maps = socketmap:inet:127.0.0.1:{port}:x\n") == silent
    assert said(settings, "smtpd_milters = inet:rspamd.test:11332\n") == []
    accepts = f"smtpd_milters = inet:127.0.0.1:{port}\nmilter_default_action = accept\n"
    assert said(settings, accepts) == []
