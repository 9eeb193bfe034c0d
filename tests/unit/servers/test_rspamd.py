"""The configuration of the spam filter, and the program that teaches it."""

import os
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from mailroster.base.layout import Layout
from mailroster.base.setting_rules import RULES
from mailroster.base.settings import Settings, Sources, load
from mailroster.servers.config import overrides, postfix, rspamd, spam_sieve
from mailroster.servers.config.dovecot import conf_2_3, conf_2_4

LAYOUT = Layout("/state")


def settings(**changes: str) -> Settings:
    options = {"home": "/home", "hostname": "mail.example.test", **changes}
    return load(Sources(options, {}, lambda path: b"", lambda path: False))


def on(**changes: str) -> Settings:
    return settings(enable_rspamd="1", **changes)


@pytest.mark.parametrize(
    ("line", "file", "text"),
    [
        ("disable-module chartable", "chartable.conf", "enabled = false;\n"),
        ("  enable-module\tgreylist ", "greylist.conf", "enabled = true;\n"),
        ("set-option-for-module multimap a x y;", "multimap.conf", "a = x y;\n"),
        ("set-option-for-controller password q", "worker-controller.inc", "password = q;\n"),
        ("set-option-for-proxy timeout 30s", "worker-proxy.inc", "timeout = 30s;\n"),
        ("set-common-option dns { a = 1; }", "options.inc", "dns = { a = 1; };\n"),
        ("add-line x.conf a b  c # d", "x.conf", "a b  c # d\n"),
    ],
)
def test_a_command_of_docker_mailserver(line: str, file: str, text: str) -> None:
    assert rspamd.with_commands({}, f"# a comment\n\n{line}\n") == ({file: text}, [])


def test_commands_change_files_as_docker_mailserver_does() -> None:
    files = {"a.conf": "x = 1;\n  y = 2", "b.conf": "all of it"}
    commands = (
        "set-option-for-module a y 3\nset-option-for-module a z 4\n"
        "disable-module b\nadd-line c.inc one\nadd-line c.inc two\r\n"
    )
    changed, findings = rspamd.with_commands(files, commands)
    assert not findings
    assert changed == {
        "a.conf": "x = 1;\n  y = 3;\nz = 4;\n",
        "b.conf": "enabled = false;\n",
        "c.inc": "one\ntwo\n",
    }


@pytest.mark.parametrize(
    "line",
    [
        "no-such-command a b", "disable-module", "disable-module a b", "disable-module ../x",
        "enable-module dkim_signing", "set-option-for-module dkim_signing a b",
        "set-option-for-module a b", "set-option-for-proxy a", "set-common-option a=b c",
        "add-line ../../etc/passwd x", "add-line .x y", "add-line a/b c", "add-line a",
        "add-line dkim_signing.conf x", "add-line a.conf b\x00c", "add-line a.conf b\x1b[0m",
        "x" * 5000, f"set-common-option {'.' * 5000} 1", "\udcff" * 5000,
    ],
)  # fmt: skip
def test_a_wrong_command_is_reported_with_its_line_and_changes_nothing(line: str) -> None:
    files, findings = rspamd.with_commands({}, f"# first\n{line}\n")
    assert files == {}
    assert [(str(f.where), f.code) for f in findings] == [
        ("rspamd/custom-commands.conf:2", "bad-rspamd-override")
    ]
    assert findings[0].hint
    assert "\x1b" not in findings[0].message
    assert len(findings[0].message) < 250


@pytest.mark.parametrize(
    "name",
    [
        "enable-module", "disable-module", "set-option-for-module", "add-line",
        "set-option-for-controller", "set-option-for-proxy", "set-common-option",
    ],
)  # fmt: skip
def test_a_command_with_too_few_words_is_known(name: str) -> None:
    _, (finding,) = rspamd.with_commands({}, name)
    assert finding.message == f"{name} has too few words or too many"
    _, (finding,) = rspamd.with_commands({}, "other a b")
    assert name in finding.hint


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("error", "error"), ("warn", "warning"), ("info", "notice"), ("debug", "info"),
        ("trace", "debug"),
    ],
)  # fmt: skip
def test_the_level_of_the_log(level: str, expected: str) -> None:
    text = rspamd.local_files(on(log_level=level))["logging.inc"]
    assert text == f'# Written by mailroster.\nlevel = "{expected}";\n'


def test_the_sockets_stay_whatever_an_override_says() -> None:
    own = {
        "worker-proxy.inc": 'bind_socket = "*:11332";',
        "worker-controller.inc": 'password = "x";\n',
        "dkim_signing.conf": "enabled = true;",
        "multimap.conf": 'map = "/tmp/docker-mailserver/rspamd/override.d/a.map";\n'
        'other = "/etc/rspamd/override.d/b.map";\n',
    }
    files = rspamd.override_files(LAYOUT, own)
    assert files["worker-proxy.inc"].startswith('bind_socket = "*:11332";\n')
    assert '\nbind_socket = "/state/rspamd/run/milter mode=0660";\n' in files["worker-proxy.inc"]
    assert "control/controller mode=0666" in files["worker-controller.inc"]
    assert files["dkim_signing.conf"].endswith("enabled = false;\n")
    assert files["multimap.conf"] == (
        'map = "/state/rspamd/config/override.d/a.map";\n'
        'other = "/state/rspamd/config/override.d/b.map";\n'
    )


def test_a_redis_is_named_only_if_there_is_one() -> None:
    assert "redis.conf" not in rspamd.local_files(on())
    files = rspamd.local_files(on(rspamd_redis="/run/redis.sock"))
    assert 'servers = "/run/redis.sock";' in files["redis.conf"]


@pytest.mark.parametrize(
    ("value", "valid"),
    [
        ("127.0.0.1:6379", True), ("redis:6379", True), ("mail_redis:6379", True),
        ("[::1]:6379", True), ("/run/redis/redis.sock", True), ("redis", False),
        ("redis:", False), ("redis:0", False), ("redis:99999", False), ("::1:6379", False),
        ("/run/a b", False), ("/run/a\nb", False), ("a b:6379", False), (":6379", False),
    ],
)  # fmt: skip
def test_the_setting_for_redis(value: str, valid: bool) -> None:
    assert (RULES["rspamd_redis"](value) == "") is valid


def test_only_mail_from_other_servers_passes_the_filter() -> None:
    main = postfix.main_cf(on(), LAYOUT)
    assert "\nsmtpd_milters = $mailroster_rspamd\n" in main
    assert "default_action=accept" in main
    services = postfix.master_cf(on()).split(" inet n - n - - smtpd\n")[1:]
    assert [rspamd.WITHOUT in text for text in services] == [False, True, True]
    assert "rspamd" not in postfix.main_cf(settings(), LAYOUT) + postfix.master_cf(settings())


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ("", "$mailroster_rspamd"),
        ("smtpd_milters = inet:a:1", "inet:a:1, $mailroster_rspamd"),
        ("smtpd_milters = $mailroster_rspamd inet:a:1", "$mailroster_rspamd inet:a:1"),
    ],
)
def test_milters_of_the_folder_stay(own: str, expected: str) -> None:
    main = overrides.main_cf(postfix.main_cf(on(), LAYOUT), own)
    assert f"\nsmtpd_milters = {expected}\n" in main
    assert main.count("\nsmtpd_milters =") == 1


def test_milters_of_the_folder_still_sign_submissions() -> None:
    base = postfix.main_cf(on(), LAYOUT, ("rsa",))
    main = overrides.main_cf(base, "smtpd_milters = inet:a:1")
    assert "\nsubmission_milters = inet:a:1, $dkim_milter\n" in main
    assert "\nsmtpd_milters = inet:a:1, $mailroster_rspamd\n" in main


def test_dovecot_learns_only_with_a_redis() -> None:
    for dialect in (conf_2_3, conf_2_4):
        for values, junk, learns in (
            (settings(), False, False),
            (on(), True, False),
            (on(rspamd_redis="a:1"), True, True),
            (settings(rspamd_redis="a:1"), False, False),
        ):
            conf = dialect.files(values, LAYOUT)["dovecot.conf"]
            assert ("spam-sieve/junk.sieve" in conf) is junk
            assert ("imap_sieve" in conf) is learns
            assert ("vnd.dovecot.pipe" in conf) is learns
            assert {*spam_sieve.scripts(values)} == (
                {"junk", *(["learn-spam", "learn-ham"] if learns else [])} if junk else set()
            )


class Controller:
    """A server on a socket that records requests, and gives one answer; none for b""."""

    def __init__(self, path: Path, answer: bytes) -> None:
        self.requests: list[bytes] = []
        self._answer = answer
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        self._client, _ = self._server.accept()
        data = b""
        while b"\r\n\r\n" not in data or len(data.partition(b"\r\n\r\n")[2]) < 5:
            data += self._client.recv(4096)
        self.requests.append(data)
        if self._answer:
            self._client.sendall(self._answer)
            self._client.close()

    def close(self) -> None:
        self._server.close()


def learn(
    folder: Path, *arguments: str, message: str = "Hello"
) -> subprocess.CompletedProcess[str]:
    layout = Layout(str(folder))
    program = folder / "learn"
    program.write_text(spam_sieve.program(layout))
    program.chmod(0o700)
    argv = [str(program), *arguments]
    return subprocess.run(argv, input=message, capture_output=True, text=True, timeout=30)


@pytest.fixture
def control(tmp_path: Path) -> Path:
    path = Path(Layout(str(tmp_path)).filter_control)
    path.parent.mkdir(parents=True)
    return path


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\n{}", 0, ""),
        (b"HTTP/1.0 208 Already\r\n\r\n{}", 0, ""),
        (b'HTTP/1.0 500 No\r\n\r\n{"error":"no words"}', 1, "no words"),
        (b"HTTP/1.0 403 \x1bNo\r\n\r\n", 1, "HTTP/1.0 403 No"),
        (b"", 1, "it does not answer"),
    ],
)
def test_the_program_hands_over_a_message(
    tmp_path: Path, control: Path, answer: bytes, code: int, said: str
) -> None:
    server = Controller(control, answer)
    done = learn(tmp_path, "spam", "jane@example.com")
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert server.requests == [
        b"POST /learnspam HTTP/1.0\r\nDeliver-To: jane@example.com\r\nContent-Length: 5\r\n\r\n"
        b"Hello"
    ]
    assert "Hello" not in done.stderr and "\x1b" not in done.stderr
    server.close()


@pytest.mark.parametrize("arguments", [("spam",), ("other", "a@b"), (), ("spam\n", "a@b")])
def test_the_program_refuses_other_arguments(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert learn(tmp_path, *arguments).returncode == 2


def test_the_program_reports_a_filter_that_is_down(tmp_path: Path) -> None:
    done = learn(tmp_path, "ham", "jane@example.com")
    assert (done.returncode, os.strerror(2) in done.stderr) == (1, True)
    assert learn(tmp_path, "ham", "jane\r\nX: y").returncode == 1
