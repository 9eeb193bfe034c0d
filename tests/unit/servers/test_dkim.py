"""The pure part of DKIM: names of keys, the choice of a key, records, and files of OpenDKIM."""

import pytest

from mailroster.base.layout import Layout
from mailroster.servers.config import dkim
from mailroster.servers.config.dkim import Key, KeyFile, Rotation


def key(selector: str, domain: str = "x.com", kind: str = dkim.RSA, file: str = "") -> Key:
    return Key(domain, selector, file or f"opendkim/keys/{domain}/{selector}", kind, b"", selector)


@pytest.mark.parametrize(
    ("domain", "name", "expected"),
    [
        ("x.com", "mail.private", ("x.com", "mail")),
        ("X.Com", "2026a.private", ("x.com", "2026a")),
        ("b\u00fccher.example", "mail.private", ("xn--bcher-kva.example", "mail")),
        ("x.com", "a.b.private", ("x.com", "a.b")),
        ("x.com", "mail.txt", None),
        ("x.com", ".private", None),
        ("x.com", "a b.private", None),
        ("x.com", "a:b.private", None),
        ("x.com", "a..b.private", None),
        ("not a domain", "mail.private", None),
        ("x.com\n", "mail.private", None),
    ],
)
def test_a_key_in_the_folder_of_its_domain(
    domain: str, name: str, expected: tuple[str, str] | None
) -> None:
    found = dkim.opendkim_key(domain, name)
    assert (found and found[:2]) == expected


@pytest.mark.parametrize(
    ("name", "served", "expected"),
    [
        ("rsa-2048-mail-x.com.private.txt", (), ("x.com", "mail")),
        ("ed25519-mail-x.com.private.txt", (), ("x.com", "mail")),
        ("rsa-2048-mail-my-x.com.private.txt", (), ("my-x.com", "mail")),
        ("rsa-2048-mail-my-x.com.private.txt", ("x.com",), ("x.com", "mail-my")),
        ("rsa-2048-mail-my-x.com.private.txt", ("my-x.com", "x.com"), ("my-x.com", "mail")),
        ("rsa-2048-mail-x.com.public.txt", (), None),
        ("rsa-mail-x.com.private.txt", (), None),
        ("mail.private", (), None),
    ],
)
def test_a_key_of_rspamd(
    name: str, served: tuple[str, ...], expected: tuple[str, str] | None
) -> None:
    found = dkim.rspamd_key(name, served)
    assert (found and found[:2]) == expected
    assert found is None or found == KeyFile(*expected or ("", ""), f"rspamd/dkim/{name}")


@pytest.mark.parametrize(
    ("selectors", "named", "rotation", "expected"),
    [
        (["b", "a"], (), None, "a"),
        (["a", "mail"], (), None, "mail"),
        (["a", "mail", "z"], ("z",), None, "z"),
        (["a", "mail"], ("gone",), None, "mail"),
        (["old", "new"], ("old",), Rotation("new", "old"), "old"),
        (["old", "new"], ("old",), Rotation("new", "old", 5), "new"),
        (["new"], (), Rotation("new", "old"), "new"),
    ],
)
def test_of_several_keys_one_signs(
    selectors: list[str], named: tuple[str, ...], rotation: Rotation | None, expected: str
) -> None:
    rotations = {"x.com": rotation} if rotation else {}
    found = dkim.chosen(map(key, selectors), {"x.com": named}, rotations)
    assert [each.selector for each in found] == [expected]


def test_a_domain_signs_with_one_key_of_each_kind() -> None:
    keys = [key("mail"), key("ed", kind=dkim.ED25519), key("mail", "y.com")]
    found = dkim.chosen(keys, {}, {})
    assert [(one.domain, one.selector) for one in found] == [
        ("x.com", "ed"), ("x.com", "mail"), ("y.com", "mail"),
    ]  # fmt: skip


def test_the_signing_table_of_docker_mailserver() -> None:
    text = "*@x.com mail._domainkey.x.com\n# *@y.com a._domainkey.y.com\nbroken\n"
    assert dkim.preferred(text) == {"x.com": {"mail"}}


@pytest.mark.parametrize(
    ("hostname", "signed_by"),
    [("mail.x.com", "x.com"), ("x.com", ""), ("a.b.x.com", "x.com"), ("mail.other.com", "")],
)
def test_the_server_itself_is_signed_by_the_nearest_domain(hostname: str, signed_by: str) -> None:
    table = dkim.signing_table([key("mail")], hostname)
    added = f"*@{hostname} mail._domainkey.{signed_by}\n" if signed_by else ""
    assert table == f"*@x.com mail._domainkey.x.com\n{added}"


@pytest.mark.parametrize("rotation", [Rotation("b", "a"), Rotation("2026a", "mail", 1_790_000_000)])
def test_a_rotation_is_read_as_it_was_written(rotation: Rotation) -> None:
    assert dkim.parse_rotation(dkim.rotation_text(rotation)) == rotation


@pytest.mark.parametrize(
    "text",
    [
        "", "new a", "new a\nold b\nsince x", "new a/b\nold b\nsince 1", "new a\nold b",
        "new a\nsince 0", "old b\nsince 0", "new a\nold b/\nsince 1", "new a\nold b\nsince -1",
        "new a\nold b\nsince \u0661", "new a\nold b\nsince ", "New a\nold b\nsince 1",
    ],
)  # fmt: skip
def test_a_damaged_rotation_is_none(text: str) -> None:
    assert dkim.parse_rotation(text) is None


def test_networks_are_only_plain_ones() -> None:
    value = "127.0.0.0/8, [::1]/128 10.1.2.3/8 !10.0.0.1 hash:/etc/x [2001:db8::]/32"
    expected = ["127.0.0.0/8", "::1/128", "10.0.0.0/8", "2001:db8::/32"]
    assert dkim.networks(value) == expected


@pytest.mark.parametrize(
    ("milters", "expected"),
    [
        ("", "$dkim_milter"), ("inet:a:1", "inet:a:1, $dkim_milter"),
        ("$dkim_milter, inet:a:1", "$dkim_milter, inet:a:1"),
        ("${dkim_milter}", "${dkim_milter}"), ("$dkim_milters", "$dkim_milters, $dkim_milter"),
    ],
)  # fmt: skip
def test_the_signer_is_the_last_milter(milters: str, expected: str) -> None:
    assert dkim.with_milter(milters, "dkim_milter") == expected


def test_a_stranger_is_not_internal() -> None:
    conf = dkim.opendkim_conf(Layout("/s"), dkim.RSA, "opendkim", "postfix", ["10.0.0.0/8"])
    assert "\nInternalHosts 127.0.0.1,::1,localhost,10.0.0.0/8\n" in conf
    assert "\nSignatureAlgorithm rsa-sha256\n" in conf
