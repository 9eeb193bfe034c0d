"""The folder's own settings for the servers: their words, what comes of them, who judges them."""

from pathlib import Path

import pytest

from mailroster.base.findings import ERROR, WARNING, Refused
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings, Sources, load
from mailroster.servers.config import postfix
from mailroster.servers.config.dovecot.versions import dialect
from mailroster.servers.config.overrides import (
    Overrides,
    dovecot_warnings,
    entries,
    findings,
    main_cf,
    master_cf,
    message_size_limit,
    plugin_findings,
    plugins,
)
from mailroster.servers.overrides import PendingChanges, activate, check

BASE = "# ours\na = 1\nb = 2\nab = 3\n\n# more\nc = $a\n"
SERVICES = """\
# service
smtp unix - - n - - smtp
127.0.0.1:10025 inet n - n - - smtpd
  -o x=1
  -o { y = 2, 3 }
127.0.0.1:10587 inet n - n - - smtpd
"""
NAMES = {"127.0.0.1:10025": "smtp", "127.0.0.1:10587": "submission"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", BASE),
        ("# nothing\n\n", BASE),
        ("b=7\n", "# ours\na = 1\nab = 3\n\n# more\nc = $a\n\n# postfix-main.cf\nb = 7\n"),
        ("n = 1,\r\n  2\r\n", f"{BASE}\n# postfix-main.cf\nn = 1,\n  2\n"),
        ("n = 1\nn = 2\n", f"{BASE}\n# postfix-main.cf\nn = 2\n"),
        ("n =", f"{BASE}\n# postfix-main.cf\nn = \n"),
    ],
)
def test_main_cf_has_each_name_once_and_the_folder_s_last(text: str, expected: str) -> None:
    assert main_cf(BASE, text) == expected


def test_a_replaced_setting_goes_with_the_lines_that_continue_it() -> None:
    assert main_cf("a = {\n  1\n  2}\nb = 3\n", "a = 4\n") == "b = 3\n\n# postfix-main.cf\na = 4\n"


@pytest.mark.parametrize(
    ("text", "header", "mime", "nested"),
    [
        ("header_checks = T:1\n", "T:1, $hidden_headers", "T:1, $hidden_mime_headers", "T:1"),
        (
            "header_checks = T:1\nmime_header_checks =\nnested_header_checks = T:2\n",
            "T:1, $hidden_headers", "$hidden_mime_headers", "T:2",
        ),
        ("mime_header_checks = T:1\n", "$hidden_headers", "T:1, $hidden_mime_headers", ""),
        (
            "header_checks = T:1\nsubmission_header_checks = T:2\n",
            "T:2", "T:1, $hidden_mime_headers", "T:1",
        ),
    ],
)  # fmt: skip
def test_checks_of_headers_apply_to_submissions_too(
    text: str, header: str, mime: str, nested: str
) -> None:
    made = main_cf(_main_cf(), text)
    for name, value in (("header", header), ("mime_header", mime), ("nested_header", nested)):
        assert made.count(f"\nsubmission_{name}_checks =") == 1
        assert f"\nsubmission_{name}_checks = {value}\n" in made


def test_without_hidden_clients_there_are_no_checks_of_submissions() -> None:
    assert "submission_header" not in main_cf(_main_cf(hide_client="0"), "header_checks = T:1\n")


def _main_cf(**options: str) -> str:
    sources = Sources(
        {"hostname": "mail.example.com", **options}, {}, lambda _: b"", lambda _: False
    )
    settings = load(sources)
    return postfix.main_cf(settings, Layout(settings.state))


@pytest.mark.parametrize(
    ("line", "where", "option"),
    [
        ("smtp/inet/x=9", 4, "  -o { x = 9 }"),
        ("smtp/inet/y = 9", 4, "  -o { y = 9 }"),
        ("25/inet/z=1, 2", 5, "  -o { z = 1, 2 }"),
        ("submission/inet/z=", 6, "  -o { z =  }"),
        ("587/inet/z=1", 6, "  -o { z = 1 }"),
        ("smtp/unix/z=1", 2, "  -o { z = 1 }"),
    ],
)
def test_an_option_goes_to_its_service(line: str, where: int, option: str) -> None:
    lines = master_cf(SERVICES, f"# a comment\n{line}\n", NAMES).split("\n")
    assert lines[where] == option
    assert (
        len([entry for entry in lines if " z =" in entry or " x" in entry or " y " in entry]) <= 3
    )


def test_a_service_that_is_not_there_changes_nothing() -> None:
    assert master_cf(SERVICES, "amavis/unix/x=1\n", NAMES) == SERVICES


@pytest.mark.parametrize(
    ("overrides", "found"),
    [
        (Overrides(main="message_size_limit = 1\n"), []),
        (Overrides(main="# a\n\nno setting\n"), [("postfix-main.cf:3", "malformed-override")]),
        (Overrides(main="a b = 1"), [("postfix-main.cf:1", "malformed-override")]),
        (Overrides(main="a = \x00"), [("postfix-main.cf:1", "malformed-override")]),
        (Overrides(main="mynetworks = 0.0.0.0/0"), [("postfix-main.cf:1", "risky-override")]),
        (Overrides(master="smtp inet n"), [("postfix-master.cf:1", "malformed-override")]),
        (Overrides(master="smtp/inet=x"), [("postfix-master.cf:1", "malformed-override")]),
        (Overrides(master="no/inet/x=1"), [("postfix-master.cf:1", "no-such-service")]),
        (Overrides(dovecot="\n passdb {\n}"), [("dovecot.cf:2", "risky-override")]),
    ],
)  # fmt: skip
def test_what_the_words_of_a_file_tell(overrides: Overrides, found: list[tuple[str, str]]) -> None:
    said = findings(overrides, SERVICES, NAMES, dialect("2.3").RISKY_SETTINGS)
    assert [(str(finding.where), finding.code) for finding in said] == found


def test_every_entry_is_known_by_its_line() -> None:
    text = "\n# a\nfirst = 1\n  2\n# b\n\n  3\nsecond=\n"
    assert [(e.line, e.name, e.value) for e in entries("postfix-main.cf", text)] == [
        (3, "first", "1\n  2\n  3"),
        (8, "second", ""),
    ]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "config").mkdir()
    (tmp_path / "mail-state").mkdir()
    options = {"home": str(tmp_path), "hostname": "mail.test"}
    return load(Sources(options, {}, lambda path: b"", lambda path: False))


@pytest.mark.parametrize(
    ("overrides", "found"),
    [
        (Overrides("message_size_limit = 7000000", "smtp/inet/smtpd_banner=x", "listen = ::"), []),
        (Overrides(main="\nmessage_size_limit = x"), [("postfix-main.cf:2", "bad-override")]),
        (Overrides(main="mesage_size = 1\n"), [("postfix-main.cf:1", "unused-parameter")]),
        (Overrides(main="own = 1\nsmtpd_banner = $own\n"), []),
        (Overrides(master="25/inet/smtpd_ban=x"), [("postfix-master.cf:1", "unused-parameter")]),
        (Overrides(main="transport_maps = hash:/no"), [("postfix-main.cf:1", "bad-override")]),
        (
            Overrides(main="a = permit\nsmtpd_restriction_classes = a, b\n"),
            [("postfix-main.cf:2", "bad-override")],
        ),
        (
            Overrides(main="a = 1\nmine = pcre:/nowhere\nsmtpd_helo_restrictions = $a, $mine\n"),
            [("postfix-main.cf:2", "bad-override")],
        ),
        (
            Overrides(master="smtp/inet/smtpd_etrn_restrictions=check_etrn_access cidr:/no\n"),
            [("postfix-master.cf:1", "bad-override")],
        ),
        (
            Overrides(main="smtpd_milters = inet:[::1]:9\nnon_smtpd_milters = $smtpd_milters"),
            [("postfix-main.cf:1", "silent-service")],
        ),
        (
            Overrides(main="smtpd_milters = inet:localhost:9\nmilter_default_action = accept\n"),
            [],
        ),
        (Overrides(dovecot="# a\nmail_no = 1\n"), [("dovecot.cf:2", "bad-override")]),
        (Overrides(dovecot="mail_max_lock_timeout = x\n"), [("dovecot.cf:1", "bad-override")]),
        (Overrides(dovecot="service imap {\n"), [("dovecot.cf:1", "bad-override")]),
        (Overrides(dovecot="\nno brace here\n"), [("dovecot.cf:2", "bad-override")]),
        (Overrides(dovecot="mail_plugins = $mail_plugins acl notify\n"), []),
        (Overrides(dovecot="\nmail_plugins = $mail_plugins x"), [("dovecot.cf:2", "bad-override")]),
        (Overrides(dovecot="\nprotocol lmtp {\n  x {\n }\n"), [("dovecot.cf:2", "bad-override")]),
        (Overrides("recipient_delimiter = +", dovecot='recipient_delimiter="+" # same\n'), []),
        (
            Overrides(
                "recipient_delimiter = -", "25/inet/recipient_delimiter=",
                "recipient_delimiter = +-",
            ),
            [
                ("dovecot.cf:1", "belongs-in-settings"),
                ("postfix-main.cf:1", "belongs-in-settings"),
                ("postfix-master.cf:1", "belongs-in-settings"),
            ],
        ),
        (Overrides(dovecot="mail_plugins = acl\n"), [("dovecot.cf:1", "risky-override")]),
        (Overrides(dovecot="\nssl_protocols = !SSLv3"), [("dovecot.cf:2", "doubtful-override")]),
        (
            Overrides(dovecot="protocol imap {\n mail_debug = yes\n}\nmail_debug = no\n"),
            [("dovecot.cf:4", "bad-override")],
        ),
    ],
)  # fmt: skip
def test_what_the_servers_own_programs_tell(
    settings: Settings, overrides: Overrides, found: list[tuple[str, str]]
) -> None:
    said = check(overrides, settings, Layout(settings.state))
    assert [(str(finding.where), finding.code) for finding in said] == found


#: What `doveconf -n` prints of the same plugins, by version.
CONF = {
    "2.3": "mail_plugins = quota\nprotocol imap {\n  mail_plugins = quota imap_quota\n}\n",
    "2.4": (
        "mail_plugins {\n  quota = yes\n  fts = no\n}\n"
        "namespace inbox {\n  mailbox Sent {\n  }\n}\n"
        "protocol imap {\n  mail_plugins {\n    imap_quota = yes\n    quota = yes\n  }\n}\n"
    ),
}


@pytest.mark.parametrize("version", CONF)
def test_plugins_are_read_from_what_doveconf_prints(version: str) -> None:
    found = plugins(CONF[version])
    assert found == {"": {"quota"}, "protocol imap": {"quota", "imap_quota"}}


def test_a_list_of_plugins_that_begins_with_a_blank_is_in_quotes() -> None:
    """As Dovecot 2.3 prints `$mail_plugins imap_zlib` where the first is empty."""
    printed = 'protocol imap {\n  mail_plugins = " imap_zlib"\n}\n'
    assert plugins(printed) == {"protocol imap": {"imap_zlib"}}


@pytest.mark.parametrize(
    ("text", "conf", "found"),
    [
        ("a = 1\n", "mail_plugins = nothing\n", []),
        ("mail_plugins = $mail_plugins acl\n", "mail_plugins = quota acl\n", []),
        ("mail_plugins = x\n", "mail_plugins = quota x\n", [("dovecot.cf:1", "bad-override")]),
        ("\nmail_plugins = acl\n", "mail_plugins = acl\n", [("dovecot.cf:2", "risky-override")]),
        (
            "mail_plugins = $mail_plugins acl\n", "mail_plugins = $mail_plugins acl\n",
            [("dovecot.cf:1", "bad-override"), ("dovecot.cf:1", "risky-override")],
        ),
        (
            "protocol imap {\n mail_plugins = acl\n}\n",
            "mail_plugins = quota\nprotocol imap {\n mail_plugins = acl\n}\n",
            [("dovecot.cf:2", "risky-override")],
        ),
    ],
)  # fmt: skip
def test_plugins_that_are_missing_or_lost_are_reported(
    text: str, conf: str, found: list[tuple[str, str]]
) -> None:
    plain = "mail_plugins = quota\nprotocol imap {\n mail_plugins = quota\n}\n"
    conf = conf if "protocol" in conf else conf + plain.partition("\n")[2]
    said = plugin_findings(text, conf, plain, {"quota", "acl"}, "mail_plugins = NAME")
    assert [(str(finding.where), finding.code) for finding in said] == found


def test_warnings_of_doveconf_are_findings_at_their_lines() -> None:
    path = "/tmp/x/dovecot.cf"
    stderr = (
        "doveconf: Warning: NOTE: You can get a new clean config file with: doveconf -Pn\n"
        f"doveconf: Warning: Obsolete setting in {path}:3: a has been replaced by b\n"
        f"doveconf: Warning: {path} line 4: Global setting a won't change the setting inside an "
        f"earlier filter at {path} line 2 (if this is intentional, …)\n"
        f"doveconf: Warning: Obsolete setting in {path}:3: a has been replaced by b\n"
        "doveconf: Warning: the moon is full\n"
    )
    found = dovecot_warnings(stderr, path, "manual")
    assert [(str(f.where), f.severity, f.code) for f in found] == [
        ("dovecot.cf:3", WARNING, "doubtful-override"),
        ("dovecot.cf:4", ERROR, "bad-override"),
        ("dovecot.cf", WARNING, "doubtful-override"),
    ]
    assert found[0].message == "Dovecot says: Obsolete setting: a has been replaced by b"
    assert path not in str(found[1])


def test_a_start_takes_good_files_and_refuses_bad_ones_only_at_first(settings: Settings) -> None:
    layout, file = Layout(settings.state), Path(settings.config, "postfix-main.cf")
    file.write_text("message_size_limit = x\n")
    with pytest.raises(Refused, match=r"postfix-main\.cf:1: error"):
        activate(settings, layout)
    file.write_text("message_size_limit = 7\n")
    assert activate(settings, layout) == (Overrides(main="message_size_limit = 7\n"), [])
    pending = PendingChanges(settings, layout)
    assert pending.findings() == ()
    file.write_text("message_size_limit = 88\n")
    assert [finding.code for finding in pending.findings()] == ["restart-needed"]
    file.write_text("message_size_limit = xxx\n")
    assert [finding.code for finding in pending.findings()] == ["bad-override"]
    taken = activate(settings, layout)
    assert taken.overrides.main == "message_size_limit = 7\n"
    assert [finding.code for finding in taken.findings] == ["held-back", "bad-override"]
    file.unlink()
    assert activate(settings, layout) == (Overrides(), [])


@pytest.mark.parametrize(
    ("main", "limit"),
    [
        ("", 7),
        ("a = 1\n", 7),
        ("message_size_limit = 9\nmessage_size_limit=0\n", 0),
        ("message_size_limit = $own\n", 0),
        ("message_size_limit =\n 52428800\n", 52428800),
    ],
)
def test_the_limit_of_an_upload_is_that_of_postfix(main: str, limit: int) -> None:
    assert message_size_limit(main, 7) == limit


def test_a_changed_setting_waits_for_a_restart_and_is_reported(settings: Settings) -> None:
    layout, toml = Layout(settings.state), Path(settings.config, "mailroster.toml")
    toml.write_text("smtp_port = 2525\n")
    activate(settings, layout)
    pending = PendingChanges(settings, layout)
    assert pending.findings() == ()
    toml.write_text("smtp_port = 2526\n# more\n")
    (finding,) = pending.findings()
    assert (str(finding.where), finding.code) == ("mailroster.toml", "restart-needed")
    toml.unlink()
    assert [f.code for f in pending.findings()] == ["restart-needed"]
    assert PendingChanges(settings._replace(trust_config=False), layout).findings() == ()
    activate(settings, layout)
    assert PendingChanges(settings, layout).findings() == ()


def test_ours_without_overrides_is_fine_by_the_servers_programs(settings: Settings) -> None:
    nothing = Overrides("# nothing\n", "# nothing\n", "# nothing\n")
    assert check(nothing, settings, Layout(settings.state)) == []
    with_reports = settings._replace(block_guessing=True, login_reports_port=940)
    assert check(nothing, with_reports, Layout(settings.state)) == [], "before the first start"
    assert postfix.listeners(settings)["127.0.0.1:10025"] == "smtp"
    assert not any(f.severity == ERROR for f in findings(nothing, "", {}, ()))


def test_reports_of_logins_do_not_stop_a_start_with_an_override(settings: Settings) -> None:
    """The file with the key of the reports exists only from the first start on."""
    overrides = Overrides("", "", "mail_max_userip_connections = 20\n")
    settings = settings._replace(login_reports_port=10940, block_guessing=True)
    assert check(overrides, settings, Layout(settings.state)) == []


def test_with_other_routes_nothing_is_refused_as_unknown() -> None:
    """The policy service knows our tables alone, and an alias of /dev/null keeps its transport."""
    settings = load(Sources({"home": "/srv"}, {}, lambda path: b"", lambda path: True))
    base = postfix.main_cf(settings, Layout(settings.state))
    assert "policy_context=recipient+quota" in base
    assert "policy_context=recipient+quota" in main_cf(base, "smtpd_banner = x\n")
    for name in ("virtual_alias_maps", "canonical_maps", "transport_maps", "virtual_transport"):
        text = main_cf(base, f"{name} = hash:/x\n")
        assert "policy_context=quota" in text and "recipient+" not in text
    assert "\ntransport_maps = $mailroster_transports, hash:/x\n" in main_cf(
        base, "transport_maps = hash:/x\n"
    )
    assert "\ntransport_maps = $mailroster_transports\n" in main_cf(base, "transport_maps =\n")


def test_classes_of_restrictions_are_added_to_ours() -> None:
    settings = load(Sources({"home": "/srv"}, {}, lambda path: b"", lambda path: True))
    base = postfix.main_cf(settings._replace(enable_srs=True), Layout(settings.state))
    for value, expected in (("a, b", "a, b, mailroster_bounces"), ("", "mailroster_bounces")):
        text = main_cf(base, f"smtpd_restriction_classes = {value}\n")
        assert [line for line in text.split("\n") if line.startswith("smtpd_restriction")] == [
            f"smtpd_restriction_classes = {expected}"
        ]
