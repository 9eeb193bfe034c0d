"""A host's own Dovecot reports logins to `watch`, and refuses blocked clients, once it is
integrated."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.support.host import Host
from tests.support.instance import PASSWORD, until

JANE, BOB = "jane@example.com", "bob@example.com"
TOML = "/etc/mailroster/mailroster.toml"
SETTINGS = 'block_guessing = true\nnever_blocked = "none"\nlogin_reports_port = 10955\n'
DROP_IN = "/etc/dovecot/conf.d/99-mailroster.conf"
REPORTS = "/etc/dovecot/mailroster/login-reports.conf"
KEY = "/var/lib/mailroster/locks/login-reports.key"
BLOCKS = "/var/lib/mailroster/sql/blocks.db"
#: It refuses everybody whom Dovecot still asks about after our passdbs.
LATER = {
    "2.3": (
        "passdb {\n  driver = static\n  result_success = return-fail\n  args = nopassword=y\n}\n"
    ),
    "2.4": (
        "passdb later {\n  driver = static\n  result_success = return-fail\n"
        "  fields {\n    nopassword = y\n  }\n}\n"
    ),
}
#: Without Dovecot's own pause after a wrong password, which grows to 15 s.
AT_ONCE = "service anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}\n"


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """Integrated by a release that did not report logins."""
    found = Host()
    try:
        later = LATER[found.run("dovecot", "--version")[:3]]
        found.write("/etc/dovecot/local.conf", f"log_path = /var/log/dovecot.log\n{AT_ONCE}{later}")
        for name in (JANE, BOB):
            done = found.setup("email", "add", name, PASSWORD)
            assert done.returncode == 0, done.stderr
        assert found.setup("integrate", "--apply").returncode == 0
        found.start()
        yield found
        found.stop()
    finally:
        found.close()


@pytest.fixture(scope="module")
def served(host: Host) -> Host:
    """With both settings, and `watch`."""
    host.write(TOML, SETTINGS)
    done = host.setup("integrate", "--apply", "--reload")
    assert done.returncode == 0, done.stderr
    before = host.log.stat().st_size if host.log.exists() else 0
    host.watch()
    assert b"does not report" not in host.log.read_bytes()[before:]
    return host


class Client:
    """A client with an address of its own."""

    _numbers = iter(range(2, 250))

    def __init__(self, host: Host) -> None:
        self.host, self.address = host, f"127.0.0.{next(self._numbers)}"

    def logs_in(self, user: str, password: str = PASSWORD) -> bool:
        done = self.host.inside(
            "curl", "-sk", "--interface", self.address, "-u", f"{user}:{password}",
            "imaps://127.0.0.1/INBOX", "-X", "NOOP",
        )  # fmt: skip
        return done.returncode == 0

    def submits(self, user: str, password: str = PASSWORD) -> bool:
        shown = self.host.send(
            user, "--local-interface", self.address, "--port", "587", "-tls", "--auth", "PLAIN",
            "--auth-user", user, "--auth-password", password, "--quit-after", "AUTH",
        )  # fmt: skip
        assert any(code in shown for code in ("235 2.7.0", "535 5.7.8", "454 4.7.0")), shown
        return "235 2.7.0" in shown

    def guess(self, user: str = JANE) -> None:
        for number in range(5):
            assert not self.logs_in(user, f"wrong {number}")

    def is_blocked(self) -> bool:
        listed = json.loads(self.host.run_setup("block", "list", "--json"))
        return any(row["client"] == self.address for row in listed["clients"])


def use(host: Host, label: str) -> dict[str, str] | None:
    listed = json.loads(host.run_setup("email", "app-password", "list", JANE, "--json"))
    (entry,) = (each for each in listed if each["label"] == label)
    last: dict[str, str] | None = entry["last_use"]
    return last


def test_an_integration_without_it_is_named_and_no_key_is_shown(host: Host) -> None:
    host.write(TOML, SETTINGS)
    host.run_setup("tables")
    refused = host.setup("block", "list")
    assert (refused.returncode, "setup integrate --apply" in refused.stderr) == (1, True)
    host.watch()
    until(lambda: "Dovecot does not report logins yet" in host.log.read_text())
    host.stop_watch()
    key = host.read(KEY).strip()
    shown = host.setup("integrate", "--check")
    assert shown.returncode == 1
    assert REPORTS in shown.stdout and DROP_IN in shown.stdout, shown.stdout
    planned = host.run_setup("integrate", "--json")
    assert {change["file"] for change in json.loads(planned)["files"]} >= {REPORTS, DROP_IN}
    done = host.setup("integrate", "--apply", "--reload")
    assert done.returncode == 0, done.stderr
    assert f"written: {REPORTS}\n" in done.stdout
    for text in (shown.stdout, planned, done.stdout, done.stderr, host.read(DROP_IN)):
        assert not re.search(f"{key[:32]}", text)
    assert key in host.read(REPORTS)
    assert host.run("stat", "-c", "%a %U", REPORTS) == "600 root\n"
    assert host.setup("integrate", "--check").returncode == 0


def test_programs_of_other_users_still_read_the_configuration(served: Host) -> None:
    shown = served.run("setpriv", "--reuid=nobody", "--clear-groups", "doveconf", "-n")
    assert "http://127.0.0.1:10955/" not in shown
    assert "server_url = http://127.0.0.1:10955/\n" in served.run("doveconf", "-n")


def test_the_list_says_when_an_app_password_was_last_used(served: Host) -> None:
    add = ("email", "app-password", "add", JANE)
    phone = served.run_setup(*add, "phone").strip()
    served.run_setup(*add, "other")
    client = Client(served)
    assert client.logs_in(JANE, phone)
    until(lambda: use(served, "phone") is not None)
    last = use(served, "phone")
    assert last is not None
    assert (last["service"], last["remote"]) == ("imap", client.address)
    assert client.submits(JANE, phone)
    until(lambda: (use(served, "phone") or {}).get("service") == "smtp")
    assert use(served, "other") is None


def test_a_client_that_guesses_is_refused_by_imap_and_submission(served: Host) -> None:
    client = Client(served)
    assert client.logs_in(JANE) and client.submits(JANE)
    client.guess()
    until(client.is_blocked)
    assert not client.logs_in(JANE)
    assert not client.submits(JANE)
    assert not client.logs_in(BOB)
    other = Client(served)
    assert other.logs_in(JANE) and other.submits(JANE)
    assert f"{client.address} guesses passwords" in served.log.read_text()
    assert served.run_setup("block", "del", client.address) == f"unblocked: {client.address}\n"
    assert client.logs_in(JANE)


def test_commands_block_and_unblock_at_once(served: Host) -> None:
    client = Client(served)
    served.run_setup("block", "add", client.address, "--until", "1d")
    assert not client.logs_in(BOB)
    assert f"* {client.address}\n" in served.run_setup("block", "list")
    served.run_setup("block", "del", client.address)
    assert client.logs_in(BOB)
    assert f"block add {client.address}" in served.run_setup("log", client.address)


def test_logins_go_on_and_blocks_stay_without_watch(served: Host) -> None:
    blocked, other = Client(served), Client(served)
    blocked.guess()
    until(blocked.is_blocked)
    assert served.stop_watch() == 0
    try:
        assert other.logs_in(JANE)
        assert not blocked.logs_in(JANE)
    finally:
        served.watch()
    with served.hung_watch():
        assert other.logs_in(JANE)
        assert not blocked.logs_in(JANE)


def test_a_lost_database_is_made_again_and_logins_go_on(served: Host) -> None:
    served.run("rm", BLOCKS)
    assert Client(served).logs_in(JANE)
    client = Client(served)

    def is_blocked_again() -> bool:
        client.guess()
        return served.setup("block", "list").returncode == 0 and client.is_blocked()

    until(is_blocked_again, 90)
    until(lambda: not client.logs_in(JANE), 60)
    assert Client(served).logs_in(JANE)


def test_another_listener_of_the_administrator_is_not_replaced(served: Host) -> None:
    own = "auth_policy_server_url = http://127.0.0.1:4001/\nauth_policy_hash_nonce = x\n"
    path = "/etc/dovecot/conf.d/20-own.conf"
    served.write(path, own)
    try:
        refused = served.setup("integrate", "--check")
        assert refused.returncode == 1
        assert "already reports logins to http://127.0.0.1:4001/" in refused.stderr
    finally:
        served.run("rm", path)
    assert served.setup("integrate", "--check").returncode == 0


def test_without_the_settings_the_next_integration_takes_all_of_it_out(served: Host) -> None:
    served.stop_watch()
    client = Client(served)
    served.run_setup("block", "add", client.address)
    served.write(TOML, "")
    done = served.setup("integrate", "--apply", "--reload")
    assert f"removed: {REPORTS}\n" in done.stdout, done.stderr
    assert "http://127.0.0.1:10955/" not in served.run("doveconf", "-n")
    assert served.inside("ls", REPORTS).returncode != 0
    until(lambda: client.logs_in(JANE))
    assert served.setup("integrate", "--check").returncode == 0
    served.write(TOML, SETTINGS)
    done = served.setup("integrate", "--apply", "--reload")
    assert done.returncode == 0, done.stderr
    until(lambda: not client.logs_in(JANE))


def test_an_undo_takes_all_of_it_away(served: Host) -> None:
    """Last of all."""
    before = served.read("/etc/dovecot/conf.d/10-auth.conf")
    done = served.setup("integrate", "--undo")
    assert done.returncode == 0, done.stderr
    assert served.inside("ls", DROP_IN, "/etc/dovecot/mailroster").returncode != 0
    assert "mailroster" not in served.run("doveconf", "-n")
    assert served.read("/etc/dovecot/conf.d/10-auth.conf") != before
