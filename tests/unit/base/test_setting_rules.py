"""Rules of settings: text → accepted, or what it has to be."""

import pytest

from mailroster.base.setting_rules import PASSWORD_SCHEMES, RULES, fault, host_fault, path_fault
from mailroster.base.settings import SETTINGS, SYSTEM
from mailroster.roster.formats.hash_cost import SCHEMES

GOOD = {
    "hostname": ["mail.example.com", "MAIL.Example.com", "mail", "a-b.c9", "xn--bcher-kva.example"],
    "listen": ["127.0.0.1", "*", "0.0.0.0", "::", "::1", "*, ::", "2001:db8::1",
        "127.0.0.1, 10.0.0.1", " 127.0.0.1 ::1", "0.0.0.0, ::",
    ],
    "proxy_protocol": ["all", "smtp", "smtp, imap", "imaps pop3s,sieve"],
    "trusted_proxies": ["10.0.0.1", "10.0.0.0/8, 2001:db8::/32", "::1"],
    "tls_type": ["letsencrypt", "custom", "self-signed", "manual"],
    "tls_domain": ["example.com", "*.example.com"],
    "postmaster_address": ["pm@example.com", "Post.Master+x@Example.com", "a_b-c@mail.example"],
    "relayhost": [
        "[smtp.provider.test]:587", "smtp.provider.test", "smtp.provider.test:25", "[10.0.0.1]:25",
        "10.0.0.1", "[ipv6:2001:db8::1]:25", "[2001:db8::1]", "[my_relay]:2525",
        "[a.test]:587, [b.test]:587", "[a.test]:submission",
    ],
    "relay_tls_level": ["may", "encrypt", "verify", "secure"],
    "log_level": ["error", "warn", "info", "debug", "trace"],
    "smtp_port": ["0", "1", "25", "65535"],
    "vmail_uid": ["1", "5000", "2147483647"],
    "password_scheme": ["sha512-crypt", "BLF-CRYPT", "ARGON2ID"],
    "tls_key": ["/etc/ssl/key.pem", "/srv/a b.pem".replace(" ", "-"), "/etc/ssl/schlüssel.pem"],
    "mailbox_size_limit": ["0", str(1 << 60)],
    "recipient_delimiter": ["+", "-", "-_", "+-_=", "none"],
    "trash_room": ["0", "50M", "1g", "0M", "999T"],
    "password_min_length": ["0", "500"],
    "settle_seconds": ["0", "3600"],
    "srs_domain": ["bounces.example.com"],
    "srs_sender_classes": ["envelope_sender", "envelope_sender,header_sender", "header_sender"],
    "srs_secret": ["a", "new-secret,old-secret", "new\nold", "$x{}"],
}  # fmt: skip
BAD = {
    "hostname": [
        "a x={", "$mail_name", "mail_x.example", "-a.test", "a..test", "mail.example.com.", "a\tb",
        "a" * 64 + ".test", ".".join(["a" * 60] * 5), "mäil.example", "</etc/shadow", "a;b",
        "10.0.0.1",
        "mail.example.com\n", "a#b", "{a}", "%d", "*",
    ],
    "listen": [
        "localhost", "1.2.3", "127.0.0.1, *", "::, ::1", ",", "::1%lo", "127.0.0.1:25", "* }", "$x",
        "0x7f.1",
        "[::1]", "256.1.1.1",
    ],
    "postmaster_address": [
        "</etc/shadow", "root", "@x.com", "a@", "a@b@c.com", "a@x.com }", "a b@x.com",
        "$user@x.com",
        "%u@x.com", "postmaster@%d", '"a"@x.com', "a,b@x.com", "{a}@x.com", "-a@x.com", ".a@x.com",
        "a.@x.com", "a..b@x.com", "ä@x.com", "a@ä.com", "a" * 65 + "@x.com", "a@x_y.com",
        "a'b@x.com",
        "a#b@x.com", "|prog@x.com", "/etc/passwd@x.com",
    ],
    "relayhost": [
        "smtp:x:y", "[a.test", "a.test]:25", "[a.test]25", "[a.test]:0", "[a.test]:65536",
        "[a.test]:-1",
        "$relay", "a.test:", "[a.test]:", "[]:25", ":25", "a b={", "unix:/run/x", "</etc/shadow",
        "[a.test]:٢٥", "[a.test]:2 5 }",
    ],
    "relay_tls_level": ["none", "MAY", "may -o x=y", "dane"],
    "log_level": ["anything", "INFO", "debug\n", "warning"],
    "proxy_protocol": ["smtpd", "all, smtp", "25", "smtp}", "none"],
    "trusted_proxies": ["proxy", "10.0.0.1/8", "10.0.0", "10.0.0.1:25", "}", "10.0.0.0/33"],
    "tls_type": ["snakeoil", "LETSENCRYPT", "x"],
    "tls_domain": ["../x", "*", "a b", "a/b"],
    "smtp_port": ["65536", "99999999999999999999"],
    "sieve_port": ["-1", "65536"],
    "vmail_uid": ["0", "4294967295", "4294967296", "2147483648"],
    "vmail_gid": ["0", "99999999999999999999"],
    "password_scheme": ["MD5", "PLAIN", "SHA512-CRYPT }"],
    "tls_certificate": [
        "cert.pem", "/a b.pem", "/a$b", "/a{", "/a}", "/a#b", "/a<b", '/a"b', "/a'b", "/a,b",
        "/a:b",
        "/a%d", "/a|b", "/a\\b", "/a;b", "/*.pem", "/a?", "/[a]", "/a\u2028b", "</etc/shadow",
    ],
    "tls_key": ["key.pem", "/a\nb"],
    "recipient_delimiter": ["++", "a", "+ ", "+none", ".", "%", "$x", "-\n"],
    "trash_room": ["5", "x", "-1M", "1.5G", "1M\n}", "99999999999T", "50M }"],
    "mailbox_size_limit": [str((1 << 60) + 1), "9" * 40],
    "message_size_limit": ["9" * 40],
    "password_min_length": ["501", "9" * 40],
    "settle_seconds": ["3601", "9" * 40],
    "srs_domain": ["*.example.com", "a b", "$mydomain", "x}"],
    "srs_sender_classes": ["all", "envelope_recipient", "envelope_sender\nx = y", ","],
    "srs_secret": ["\0x", "schlüssel", ",", "a\x1bb"],
    "history_bytes": ["9" * 40],
    "index_from_bytes": ["9" * 40],
}  # fmt: skip


@pytest.mark.parametrize(("name", "text"), [(n, t) for n, texts in GOOD.items() for t in texts])
def test_a_plain_value_is_accepted(name: str, text: str) -> None:
    assert fault(name, text) == ""


@pytest.mark.parametrize(("name", "text"), [(n, t) for n, texts in BAD.items() for t in texts])
def test_what_a_server_would_read_as_its_own_is_refused_by_name(name: str, text: str) -> None:
    said = fault(name, text)
    assert said.startswith(f"{name}: ")
    assert " is " in said


def test_a_secret_is_not_shown() -> None:
    assert "passwört" not in fault("srs_secret", "passwört")


def test_the_table_has_rules_for_settings_only() -> None:
    assert set(RULES) <= {setting.name for setting in SETTINGS}


def test_every_setting_that_reaches_a_server_has_a_rule() -> None:
    """The rest are switches, or have a judge of their own (layout, quota_warnings, password_cost),
    or name a file that only we read."""
    free = {"layout", "linked_folders", "quota_warnings", "password_cost", "password_refused"}
    switches = {setting.name for setting in SETTINGS if isinstance(setting.default, bool)}
    assert {setting.name for setting in SETTINGS} - set(RULES) == free | switches


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_default_keeps_its_rule(setting: object) -> None:
    assert fault(setting.name, setting.default) == ""  # type: ignore[attr-defined]
    assert fault(setting.name, SYSTEM.get(setting.name, "")) == ""  # type: ignore[attr-defined]


def test_the_names_of_schemes_are_those_of_the_hashes() -> None:
    assert PASSWORD_SCHEMES == SCHEMES


def test_a_host_and_a_path_are_judged_alone_too() -> None:
    assert host_fault("mail.example.com") == path_fault("/srv/mail") == ""
    assert "host name" in host_fault("a b")
    assert "'$'" in path_fault("/srv/$mail")
