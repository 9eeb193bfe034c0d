"""Config folders, and all that is made of them: tables, findings, and the servers' configuration.

A case is a folder with `in/`; what is expected stands in `expect/`. Where a change is meant,
`MAILROSTER_GOLDEN=write` writes `expect/` anew, to be read line by line in the diff.
"""

import os
from pathlib import Path

import pytest

from mailroster.analysis.checks import check
from mailroster.analysis.checks.subject import Subject
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings, Sources, load
from mailroster.publish.tables.order import tables_for
from mailroster.publish.tables.table import Row, full
from mailroster.roster.dovecot.served import misplaced, unserved, with_fields
from mailroster.roster.dovecot.versions import VERSIONS
from mailroster.routing.router import Router
from mailroster.servers.config import postfix
from mailroster.servers.config.dovecot.versions import dialect
from mailroster.store.config_folder import Store
from mailroster.system.files import read

HERE = Path(__file__).parent
CASES = sorted(path.parent.name for path in HERE.glob("*/in"))


def settings(**options: str) -> Settings:
    """Settings that depend on nothing of the machine."""
    given = {"home": "/srv/mail", "hostname": "mail.example.com", **options}
    return load(Sources(given, {}, lambda path: b"", lambda path: False))


def shown(row: Row) -> str:
    """A row as text; fields that are not set are left out."""
    if isinstance(row, str):
        return row
    fields = row._asdict() if hasattr(row, "_asdict") else {}
    return " ".join(f"{name}={value}" for name, value in fields.items() if value is not None)


def made(case: str) -> dict[str, str]:
    """Everything that is made of a case's folder, by name of file."""
    roster = Store(str(HERE / case / "in")).read().roster
    router = Router(roster, "mail.example.com", lambda address: None, mail="/srv")
    accounts = roster.accounts
    outside = misplaced(accounts, with_fields(accounts), router.mail)
    findings = check(Subject(router), outside)
    found = {"findings.txt": "".join(f"{finding}\n" for finding in findings)}
    seen: set[str] = set()
    for version in VERSIONS:
        # What a newer Dovecot has as the older ones is not shown again.
        parts = [
            f"[{table.name}]\n" + "".join(f"{k}\t{shown(row)}\n" for k, row in sorted(rows.items()))
            for table in tables_for(version)
            if (rows := full(table, router))
        ]
        if lost := [f"{f}\n" for f in unserved(accounts, with_fields(accounts), version)]:
            parts.append("[unserved]\n" + "".join(lost))
        found[f"tables-{version}.txt"] = "\n".join(part for part in parts if part not in seen)
        seen.update(parts)
    return found


def same(folder: Path, files: dict[str, str]) -> None:
    if os.environ.get("MAILROSTER_GOLDEN") == "write":
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8", errors="surrogateescape")
    for name, text in files.items():
        expected = read(str(folder / name)).decode("utf-8", "surrogateescape")
        assert text == expected, f"{folder.name}/{name}"


@pytest.mark.parametrize("case", CASES)
def test_a_folder_compiles_to_what_is_expected(case: str) -> None:
    same(HERE / case / "expect", made(case))


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="plain"),
        pytest.param(
            {
                "spoof_protection": "1",
                "enable_quotas": "0",
                "postmaster_address": "chief@example.com",
                "listen": "0.0.0.0",
                "log_level": "debug",
                "relayhost": "[relay.example.com]:587",
                "tls_certificate": "/etc/ssl/mail.pem",
                "block_guessing": "1",
            },
            id="turned",
        ),
        pytest.param(
            {
                "listen": "192.0.2.1 2001:db8::1",
                "submission_port": "0",
                "imap_port": "0",
                "pop3_port": "0",
                "pop3s_port": "0",
                "proxy_protocol": "smtp, submissions, imaps",
                "trusted_proxies": "192.0.2.8, 2001:db8:1::/48",
                "message_size_limit": "0",
            },
            id="ports",
        ),
        pytest.param({"enable_rspamd": "1", "rspamd_redis": "127.0.0.1:6379"}, id="filtered"),
        pytest.param(
            {
                "layout": "system",
                "config": "/tmp/docker-mailserver",
                "mail": "/var/mail",
                "state": "/var/mail-state",
                "logs": "/var/log/mail",
            },
            id="system",
        ),
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_the_servers_get_the_expected_configuration(
    version: str, options: dict[str, str], request: pytest.FixtureRequest
) -> None:
    chosen = settings(**options)
    layout = Layout(chosen.state, chosen.layout)
    files = {"main.cf": postfix.main_cf(chosen, layout), "master.cf": postfix.master_cf(chosen)}
    files |= dialect(version).files(chosen, layout)
    case = request.node.callspec.id.removeprefix(f"{version}-")
    same(HERE / f"instance-dovecot-{version}" / case, files)
