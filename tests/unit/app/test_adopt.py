"""`mailroster adopt` on folders as a docker-mailserver leaves them, and on stranger ones."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mailroster.app.adopt import environment, known_files, locate
from mailroster.app.adopt.remark import DIFFERS, FIX, KINDS, MISSING, NOTE, OTHER_WAY
from mailroster.app.adopt.variables import VARIABLES
from mailroster.base.layout import Layout
from mailroster.cli import main
from mailroster.servers import mail_owner, prerequisites
from mailroster.servers.config.overrides import FILES as OVERRIDES
from tests.support import left_behind
from tests.support.folder import ACCOUNTS, VIRTUAL, Folder, H, Ran, folder
from tests.support.left_behind import OWNER
from tests.support.project import ROOT

__all__ = ["folder"]  # the fixture

Run = Callable[..., Ran]
REGEXP = "postfix-regexp.cf"


@pytest.fixture
def run(folder: Folder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """`mailroster adopt` as a newcomer runs it, from a folder of nothing."""
    (tmp_path / "nothing").mkdir()
    monkeypatch.chdir(tmp_path / "nothing")
    # pytest's folders are closed, and have long names.
    monkeypatch.setattr(prerequisites, "check_passable", lambda path: None)
    monkeypatch.setattr(Layout, "socket_room", lambda self: 0)

    def adopt(*words: str) -> Ran:
        code = main(["adopt", *words])
        return Ran(code, *folder.capsys.readouterr())

    return adopt


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The folder of a compose project, left behind."""
    path = tmp_path / "project"
    left_behind.project(path)
    return path


def told(ran: Ran) -> dict[str, list[tuple[str, str]]]:
    """What a report in JSON says, kind -> subject and text."""
    found: dict[str, list[tuple[str, str]]] = {kind: [] for kind in KINDS}
    for remark in json.loads(ran.out)["remarks"]:
        text = f"{remark['message']}; {remark['hint']}"
        found[remark["kind"]].append((os.path.basename(remark["subject"]), text))
    return found


def subjects(ran: Ran, kind: str) -> list[str]:
    return [subject for subject, _ in told(ran)[kind]]


def text_of(ran: Ran, kind: str, subject: str) -> str:
    """What is said of a subject."""
    return next(text for name, text in told(ran)[kind] if name == subject)


def kept(folder: Path) -> dict[str, tuple[int, int, int]]:
    return {
        str(path): (status.st_mtime_ns, status.st_ctime_ns, status.st_size)
        for path in sorted(folder.rglob("*"))
        if (status := path.lstat())
    }


# -- where it is


@pytest.mark.parametrize("named", ["", "docker-data/dms", "docker-data/dms/config"])
def test_a_project_a_home_and_a_config_folder_are_the_same(
    run: Run, project: Path, named: str
) -> None:
    ran = run(str(project / named), "--json")
    report = json.loads(ran.out)
    home = project / "docker-data/dms"
    assert report["folders"] == {
        "config": str(home / "config"),
        "mail": str(home / "mail-data"),
        "state": str(home / "mail-state"),
        "logs": str(home / "mail-logs"),
    }
    assert report["project"] == ["compose.yaml", "mailserver.env"]
    assert report["served"] == {
        "accounts": 4, "domains": 2, "aliases": 4, "patterns": 1, "quotas": 1, "masters": 1,
        "restrictions": 2, "sender_rights": 0, "local_aliases": 1, "relays": 2, "relay_logins": 1,
        "sieve_scripts": 2, "dkim_keys": 0,
    }  # fmt: skip
    assert report["mailboxes"] == {"existing": 2, "missing": ["bob@example.com", "qa@example.org"]}
    assert report["next"][0].startswith("docker compose --project-directory")
    assert report["next"][1] == (
        "SPOOF_PROTECTION=1 ENABLE_QUOTAS=1 ENABLE_SRS=1 ENABLE_FAIL2BAN=1 "
        "OVERRIDE_HOSTNAME=mail.example.com "
        f"mailroster --home {home} up"
    )


def test_nothing_is_changed_and_no_secret_is_told(run: Run, project: Path) -> None:
    before = kept(project)
    for words in ([], ["--json"], ["--strict"]):
        ran = run(str(project), *words)
        assert not any(word in ran.out + ran.err for word in ("$6$", "very-secret", "provider-s"))
    assert kept(project) == before


def test_paths_are_whole_in_the_root_as_in_a_shell_of_the_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir("/")
    assert locate.near("/tmp/docker-mailserver") == "/tmp/docker-mailserver"
    monkeypatch.chdir("/tmp")
    assert locate.near("/tmp/docker-mailserver") == "docker-mailserver"


def test_a_compose_file_says_where_the_folders_are(run: Run, project: Path, tmp_path: Path) -> None:
    (project / "docker-data/dms").rename(tmp_path / "elsewhere")
    (project / "docker-data").rmdir()
    compose = left_behind.COMPOSE.replace("./docker-data/dms", "../elsewhere")
    (project / "compose.yaml").write_text(compose)
    report = json.loads(run(str(project), "--json").out)
    assert report["folders"]["mail"] == str(tmp_path / "elsewhere/mail-data")
    assert report["served"]["accounts"] == 4


def test_volumes_that_docker_keeps_are_asked_for(run: Run, project: Path, tmp_path: Path) -> None:
    compose = left_behind.COMPOSE.replace("./docker-data/dms/mail-data/", "maildata")
    (project / "compose.yaml").write_text(compose)
    (project / "docker-data/dms/mail-data").rename(tmp_path / "volume")
    ran = run(str(project), "--json")
    assert "volume 'maildata', which Docker manages" in text_of(ran, OTHER_WAY, "compose.yaml")
    assert json.loads(ran.out)["folders"]["mail"] is None
    ran = run(str(project), "--mail", str(tmp_path / "volume"), "--json")
    assert json.loads(ran.out)["mailboxes"]["existing"] == 2


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param("nowhere", "there is no folder", id="no folder at all"),
        pytest.param("empty", "is no config folder of docker-mailserver", id="an empty folder"),
        pytest.param("file", "there is no folder", id="a file"),
    ],
)
def test_what_is_no_such_folder_is_refused(run: Run, tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    ran = run(str(tmp_path / name))
    assert (ran.code, ran.out) == (1, "")
    assert words in ran.err


# -- all is well


def test_a_folder_without_anything_strange_is_short(run: Run, folder: Folder) -> None:
    folder.write(ACCOUNTS, f"a@x.com|{H}\n")
    (folder.config / ACCOUNTS).chmod(0o600)
    left_behind.mailbox(folder.mail, "x.com/a", "hello")
    (folder.mail / "x.com/a/.Lists.a").rename(folder.mail / "x.com/a/.Lists")
    os.chown(folder.mail, OWNER, OWNER)
    ran = run(str(folder.home))
    assert ran.code == 0
    assert ran.out.splitlines()[2:] == [
        "serves  1 account, 1 domain",
        "        1 mailbox has a folder already",
        "All of it is served as before.",
        "",
        "Next, as root",
        "  stop the old server, so that only one server writes the mail",
        f"  mailroster --home {folder.home} up",
        "",
        "It will listen on 127.0.0.1: SMTP 10025, submission 10587 and 10465, IMAP 10143 and "
        "10993, POP3 10110 and 10995, ManageSieve 14190; with its own certificate, which no client "
        "trusts.",
        "These ports are for a test. To take over, set listen and the ports in "
        f'{folder.config}/mailroster.toml, or set layout = "system" for the usual ports on all '
        "addresses (docs/guide/operations.md).",
        "",
        f"The pages docs/… are in {ROOT}/docs",
    ]
    assert run(str(folder.home), "--strict").code == 0


def test_the_ports_are_those_that_the_settings_say(run: Run, folder: Folder) -> None:
    folder.write(ACCOUNTS, f"a@x.com|{H}\n")
    folder.write("mailroster.toml", 'smtp_port = 25\nlisten = "0.0.0.0"\n')
    ran = run(str(folder.home))
    assert "It will listen on 0.0.0.0: SMTP 25, submission 10587" in ran.out
    assert "ports are for a test" not in ran.out
    listens = json.loads(run(str(folder.home), "--json").out)["listens"]
    assert (listens["on"], listens["smtp"], listens["imaps"]) == ("0.0.0.0", 25, 10993)


def test_no_next_step_is_named_while_errors_remain(run: Run, folder: Folder) -> None:
    folder.write(ACCOUNTS, f"a@x.com|{H}\nbroken\n")
    ran = run(str(folder.home))
    assert ran.code == 1
    assert "Next" not in ran.out and "listen" not in ran.out
    assert f"then run 'mailroster adopt {folder.home}' again" in ran.out
    assert json.loads(run(str(folder.home), "--json").out)["next"] == []


# -- files


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("user-patches.sh", OTHER_WAY, "not run"),
        ("fail2ban-jail.cf", OTHER_WAY, "without fail2ban"),
        ("ldap-users.cf", MISSING, "LDAP"),
        ("amavis.cf", MISSING, "spam"),
        ("spamassassin-rules.cf", MISSING, "spam"),
        ("whitelist_clients.local", MISSING, "greylisting"),
        ("fetchmail.cf", MISSING, "fetched"),
        ("getmail-john.cf", MISSING, "fetched"),
        ("dovecot-oauth2.conf.ext", MISSING, "password"),
        ("sieve-pipe", MISSING, "run programs"),
        ("ssl", NOTE, "SSL_TYPE=custom"),
        ("postfix-account.cf", OTHER_WAY, "postfix-accounts.cf"),
        ("Dovecot-Quotas.cf", OTHER_WAY, "dovecot-quotas.cf"),
        ("notes.odt", NOTE, "not read"),
    ],
)
def test_a_file_that_is_not_read_is_named(
    run: Run, folder: Folder, name: str, kind: str, words: str
) -> None:
    folder.write(ACCOUNTS, f"a@x.com|{H}\n")
    folder.write(name, b"\0\xff")
    ran = run(str(folder.home), "--json")
    assert words in text_of(ran, kind, name)
    assert ran.code == 0
    assert run(str(folder.home), "--strict").code == (0 if kind == NOTE else 1)


def test_files_that_lie_about_are_not_worth_a_word(run: Run, folder: Folder) -> None:
    folder.write(ACCOUNTS, f"a@x.com|{H}\n")
    for name in ("README.md", ".gitignore", "postfix-accounts.cf.bak", "mailroster.toml"):
        folder.write(name, "")
    out = run(str(folder.config)).out.partition("Next")[0]
    assert "README" not in out
    assert "mailroster.toml" not in out


def test_many_strange_files_are_counted(run: Run, folder: Folder) -> None:
    folder.write(ACCOUNTS, f"a@x.com|{H}\n")
    for number in range(2000):
        folder.write(f"{number:04}.odt", "")
    assert "0000.odt, 0001.odt, 0002.odt, 0003.odt, 0004.odt and 1995 more" in run(
        str(folder.config)
    ).out  # fmt: skip


# -- what differs


@pytest.mark.parametrize(
    ("file", "text", "subject", "words"),
    [
        pytest.param(
            VIRTUAL, "@x.com a@x.com\n", "postfix-virtual.cf:1", "of these mailboxes: b@x.com",
            id="a catch-all beside mailboxes",
        ),
        pytest.param(
            VIRTUAL, "i@x.com a@x.com\n", "postfix-virtual.cf:1", "log in with an alias",
            id="an alias with which somebody may log in",
        ),
        pytest.param(
            VIRTUAL, "# all\nl@x.com a@x.com,b@x.com\n", "postfix-virtual.cf:2", "is full",
            id="an alias of several with a quota behind",
        ),
        pytest.param(
            ACCOUNTS, f"A@X.com|{H}\n", "postfix-accounts.cf:1", "lower case",
            id="an account with capitals",
        ),
        pytest.param(
            "postfix-send-access.cf", "a@x.com REJECT\n", "postfix-send-access.cf:1",
            "another sender address", id="who may not send",
        ),
        pytest.param(
            "postfix-aliases.cf", "root: a@x.com\n", "postfix-aliases.cf", "can't run programs",
            id="local aliases",
        ),
        pytest.param(
            "b@x.com.dovecot.sieve", '# a\nfileinto :create  "INBOX.b";\n',
            "b@x.com.dovecot.sieve:2", "stay in the INBOX", id="a script with dots",
        ),
    ],
)  # fmt: skip
def test_entries_that_mean_something_else_are_named(
    run: Run, folder: Folder, file: str, text: str, subject: str, words: str
) -> None:
    folder.write(ACCOUNTS, f"a@x.com|{H}\nb@x.com|{H}\n")
    folder.write("dovecot-quotas.cf", "a@x.com:1G\n")
    folder.write(file, text)
    assert words in text_of(run(str(folder.home), "--json"), DIFFERS, subject)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        pytest.param(VIRTUAL, "@x.com a@x.com\nb@x.com b@x.com\n", id="each has an alias"),
        pytest.param(VIRTUAL, "@y.com b@x.com\n", id="a catch-all of another domain"),
        pytest.param(VIRTUAL, "out@x.com someone@y.com\n", id="a forward"),
        pytest.param("postfix-send-access.cf", "bot@y.com REJECT\n", id="who has no account"),
        pytest.param("b@x.com.dovecot.sieve", 'fileinto "Lists/a";\n', id="a script without dots"),
    ],
)  # fmt: skip
def test_other_entries_are_not(run: Run, folder: Folder, file: str, text: str) -> None:
    folder.write(ACCOUNTS, f"a@x.com|{H}\nb@x.com|{H}\n")
    folder.write(file, text)
    assert subjects(run(str(folder.home), "--json"), DIFFERS) == []


def test_dots_are_fine_where_they_are_kept(run: Run, folder: Folder) -> None:
    folder.write(ACCOUNTS, f"b@x.com|{H}\n")
    folder.write("b@x.com.dovecot.sieve", 'fileinto "INBOX.b";\n')
    folder.write("dovecot.cf", "namespace inbox {\n  separator = .\n}\n")
    assert subjects(run(str(folder.home), "--json"), DIFFERS) == []


def test_a_copied_script_wins_over_that_of_the_folder(run: Run, folder: Folder) -> None:
    folder.write(ACCOUNTS, f"b@x.com|{H}\n")
    folder.write("b@x.com.dovecot.sieve", "keep;\n")
    box = left_behind.mailbox(folder.mail, "x.com/b", "hello")
    (box / "home/.dovecot.sieve").write_text("keep;\n")
    assert "user's own" in text_of(run(str(folder.home), "--json"), DIFFERS, ".dovecot.sieve")


# -- the environment


def with_variables(project: Path, text: str) -> None:
    (project / "mailserver.env").write_text(text)


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        ("ACCOUNT_PROVISIONER=LDAP", FIX, "not served"),
        ("DOVECOT_MAILBOX_FORMAT=mdbox", FIX, "userdb_mail"),
        ("ENABLE_SASLAUTHD=1", FIX, "saslauthd"),
        ("POSTFIX_MAILBOX_SIZE_LIMIT=5G", FIX, "not a number"),
        ("DMS_VMAIL_UID=0", FIX, "not a valid uid or gid for the mail"),
        ("LOG_LEVEL=anything", FIX, "not one of error, warn, info, debug, trace"),
        ("POSTMASTER_ADDRESS=</etc/shadow", FIX, "not an address"),
        ("OVERRIDE_HOSTNAME=mail_x.example", FIX, "not a host name"),
        ("DEFAULT_RELAY_HOST=a b={", FIX, "not a relay"),
        ("SSL_TYPE=letsencrypt", OTHER_WAY, "live/mail.example.com/fullchain.pem"),
        ("SSL_TYPE=snakeoil", FIX, "not one of letsencrypt, custom, self-signed, manual"),
        ("RELAY_HOST=smtp.provider.test\nDEFAULT_RELAY_HOST=", OTHER_WAY, "DEFAULT_RELAY_HOST"),
        ("RELAY_HOST=smtp.provider.test", OTHER_WAY, "DEFAULT_RELAY_HOST"),
        ("RELAY_PASSWORD=very-secret", OTHER_WAY, "add-auth"),
        ("PERMIT_DOCKER=network", OTHER_WAY, "without a login"),
        ("ENABLE_POP3=0", OTHER_WAY, "imap_port = 0"),
        ("SSL_CERT_PATH=/nowhere/cert.pem", OTHER_WAY, "isn't on this machine"),
        ("ENABLE_SPAMASSASSIN=1", MISSING, "ENABLE_RSPAMD=1"),
        ("ENABLE_RSPAMD_REDIS=1", OTHER_WAY, "MAILROSTER_RSPAMD_REDIS"),
        ("ENABLE_CLAMAV__FILE=/run/secrets/f", MISSING, "viruses"),
        ("ENABLE_FETCHMAIL=1", MISSING, "fetched"),
        ("SPOOF_PROTECTION__FILE=/run/secrets/s", NOTE, "unknown to this command"),
        ("HELLO=1", NOTE, "without effect"),
        ("RSPAMD_LEARN=1", OTHER_WAY, "MAILROSTER_RSPAMD_REDIS"),
        ("RSPAMD_HFILTER=0", OTHER_WAY, "disable-module hfilter"),
        ("RSPAMD_NEURAL=1", OTHER_WAY, "enable-module neural"),
        ("RSPAMD_CHECK_AUTHENTICATED=1", MISSING, "does not pass Rspamd"),
        ("MOVE_SPAM_TO_JUNK=0", OTHER_WAY, "goes to Junk"),
        ("SPAM_SUBJECT=[SPAM]", MISSING, "keeps its subject"),
        ("FAIL2BAN_BLOCKTYPE=reject", NOTE, "without a firewall"),
        ("SRS_SENDER_CLASSES=header_recipient", FIX, "not a list of classes"),
        ("SRS_SECRET=very-secret-é", FIX, "not a list of secrets"),
    ],
)
def test_a_variable_that_does_not_count_as_it_stands_is_named(
    run: Run, project: Path, line: str, kind: str, words: str
) -> None:
    with_variables(project, f"{line}\n")
    ran = run(str(project), "--json")
    assert words in text_of(ran, kind, line.partition("=")[0])
    assert "very-secret" not in ran.out


def test_a_host_name_of_the_compose_file_that_cannot_be_one_is_named(
    run: Run, project: Path
) -> None:
    text = left_behind.COMPOSE.replace("hostname: mail.example.com", "hostname: mail_x.example")
    assert "mail_x" in text
    (project / "compose.yaml").write_text(text)
    ran = run(str(project), "--json")
    assert "not a host name" in text_of(ran, FIX, "OVERRIDE_HOSTNAME")
    assert "mail_x" not in " ".join(json.loads(ran.out)["next"])


@pytest.mark.parametrize(
    "line",
    [
        "ENABLE_SRS=0", "ENABLE_SRS=", "ACCOUNT_PROVISIONER=FILE", "DOVECOT_MAILBOX_FORMAT=maildir",
        "TZ=Europe/Berlin", "ENABLE_POP3=1", "ENABLE_POP3=", "SSL_TYPE=manual", "SA_TAG=2.0",
        "# ENABLE_SRS=1", "RELAY_HOST=", "ONE_DIR=1", "ENABLE_OPENDKIM=0",
        "RELAY_PORT=25", "RSPAMD_LEARN=0", "RSPAMD_HFILTER=1", "FAIL2BAN_BLOCKTYPE=drop",
        "MOVE_SPAM_TO_JUNK=1",
        "SPAM_SUBJECT=", "SRS_SECRET=very-secret", "SRS_DOMAINNAME=example.com",
        "SRS_SENDER_CLASSES=envelope_sender", "SRS_EXCLUDE_DOMAINS=a.example,b.example",
        "export LOG_LEVEL='warn'", "SPOOF_PROTECTION=1 # yes",
    ],
)  # fmt: skip
def test_a_variable_that_asks_for_nothing_is_not(run: Run, project: Path, line: str) -> None:
    with_variables(project, f"{line}\n")
    name = line.removeprefix("# ").removeprefix("export ").partition("=")[0]
    found = told(run(str(project), "--json"))
    assert [subject for kind in KINDS for subject, _ in found[kind] if name in subject] == []


def test_a_start_names_each_variable_that_has_no_effect() -> None:
    given = {
        "RELAY_HOST": "smtp.provider.test", "RELAY_PASSWORD": "very-secret",
        "PERMIT_DOCKER": "host", "SMTP_ONLY": "1", "ENABLE_CLAMAV__FILE": "/f",
        "ENABLE_SRS": "0", "ENABLE_IMAP": "",
        "SSL_TYPE": "letsencrypt", "SPOOF_PROTECTION": "1", "TZ": "UTC", "HOME": "/root",
        "DEFAULT_RELAY_HOST": "",
    }  # fmt: skip
    lines = list(environment.without_effect(given))
    assert [line.removeprefix("warning: ").partition(" ")[0] for line in lines] == [
        "RELAY_HOST", "RELAY_PASSWORD", "PERMIT_DOCKER", "SMTP_ONLY", "ENABLE_CLAMAV__FILE",
    ]  # fmt: skip
    assert "very-secret" not in "".join(lines)
    answered = {**given, "DEFAULT_RELAY_HOST": "[smtp.provider.test]:587"}
    assert "RELAY_HOST has" not in "".join(environment.without_effect(answered))
    assert list(environment.without_effect({})) == []


def test_the_value_of_a_secret_is_not_in_the_next_command(run: Run, project: Path) -> None:
    with_variables(project, "ENABLE_SRS=1\nSRS_SECRET=very-secret\n")
    ran = run(str(project))
    assert "ENABLE_SRS=1 SRS_SECRET=… " in ran.out
    assert "very-secret" not in ran.out + run(str(project), "--json").out


def test_what_is_on_by_default_is_told_unless_it_is_off(run: Run, project: Path) -> None:
    name = "ENABLE_OPENDMARC, ENABLE_POLICYD_SPF, on by default"
    assert name in subjects(run(str(project), "--json"), MISSING)
    with_variables(project, "ENABLE_OPENDMARC=0\nENABLE_POLICYD_SPF=0\n")
    assert subjects(run(str(project), "--json"), MISSING) == []


def test_what_rspamd_does_is_not_missing_if_it_is_on(run: Run, project: Path) -> None:
    text = "ENABLE_RSPAMD=1\nENABLE_SPAMASSASSIN=1\nENABLE_CLAMAV=1\n"
    with_variables(project, text)
    assert subjects(run(str(project), "--json"), MISSING) == ["ENABLE_CLAMAV"]
    lines = environment.without_effect({"ENABLE_RSPAMD": "1", "ENABLE_POLICYD_SPF": "1"})
    assert list(lines) == []


# -- keys for DKIM


def dkim_keys(run: Run, folder: Path) -> int:
    count = json.loads(run(str(folder), "--json").out)["served"]["dkim_keys"]
    assert isinstance(count, int)
    return count


@pytest.mark.parametrize(
    ("variables", "count"),
    [
        ("", 2),
        ("ENABLE_OPENDKIM=1\n", 2),
        ("ENABLE_OPENDKIM=0\n", 0),
        pytest.param("ENABLE_OPENDKIM=0\nENABLE_RSPAMD=1\n", 2, id="its Rspamd signs"),
    ],
)
def test_the_keys_that_sign_are_counted(
    run: Run, project: Path, variables: str, count: int
) -> None:
    config = project / "docker-data/dms/config"
    (config / "opendkim/keys/example.com/mail.private").write_text("a key")
    (config / "rspamd/dkim").mkdir(parents=True)
    for end in ("private.txt", "public.txt", "public.dns.txt"):
        (config / f"rspamd/dkim/rsa-2048-mail-example.org.{end}").write_text("a key")
    with_variables(project, variables)
    assert dkim_keys(run, project) == count


def test_keys_that_would_not_sign_are_named(run: Run, project: Path) -> None:
    rspamd = project / "docker-data/dms/config/rspamd"
    for name in ("dkim/my.private", "override.d/dkim_signing.conf"):
        (rspamd / name).parent.mkdir(parents=True)
        (rspamd / name).write_text("")
    ran = run(str(project), "--json")
    assert "rsa-2048-SELECTOR-DOMAIN" in text_of(ran, FIX, "my.private")
    assert "OpenDKIM signs" in text_of(ran, OTHER_WAY, "dkim_signing.conf")
    assert ran.code == 1


# -- more variables


def test_spoof_protection_of_the_project_counts(run: Run, project: Path) -> None:
    def rights(ran: Ran) -> list[str]:
        return [text for _, text in told(ran)[DIFFERS] if "SPOOF" in text or "setup sender" in text]

    assert len(rights(run(str(project), "--json"))) == 2
    with_variables(project, "SPOOF_PROTECTION=0\n")
    assert rights(run(str(project), "--json")) == []


def test_a_container_that_is_given_the_old_variables_judges_them(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write(ACCOUNTS, f"a@x.com|{H}\n")
    monkeypatch.setenv("ENABLE_MTA_STS", "1")
    ran = folder.setup("adopt", str(folder.config), "--json")
    assert subjects(ran, MISSING) == [
        "ENABLE_OPENDMARC, ENABLE_POLICYD_SPF, on by default",
        "ENABLE_MTA_STS",
    ]
    monkeypatch.delenv("ENABLE_MTA_STS")
    assert subjects(folder.setup("adopt", str(folder.config), "--json"), MISSING) == []


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        pytest.param("compose.yaml", "services: [", "can't be read", id="broken YAML"),
        pytest.param("compose.yaml", "- a\n- b\n", "it has no mail server", id="a list"),
        pytest.param(
            "compose.yaml", "services:\n  web: {image: nginx}\n", "no mail server", id="no mail"
        ),
        pytest.param("compose.yaml", "[" * 5000, "can't be read", id="nested without end"),
        pytest.param("compose.yaml", "a: &a [*a]\n", "no mail server", id="an anchor in a circle"),
        pytest.param("compose.yaml", "\0\1\2", "can't be read", id="binary"),
        pytest.param("mailserver.env", "\0\1\2", "can't be read", id="binary variables"),
    ],
)
def test_a_project_that_makes_no_sense_is_told(
    run: Run, project: Path, name: str, text: str, words: str
) -> None:
    if name == "mailserver.env":
        (project / "compose.yaml").unlink()
    (project / name).write_text(text)
    ran = run(str(project), "--json")
    found = told(ran)
    assert any(words in text for kind in (NOTE, FIX) for _, text in found[kind])
    assert json.loads(ran.out)["served"]["accounts"] == 4


def test_without_yaml_the_compose_file_is_an_error_since_all_its_settings_are_lost(
    run: Run, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    ran = run(str(project))
    assert ran.code == 1
    assert (
        "compose.yaml: the file is not read, since PyYAML"
        in ran.out.partition("Fix these first")[2]
    )
    assert "apt install python3-yaml" in ran.out
    assert "Next" not in ran.out


# -- the mail folder


@pytest.fixture
def home(folder: Folder) -> Folder:
    """A home with an account and its mailbox."""
    folder.write(ACCOUNTS, f"a@x.com|{H}\n")
    left_behind.mailbox(folder.mail, "x.com/a", "hello")
    os.chown(folder.mail, OWNER, OWNER)
    return folder


def test_mail_of_another_owner_is_told_with_two_ways_out(run: Run, home: Folder) -> None:
    for path in (home.mail, *home.mail.rglob("*")):
        os.chown(path, 1001, 1002)
    ran = run(str(home.home), "--json")
    text = text_of(ran, FIX, "mail-data")
    assert "belongs to 1001:1002, and not to 5000:5000" in text
    assert "DMS_VMAIL_UID=1001 DMS_VMAIL_GID=1002, or run once: chown -R 5000:5000" in text
    assert ran.code == 1


def test_a_message_of_root_is_told(run: Run, home: Folder) -> None:
    message = next((home.mail / "x.com/a/cur").iterdir())
    os.chown(message, 0, 0)
    text = text_of(run(str(home.home), "--json"), FIX, message.name)
    assert "belongs to 0:0" in text
    assert "DMS_VMAIL_UID" not in text


def test_the_owner_set_by_the_project_is_the_mails(run: Run, project: Path) -> None:
    with_variables(project, "DMS_VMAIL_UID=1001\nDMS_VMAIL_GID=1001\n")
    assert "not to 1001:1001" in text_of(run(str(project), "--json"), FIX, "mail-data")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param("mailboxes", "dbox format", id="sdbox"),
        pytest.param("storage", "dbox format", id="mdbox"),
        pytest.param("Maildir/cur", "below the mailbox", id="a Maildir one level deeper"),
    ],
)
def test_a_mailbox_of_another_form_is_told(run: Run, folder: Folder, make: str, words: str) -> None:
    folder.write(ACCOUNTS, f"a@x.com|{H}\n")
    (folder.mail / "x.com/a" / make).mkdir(parents=True)
    ran = run(str(folder.home), "--json")
    assert words in " ".join(text for _, text in told(ran)[FIX])
    folder.write(ACCOUNTS, f"a@x.com|{H}|userdb_mail=mdbox:{folder.mail}/%d/%n\n")
    ran = run(str(folder.home), "--json")
    assert words not in " ".join(text for _, text in told(ran)[FIX])


def test_a_mailbox_in_another_case_is_told_with_the_command(run: Run, home: Folder) -> None:
    (home.mail / "x.com/a").rename(home.mail / "x.com/A")
    text = text_of(run(str(home.home), "--json"), FIX, "A")
    assert f"mv -T {home.mail}/x.com/A {home.mail}/x.com/a" in text


def test_a_folder_that_is_one_mailbox_is_told(run: Run, home: Folder) -> None:
    ran = run(str(home.config), "--mail", str(home.mail / "x.com/a"), "--json")
    assert "is itself a mailbox" in text_of(ran, FIX, "a")


def test_mail_of_nobody_is_counted_and_named(run: Run, home: Folder) -> None:
    for number in range(7):
        (home.mail / f"x.com/u{number}/cur").mkdir(parents=True)
    out = run(str(home.home)).out
    assert "7 in" in out
    assert "x.com/u0, x.com/u1, x.com/u2, x.com/u3, x.com/u4 and 2 more" in out


def test_links_in_circles_and_strange_names_do_no_harm(run: Run, home: Folder) -> None:
    (home.mail / "loop").symlink_to("loop")
    (home.mail / "up").symlink_to("..")
    (home.mail / "x.com/back").symlink_to("../x.com")
    (home.mail / "x.com/\x1b[31mred").mkdir()
    (home.mail / os.fsdecode(b"\xff\xfe") / "a").mkdir(parents=True)
    (home.config / "loop").symlink_to("loop")
    os.mkfifo(home.config / "postfix-virtual.cf")
    os.mkfifo(home.config / "mailserver.env")
    ran = run(str(home.home))
    assert ran.code == 1
    assert "\x1b" not in ran.out
    assert "postfix-virtual.cf: the file can't be read" in ran.out


def test_however_large_the_mail_is_few_folders_are_looked_into_for_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for domain in range(20):
        for user in range(20):
            (tmp_path / f"d{domain}.com/u{user}/cur").mkdir(parents=True)
    looked: list[str] = []
    scandir = os.scandir

    def counted(path: str) -> object:
        looked.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counted)
    assert len(list(mail_owner.foreign(str(tmp_path), OWNER, OWNER))) == 1
    assert 0 < len(looked) <= 1 + 3 + 9 + 9


def test_accounts_by_the_thousand_are_told_as_one(run: Run, folder: Folder) -> None:
    lines = [f"u{number}@x.com|{H}\n" for number in range(20_000)]
    folder.write(ACCOUNTS, "".join(lines))
    folder.write(VIRTUAL, "".join(f"a{n}@x.com u{n}@x.com\n" for n in range(20_000)))
    ran = run(str(folder.home), "--json")
    report = json.loads(ran.out)
    assert report["served"]["accounts"] == 20_000
    assert len(report["remarks"]) < 5


# -- the state folder


def test_mail_in_the_queue_is_told(run: Run, project: Path) -> None:
    spool = project / "docker-data/dms/mail-state/spool-postfix"
    (spool / "deferred/A/4ABC").touch()
    (spool / "active").mkdir()
    (spool / "active/1DEF").touch()
    (spool / "defer/A").mkdir(parents=True)
    (spool / "defer/A/4ABC").touch()  # a log
    ran = run(str(project), "--json")
    assert json.loads(ran.out)["queued"] == {"active": 1, "deferred": 1}
    assert "2 messages in the old queue" in text_of(ran, FIX, "spool-postfix")


def test_our_state_fits_beside_theirs_unless_a_name_of_ours_is_taken(
    run: Run, project: Path
) -> None:
    state = project / "docker-data/dms/mail-state"
    assert subjects(run(str(project), "--json"), FIX) == []
    assert "mail-state" in subjects(run(str(project), "--json"), NOTE)
    (state / "sql").mkdir()
    ran = run(str(project), "--json")
    assert "needs these names, but other files have them: sql;" in text_of(ran, FIX, "mail-state")
    assert "--state DIR" in text_of(ran, FIX, "mail-state")
    (state / "tables").mkdir()  # they are ours
    assert subjects(run(str(project), "--json"), FIX) == []


def test_folders_that_the_servers_cannot_get_to_are_told(
    run: Run, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    folder.write(ACCOUNTS, f"a@x.com|{H}\n")
    folder.mail.mkdir()
    folder.home.chmod(0o700)
    ran = run(str(folder.home), "--json")
    assert "is closed to other users" in text_of(ran, FIX, "the folders")
    assert ran.code == 1


def test_errors_of_the_folder_are_among_what_has_to_be_mended(run: Run, project: Path) -> None:
    config = project / "docker-data/dms/config"
    with (config / ACCOUNTS).open("a") as file:
        file.write("broken\n")
    ran = run(str(project))
    assert ran.code == 1
    hint = ran.out.partition("Fix these first\n")[2].partition("\n\n")[0]
    assert "postfix-accounts.cf:5: error:" in hint
    report = json.loads(run(str(project), "--json").out)
    assert "missing-password" in [finding["code"] for finding in report["findings"]]


def test_a_hash_that_the_installed_dovecot_lacks_is_told(
    run: Run, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mailroster.app.adopt import assessment

    monkeypatch.setattr(assessment, "run", lambda argv: (0, "ARGON2ID PLAIN\n", ""))
    ran = run(str(project), "--json")
    assert any("does not know the scheme SHA512-CRYPT" in text for _, text in told(ran)[FIX])
    assert ran.code == 1


def test_no_server_has_to_be_installed(
    run: Run, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mailroster.servers import patterns
    from mailroster.system import programs

    for module in (programs, patterns):
        monkeypatch.setattr(module, "program", lambda name: None)
    ran = run(str(project), "--json")
    assert ran.code == 0
    assert "hashes" in subjects(ran, NOTE)
    assert "are not checked" in ran.err


# -- the page


def test_the_page_names_every_variable_and_file_that_is_judged() -> None:
    page = (ROOT / "docs/guide/migrate.md").read_text(encoding="utf-8")
    names = {name for row in VARIABLES for name in row.names.split()}
    theirs = {name for name in environment.HONOURED if not name.startswith("MAILROSTER_")}
    ours = {"QUOTA_WARNINGS", "PASSWORD_SCHEME", "PASSWORD_COST", "SPOOF_CATCH_ALL"}
    ours |= {"PASSWORD_MIN_LENGTH", "PASSWORD_REFUSED", "REJECT_FORGED_SENDERS", "HIDE_CLIENT"}
    ours |= {"FULL_TEXT_SEARCH", "RECIPIENT_DELIMITER", "TRASH_ROOM", "MAIN_PASSWORD_SERVICES"}
    ours |= {"LOGIN_REPORTS_PORT", "NEVER_BLOCKED"}
    assert [name for name in sorted(names | theirs - ours) if f"`{name}`" not in page] == []
    for file in (*known_files.ROSTER, *OVERRIDES):
        assert f"`{file}`" in page
