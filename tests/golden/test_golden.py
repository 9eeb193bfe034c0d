"""Config folders, and all that is made of them: tables, findings, and the servers' configuration.

A case is a folder with `in/`; what is expected stands in `expect/`. Where a change is meant,
`MAILROSTER_GOLDEN=write` writes `expect/` anew, to be read line by line in the diff.
"""

import os
from pathlib import Path

import pytest

from mailroster.analysis.checks import check
from mailroster.analysis.checks.subject import Subject
from mailroster.analysis.dns.dkim_record import zone_line
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings, Sources, load
from mailroster.publish.tables.order import tables_for
from mailroster.publish.tables.table import Row, full
from mailroster.roster.dovecot.served import misplaced, unserved, with_fields
from mailroster.roster.dovecot.versions import VERSIONS
from mailroster.routing.router import Router
from mailroster.servers import dkim_keys
from mailroster.servers.config import dkim, postfix, rspamd, spam_sieve, srs
from mailroster.servers.config.dovecot.common import REPORTS_FILE, has_reports
from mailroster.servers.config.dovecot.versions import dialect
from mailroster.store.config_folder import Store
from mailroster.store.links import ConfigFolder
from mailroster.system.files import read

HERE = Path(__file__).parent
CASES = sorted(path.parent.name for path in HERE.glob("*/in"))
#: The setting main_password_services of a case.
MAIN_SERVICES = {"trusted": ("imap", "sieve")}


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
    services = MAIN_SERVICES.get(case)
    router = Router(
        roster, "mail.example.com", lambda address: None, mail="/srv", services=services
    )
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
    """Compares all files of a folder, which may have subfolders."""
    if os.environ.get("MAILROSTER_GOLDEN") == "write":
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8", errors="surrogateescape")
    for name, text in files.items():
        expected = read(str(folder / name)).decode("utf-8", "surrogateescape")
        assert text == expected, f"{folder.name}/{name}"
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert names == files.keys(), f"{folder.name} has other files"


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
                "enable_srs": "1",
                "srs_exclude_domains": "partner.example, other.example",
                "enable_rspamd": "1",
                "rspamd_redis": "/run/redis.sock",
                "block_guessing": "1",
                "never_blocked": "192.0.2.0/24, 2001:db8::/32",
                "login_reports_port": "10941",
                "main_password_services": "imap, sieve",
                "tls_certificate": "/etc/ssl/rsa.pem",
                "tls_key": "/etc/ssl/rsa.key",
                "tls_alt_certificate": "/etc/ssl/ecdsa.pem",
            },
            id="trusted",
        ),
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
    case = request.node.callspec.id.removeprefix(f"{version}-")
    chosen = settings(**options)
    layout = Layout(chosen.state, chosen.layout)
    signers = dkim.KINDS if case == "trusted" else ()
    files = {
        "main.cf": postfix.main_cf(chosen, layout, signers),
        "master.cf": postfix.master_cf(chosen, signs=bool(signers)),
    }
    files |= dialect(version).files(chosen, layout)
    if has_reports(chosen):
        files[REPORTS_FILE] = dialect(version).login_reports(chosen, "test-key" * 6)
    same(HERE / f"instance-dovecot-{version}" / case, files)
    if case == "trusted" and version == VERSIONS[0]:
        same(HERE / "helpers", helpers(chosen, layout))


def helpers(chosen: Settings, layout: Layout) -> dict[str, str]:
    """The configuration of the programs beside Postfix and Dovecot, which is the same for every
    Dovecot."""
    networks = ["10.0.0.0/8", "fd00::/8"]
    files = {
        f"opendkim-{kind}.conf": dkim.opendkim_conf(layout, kind, "opendkim", "postfix", networks)
        for kind in dkim.KINDS
    }
    files["postsrsd.txt"] = "".join(
        f"{word}\n" for word in srs.argv(chosen, layout, chosen.hostname)
    )
    local = rspamd.local_files(chosen)
    files |= {f"rspamd/local.d/{name}": text for name, text in local.items()}
    override = rspamd.override_files(layout, {})
    files |= {f"rspamd/override.d/{name}": text for name, text in override.items()}
    files |= {f"{name}.sieve": text for name, text in spam_sieve.scripts(chosen).items()}
    return files


def test_keys_and_overrides_of_docker_mailserver_become_the_expected_files() -> None:
    """A folder with DKIM keys in both layouts, a SigningTable, rotations before and after their
    record is in DNS, and files for Rspamd. Its keys are for this test only."""
    folder = ConfigFolder(str(HERE / "trusted/in"))
    layout = Layout("/srv/mail/mail-state")
    keys, lines = list[dkim.Key](), list[str]()
    for file in dkim_keys.key_files(folder):
        try:
            keys.append(dkim_keys.load(folder, file))
        except dkim_keys.KeyFault as fault:
            lines.append(f"{file.file}: {fault}\n")
            continue
        value = dkim_keys.public_part(keys[-1]).text()
        lines.append(f"{file.file}\n{zone_line(keys[-1].name(), value)}\n{value}\n")
    signing = dkim.chosen(keys, dkim_keys.preferred(folder), dkim_keys.rotations(folder))
    files = {"dkim-records.txt": "\n".join(lines)}
    for kind in dkim.KINDS:
        own = [key for key in signing if key.kind == kind]
        files[f"dkim/{kind}/KeyTable"] = dkim.key_table(own, layout)
        files[f"dkim/{kind}/SigningTable"] = dkim.signing_table(own, "mail.test-keys.example")
    files |= filtered(folder, layout)
    same(HERE / "trusted/servers", files)


def filtered(folder: ConfigFolder, layout: Layout) -> dict[str, str]:
    """The files of `override.d` after the commands, and the findings."""
    names = filter(rspamd.is_override, os.listdir(folder.path_of(rspamd.OVERRIDES)))
    own = {name: folder.read(f"{rspamd.OVERRIDES}/{name}").decode() for name in names}
    own, findings = rspamd.with_commands(own, folder.read(rspamd.COMMANDS).decode())
    override = rspamd.override_files(layout, own)
    files = {f"rspamd/override.d/{name}": text for name, text in override.items()}
    files["rspamd-findings.txt"] = "".join(f"{finding}\n" for finding in findings)
    return files
