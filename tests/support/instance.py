"""A real Postfix and a real Dovecot on free ports, kept by `mailroster up`, for one test module."""

import imaplib
import os
import poplib
import shlex
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from itertools import cycle, islice
from pathlib import Path

from tests.support.sink import Sink

PORTS = ("smtp", "submission", "submissions", "imap", "imaps", "pop3", "pop3s", "sieve")
PASSWORD = "secret"
#: {SHA512-CRYPT} of PASSWORD, for tests that write accounts by hand.
HASH = (
    "{SHA512-CRYPT}$6$DBoFQvCT4OJ0fEDb$5Xz/lRgjVO9VHdlWfVG94Oahw.NG2Vo/SaR8gwgV5WjYUKP7sdOBf6pUS"
    "hBVo68gNw37neCVdsWsS48Ae9i8o1"
)


#: Below those that the kernel gives to clients, a part for each process of a parallel run.
_PORTS_FROM, _PORTS_EACH, _PARTS = 12000, 2500, 8
_part = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _PARTS
_first = _PORTS_FROM + _part * _PORTS_EACH
_ports = cycle(range(_first, _first + _PORTS_EACH))
next(islice(_ports, os.getpid() % _PORTS_EACH, None))  # two runs at once begin elsewhere


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, other ones each time."""
    return list(islice(filter(_is_free, _ports), count))


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


class Clients:
    """The clients that a user of a server would have; `ports` by the names of PORTS."""

    ports: dict[str, int]

    def smtp(self, kind: str = "smtp") -> smtplib.SMTP:
        """An SMTP session on one of the three ports, TLS where the port wants it."""
        if kind == "submissions":
            session: smtplib.SMTP = smtplib.SMTP_SSL(
                "127.0.0.1", self.ports[kind], timeout=30, context=trusting()
            )
        else:
            session = smtplib.SMTP("127.0.0.1", self.ports[kind], timeout=30)
        session.ehlo("client.test")
        if kind == "submission":
            session.starttls(context=trusting())
            session.ehlo("client.test")
        return session

    def rcpt(self, address: str, sender: str = "somebody@elsewhere.test") -> tuple[int, str]:
        """What a new SMTP session answers to RCPT."""
        with self.smtp() as session:
            session.mail(sender)
            code, text = session.rcpt(address)
            return code, text.decode()

    def send(self, *recipients: str, subject: str = "hello", size: int = 0) -> None:
        """A message from elsewhere; raises as smtplib does."""
        with self.smtp() as session:
            text = message(subject, recipients[0], size)
            session.sendmail("somebody@elsewhere.test", recipients, text.as_bytes())

    @contextmanager
    def imap(self, user: str, password: str = PASSWORD) -> Iterator[imaplib.IMAP4]:
        """A logged-in session; raises imaplib's error if the login is refused."""
        session = imaplib.IMAP4_SSL("127.0.0.1", self.ports["imaps"], ssl_context=trusting())
        try:
            # imaplib's own login() quotes neither names nor passwords as IMAP wants it.
            session.authenticate("PLAIN", lambda _: f"\0{user}\0{password}".encode())
            yield session
        finally:
            session.shutdown()

    def can_log_in(self, user: str, password: str = PASSWORD) -> bool:
        try:
            with self.imap(user, password):
                return True
        except imaplib.IMAP4.error:
            return False

    def subjects(self, user: str, password: str = PASSWORD, folder: str = "INBOX") -> list[str]:
        """Subjects in a folder, oldest first."""
        with self.imap(user, password) as session:
            session.select(folder, readonly=True)
            _, found = session.search(None, "ALL")
            subjects = []
            for number in found[0].split():
                _, parts = session.fetch(number, "(BODY[HEADER.FIELDS (SUBJECT)])")
                header = parts[0][1] if isinstance(parts[0], tuple) else b""
                subjects.append(header.decode().removeprefix("Subject: ").strip())
            return subjects

    def arrives(
        self, user: str, subject: str, password: str = PASSWORD, wait_s: float = 60
    ) -> None:
        """Asserts that a message gets into a mailbox."""
        until(lambda: subject in self.subjects(user, password), wait_s)

    def pop3(self) -> poplib.POP3:
        session = poplib.POP3("127.0.0.1", self.ports["pop3"], timeout=30)
        session.stls(context=trusting())
        return session


class Instance(Clients):
    """One home, with its servers on ports of their own."""

    def __init__(self, **settings: object) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="mr-", dir="/tmp"))
        self.home.chmod(0o755)
        self.config = self.home / "config"
        self.mail = self.home / "mail-data"
        self.state = self.home / "mail-state"
        self.config.mkdir()
        self.sink = Sink()
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        values: dict[str, object] = {f"{name}_port": port for name, port in self.ports.items()}
        values |= {"hostname": "mail.example.test", "relayhost": f"[127.0.0.1]:{self.sink.port}"}
        values["index_from_bytes"] = int(os.environ.get("INDEX_FROM", "1"))
        values |= settings
        lines = [f"{name} = {_toml(value)}\n" for name, value in values.items()]
        (self.config / "mailroster.toml").write_text("".join(lines))
        self.up: subprocess.Popen[bytes] | None = None
        self.log = self.home / "up.log"
        self.patience_s = 120.0  # with one command, and with a stop

    # -- the server

    def start(self, *options: str, wait_s: float = 180) -> None:
        """Starts `mailroster up` and waits until it says that it is ready."""
        with self.log.open("ab") as log:
            self.up = subprocess.Popen([*self._program(), "up", *options], stdout=log, stderr=log)
        said = self.log.stat().st_size
        until(lambda: b" ready: " in self.log.read_bytes()[said:] or self._ended(), wait_s)

    def _ended(self) -> bool:
        assert self.up is not None
        if self.up.poll() is not None:
            raise AssertionError(f"up ended:\n{self.log.read_text()}")
        return False

    def stop(self) -> int:
        """Stops it as a user would, and returns its exit code."""
        if self.up is None:
            return 0
        self.up.send_signal(signal.SIGTERM)
        code = self.up.wait(self.patience_s)
        self.up = None
        return code

    def kill(self) -> None:
        """`kill -9` of `up` alone; the servers go on."""
        assert self.up is not None
        self.up.kill()
        self.up.wait()
        self.up = None

    def close(self) -> None:
        try:
            if self.up is None and (self.state / "spool/pid/master.pid").exists():
                self.start()  # takes over what a killed `up` has left, to stop it
            self.stop()
        finally:
            self.sink.close()
            shutil.rmtree(self.home, ignore_errors=True)

    # -- the command line

    @property
    def command(self) -> str:
        """What a shell runs for a command of this home, before its words."""
        return shlex.join(self._program())

    def _program(self) -> list[str]:
        return [sys.executable, "-m", "mailroster", "--home", str(self.home)]

    def run(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """One `setup` command, whatever comes of it."""
        argv = [*self._program(), *words]
        return subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=self.patience_s
        )

    def begin(self, *words: str) -> subprocess.Popen[bytes]:
        """One `setup` command that runs beside others."""
        return subprocess.Popen([*self._program(), *words], stderr=subprocess.DEVNULL)

    def setup(self, *words: str, stdin: str = "") -> str:
        """One `setup` command that must succeed; its output."""
        done = self.run(*words, stdin=stdin)
        assert done.returncode == 0, (words, done.returncode, done.stderr)
        return done.stdout

    def file(self, name: str) -> Path:
        return self.config / name

    def doveadm(self, *words: str) -> str:
        done = self._doveadm(*words)
        return done.stdout + done.stderr

    def _doveadm(self, *words: str) -> subprocess.CompletedProcess[str]:
        conf = self.state / "dovecot/dovecot.conf"
        return subprocess.run(["doveadm", "-c", conf, *words], capture_output=True, text=True)

    def users(self) -> list[str]:
        """What `doveadm user '*'` lists. Dovecot 2.4.1 cuts about one of twenty listings of
        thousands of users short, and more on a loaded machine; it fails then."""
        for _ in range(20):
            done = self._doveadm("user", "*")
            if done.returncode == 0:
                break
        return done.stdout.split()


def message(subject: str, to: str, size: int = 0) -> EmailMessage:
    """A message with a body of some octets."""
    text = EmailMessage()
    text["Subject"], text["To"], text["From"] = subject, to, "somebody@elsewhere.test"
    text.set_content("\n".join(["x" * 70] * (size // 71)) or "hello")
    return text


def trusting() -> ssl.SSLContext:
    """A TLS context for the instance's self-signed certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def save(path: Path, text: str) -> None:
    """As an editor does: another file, renamed over."""
    new = path.with_name("editor~")
    new.write_text(text)
    new.chmod(0o600)
    new.rename(path)


def until(holds: Callable[[], bool], wait_s: float = 60, evidence: Callable[[], str] = str) -> None:
    """Asserts that something comes to hold; otherwise the error shows the evidence."""
    deadline = time.monotonic() + wait_s
    while not holds():
        assert time.monotonic() < deadline, f"it did not come to hold in time\n{evidence()}"
        time.sleep(0.02)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else '"' + str(value) + '"'
