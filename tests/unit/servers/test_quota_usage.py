"""What Maildirs hold, read without Dovecot; and what a Dovecot that fails leaves unknown."""

import os
from pathlib import Path

import pytest

from mailroster.analysis.mailbox_limit import default
from mailroster.base.layout import Layout
from mailroster.roster.dovecot.versions import VERSIONS
from mailroster.servers import doveadm_quota
from mailroster.servers.doveadm_quota import ask_quotas
from mailroster.servers.maildir_usage import BROKEN, FILE, LINES, SIZES, UNKNOWN, usage
from mailroster.servers.quota_usage import QuotaConfig, quota_config, settings_of, usage_of
from mailroster.system import programs

#: Dovecot's own file -> what it says.
FILES = {
    b"0S\n0 0\n": "0",
    b"1000S,5C\n300 3\n-100 -1\n": "200",
    b"5C\n         7          1 \n": "7",
    b"1000S\n": UNKNOWN,
    b"": UNKNOWN,
    b"1000S\n300 3": UNKNOWN,
    b"1000S\n300 3\n\n": UNKNOWN,
    b"1000S\n300 3\nx\n": UNKNOWN,
    b"1000S\n-1 1\n": UNKNOWN,
    b"1000S\n" + 9 * b"9" + 99 * b"9" + b" 1\n": UNKNOWN,
    b"1000S\n" + 20_000 * b"1 1\n": UNKNOWN,
    b"\xff\n1 1\n": UNKNOWN,
}


def of(mail: Path, method: str, *paths: str) -> list[str]:
    fd = os.open(mail, os.O_RDONLY)
    try:
        return usage(fd, [method, *paths], lambda: None).split("\n")
    finally:
        os.close(fd)


@pytest.mark.parametrize(("raw", "told"), FILES.items())
def test_the_file_of_a_maildir(tmp_path: Path, raw: bytes, told: str) -> None:
    (tmp_path / "x.com/a").mkdir(parents=True)
    (tmp_path / "x.com/a/maildirsize").write_bytes(raw)
    assert of(tmp_path, FILE, "x.com/a") == of(tmp_path, SIZES, "x.com/a") == [told]


def test_messages_count_once_and_nothing_else_does(tmp_path: Path) -> None:
    box = tmp_path / "x.com/a"
    for name in (
        "cur/1.a,S=10,W=11:2,S", "new/1.a,S=10,W=11", "new/2.a,W=21,S=20",
        ".Work/cur/3.a,S=5,W=6:2,",
        "tmp/4.a,S=9,W=9", "..DOVECOT-TRASHED/cur/5.a,S=9,W=9", "home/cur/6.a,S=9,W=9",
        "cur/.7.a,S=9,W=9", ".Empty/subscriptions", "dovecot-uidlist",
    ):  # fmt: skip
        (box / name).parent.mkdir(parents=True, exist_ok=True)
        (box / name).write_text("x")
    assert of(tmp_path, SIZES, "x.com/a", "x.com/b", "y.com/a") == ["35", "0", "0"]
    assert of(tmp_path, LINES, "x.com/a") == ["38"]
    assert of(tmp_path, FILE, "x.com/a", "x.com/b") == [UNKNOWN, "0"]
    (box / "cur/8.a").write_text("12345")
    assert of(tmp_path, SIZES, "x.com/a") == ["40"]
    assert of(tmp_path, LINES, "x.com/a") == [UNKNOWN]


def test_nothing_leads_out_or_is_waited_for(tmp_path: Path) -> None:
    mail = tmp_path / "mail"
    for name in ("elsewhere/cur", "mail/x.com/link/cur", "mail/x.com/fifo/cur", "mail/x.com/deep"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "elsewhere/cur/1.a,S=5,W=5").write_text("12345")
    (mail / "x.com/whole").symlink_to(tmp_path / "elsewhere")
    (mail / "y.com").symlink_to(mail / "x.com")
    (mail / "x.com/link/.Work").symlink_to(tmp_path / "elsewhere")
    (mail / "x.com/deep/cur").symlink_to(tmp_path / "elsewhere/cur")
    os.mkfifo(mail / "x.com/fifo/cur/1.a")
    paths = [
        "x.com/whole",
        "y.com/link",
        "x.com/link",
        "x.com/deep",
        "../elsewhere",
        "x.com//a",
        "",
    ]
    for method in (SIZES, LINES):
        assert of(mail, method, *paths, "x.com/fifo") == [*[UNKNOWN] * len(paths), BROKEN]


OURS = {
    "2.3": "mail_plugins = quota\nnamespace inbox {\n  inbox = yes\n}\nplugin {\n"
    "  quota = maildir:User quota\n  quota_rule = *:bytes=1000\n"
    "  quota_rule2 = Trash:storage=+5M\n}\n",
    "2.4": "mail_driver = maildir\nmail_plugins {\n  quota = yes\n}\nnamespace inbox {\n"
    "  mailbox Trash {\n    auto = subscribe\n  }\n}\n"
    "quota user {\n  warning at-95 {\n  }\n}\n"
    "quota_storage_size = 1000 B\npassdb sql {\n  driver = sql\n}\n",
}
METHODS = {"2.3": (FILE, SIZES), "2.4": (LINES,)}


def server(version: str, printed: str) -> QuotaConfig:
    return quota_config(
        version, settings_of(printed), QuotaConfig(version, default(7, version), ())
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_our_own_configuration_is_counted_without_dovecot(version: str) -> None:
    found = server(version, OURS[version])
    assert found.methods == METHODS[version]
    assert found.by_default.settings[version].items() >= {
        ("quota_rule", "*:bytes=1000") if version == "2.3" else ("quota_storage_size", "1000 B")
    }
    assert server(version, "").by_default == default(7, version)


@pytest.mark.parametrize(
    ("version", "more", "methods"),
    [
        ("2.3", "mail_plugins = acl\n", ()),
        ("2.3", "plugin {\n  quota = count:User quota\n}\n", ()),
        ("2.3", "plugin {\n  quota2 = dirsize:Other\n}\n", ()),
        ("2.3", "plugin {\n  quota_rule3 = Junk:ignore\n}\n", (FILE,)),
        ("2.3", "namespace shared {\n  location = maildir:/x\n}\n", (FILE,)),
        ("2.4", "mail_plugins {\n  quota = no\n}\n", ()),
        ("2.4", "mail_driver = sdbox\n", ()),
        ("2.4", "quota user {\n  driver = maildir\n}\n", ()),
        ("2.4", "quota other {\n}\n", ()),
        ("2.4", "namespace inbox {\n  mailbox Junk {\n    quota_ignore = yes\n  }\n}\n", ()),
        ("2.4", "namespace shared {\n}\n", ()),
        ("2.4", "mailbox_list_layout = fs\n", ()),
    ],
)
def test_another_configuration_is_left_to_dovecot(
    version: str, more: str, methods: tuple[str, ...]
) -> None:
    assert server(version, OURS[version] + more).methods == methods


def test_use_is_in_whole_kibibytes_as_dovecot_has_it() -> None:
    assert usage_of(0, 0) == (0, 0, 0)
    assert usage_of(1, 0) == (1024, 0, 0)
    assert usage_of(3628, 3 << 20) == (4096, 3 << 20, 0)
    assert usage_of(1 << 20, 1 << 20) == (1 << 20, 1 << 20, 100)


DOVEADM = """#!/bin/sh
for last; do :; done
printf 'Username\\tQuota name\\tType\\tValue\\tLimit\\t%%\\n'
while read -r user; do
  case $user in
  fails*) echo "doveadm($user): Error: User lookup failed" >&2; exit 75 ;;
  plugin*) echo "Fatal: Unknown command 'quota', but plugin quota exists" >&2; exit 64 ;;
  killed*) kill -9 $$ ;;
  hangs*) exec sleep 60 ;;
  gone*) continue ;;
  esac
  printf '%s\\tUser quota\\tSTORAGE\\t1\\t-\\t0\\n' "$user"
done < "$last"
"""


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    (tmp_path / "doveadm").write_text(DOVEADM)
    (tmp_path / "doveadm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return Layout(str(tmp_path))


def test_doveadm_stops_at_a_user_who_can_not_be_looked_up_and_goes_on_behind(
    layout: Layout,
) -> None:
    users = ["a", "fails1", "b", "gone", "fails2", "c", "fails3"]
    found, why = ask_quotas(layout, users)
    assert list(found) == ["a", "b", "c"]
    assert why == "doveadm(fails1): Error: User lookup failed"


def test_a_dovecot_that_fails_for_all_is_not_asked_for_each(layout: Layout) -> None:
    told: list[int] = []
    found, why = ask_quotas(layout, [f"fails{n}" for n in range(5000)], told.append)
    assert (found, len(told)) == ({}, 10)
    assert "User lookup failed" in why


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ("plugin", "doveadm: Fatal: Unknown command 'quota', but plugin quota exists"),
        ("killed", "doveadm: exit code -9"),
        ("gone", ""),
    ],
)
def test_why_it_is_not_known_is_said_in_the_words_of_doveadm(
    layout: Layout, user: str, words: str
) -> None:
    assert ask_quotas(layout, [user]) == ({}, words)


def test_a_dovecot_that_hangs_leaves_the_rest_unknown(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doveadm_quota, "_QUOTAS_TIMEOUT_S", 1.0)
    monkeypatch.setattr(doveadm_quota, "_USERS_AT_ONCE", 2)
    found, why = ask_quotas(layout, ["a", "b", "hangs", "c", "d"])
    assert set(found) >= {"a", "b"}
    assert "d" not in found
    assert why == "doveadm did not end within 1 seconds"


def test_doveadm_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "program", lambda name: None)
    assert ask_quotas(Layout(str(tmp_path)), ["a"]) == ({}, "doveadm is not installed")
