"""A tour of mailroster with real servers: the commands of a user, and their results.

`sh script/demo` installs the requirements and runs it. The shell runs each command as printed; each
step is checked with SMTP and IMAP. It uses only the standard library, like any other client, and
dkimpy, which verifies signatures.
"""

import argparse
import contextlib
import imaplib
import json
import os
import select
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
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from types import FrameType

import dkim

HOST = "127.0.0.1"
#: The default ports, by setting.
PORTS = {
    "smtp_port": 10025,
    "submission_port": 10587,
    "submissions_port": 10465,
    "imap_port": 10143,
    "imaps_port": 10993,
    "pop3_port": 10110,
    "pop3s_port": 10995,
    "sieve_port": 14190,
    "login_reports_port": 940,
}
#: The settings beside the ports. By default no address of this machine is ever blocked.
SETTINGS = """\
hostname = "mail.example.com"
block_guessing = true
never_blocked = "127.0.0.1"
"""
HOME = Path("/var/tmp/mailroster-demo")
#: A file in the home of every demo; no other folder is emptied.
MARK = ".mailroster-demo"
START_S = 90.0
STOP_S = 60.0
#: The timeout of short steps, on a busy machine.
TIMEOUT_S = 30.0
POLL_S = 0.01
LOG_LINES = 40
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WIDTH = 76

JOHN, JANE = "john.doe@example.com", "jane.doe@example.com"
QA, TEST1, TINY, LEAVER = (f"{name}@example.com" for name in ("qa", "test1", "tiny", "leaver"))
POSTBOX = "postbox@example.org"
ELSEWHERE = "friend@elsewhere.example"
#: Clients with addresses of their own. All others have the address HOST.
GUESSER, LAPTOP = "127.0.0.66", "127.0.0.2"
GUESSES = ("123456", "password", "letmein", "john1985", "qwertz")


class Failure(Exception):
    """A step has failed."""


#: The errors of a failed step.
ERRORS = (
    Failure, OSError, EOFError, imaplib.IMAP4.error, smtplib.SMTPException,
    subprocess.SubprocessError,
)  # fmt: skip


class Stop(BaseException):
    """A signal with this number has requested the end."""

    def __init__(self, number: int) -> None:
        self.number = number


class Page:
    """The output: a line for each command and step, with its time."""

    def __init__(self) -> None:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self._bold, self._dim, self._green, self._red, self._plain = (
            ("\033[1m", "\033[2m", "\033[32m", "\033[31m", "\033[0m") if colour else [""] * 5
        )

    def title(self, text: str) -> None:
        self.text(f"\n{self._bold}{text}{self._plain}")

    def text(self, text: str) -> None:
        print(text, flush=True)

    @contextmanager
    def line(self, text: str, done: str = "") -> Iterator[None]:
        """Prints a line: the text, then the block runs, then its time and result."""
        print(f"  {text:<{WIDTH}}", end="", flush=True)
        start = time.monotonic()
        try:
            yield
        except Stop:
            self.text("")
            raise
        except BaseException:
            self.text(f"  {self._red}FAILED{self._plain}")
            raise
        duration = f"{(time.monotonic() - start) * 1000:6.0f} ms"
        self.text(f"{self._dim}{duration}{self._plain}  {self._green}{done}{self._plain}".rstrip())

    def step(self, text: str) -> contextlib.AbstractContextManager[None]:
        return self.line(text, "ok")


class Server:
    """`mailroster up` on one home."""

    def __init__(self, home: Path, page: Page) -> None:
        self.home, self.page = home, page
        self.config = home / "config"
        self.certificate = home / "mail-state/tls/cert.pem"
        self.ports: dict[str, int] = {}
        self._up: subprocess.Popen[bytes] | None = None
        self._log = home / "up.log"
        self._programs = Path(sys.executable).parent

    def prepare(self) -> None:
        """Creates a config folder without accounts, with ports that are free."""
        self.config.mkdir()
        self.ports = {name: port if is_free(port) else free_port() for name, port in PORTS.items()}
        others = {name: port for name, port in self.ports.items() if port != PORTS[name]}
        if others:
            used = ", ".join(str(PORTS[name]) for name in others)
            self.page.text(f"  (in use: {used}; config/mailroster.toml sets other ports)")
        lines = [f"{name} = {port}\n" for name, port in others.items()]
        (self.config / "mailroster.toml").write_text(SETTINGS + "".join(lines))

    def environment(self) -> dict[str, str]:
        """The environment of the shell, without the settings of the caller."""
        return {
            "PATH": f"{self._programs}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "MAILROSTER_HOME": str(self.home),
        }

    def start(self) -> None:
        """Starts `mailroster up`, in a session of its own: the demo stops it, not Ctrl-C."""
        with self.page.line("$ mailroster up"), self._log.open("wb") as log:
            self._up = subprocess.Popen(
                [self._programs / "mailroster", "up"],
                env=self.environment(),
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            self.wait_until(lambda: b" ready: " in self._log.read_bytes(), START_S)

    def stop(self) -> None:
        """Stops both servers. Raises Failure if that fails."""
        up, self._up = self._up, None
        if up is None:
            return
        up.send_signal(signal.SIGTERM)
        try:
            code = up.wait(STOP_S)
        except subprocess.TimeoutExpired:
            up.kill()
            raise Failure("'mailroster up' does not stop") from None
        if code:
            raise Failure(f"'mailroster up' ended with {code}")

    def close(self) -> None:
        """Stops all processes that are left after a failure. Raises Failure."""
        with contextlib.suppress(Failure):
            self.stop()
        stop_servers(self.home)

    def wait(self) -> None:
        """Waits for the server, which must not end by itself: raises Failure."""
        assert self._up is not None
        raise Failure(f"'mailroster up' ended with {self._up.wait()}")

    def logs(self) -> str:
        """The last lines of each log."""
        parts = []
        for path in (self._log, *sorted((self.home / "mail-logs").glob("*.log"))):
            with contextlib.suppress(OSError):
                lines = path.read_text(errors="replace").splitlines()[-LOG_LINES:]
                parts += [f"\n== {path}", *lines]
        return "\n".join(parts)

    def wait_until(self, condition: Callable[[], bool], wait_s: float = TIMEOUT_S) -> None:
        """Returns when a condition is true. Raises Failure after the timeout."""
        deadline = time.monotonic() + wait_s
        while not condition():
            if self._up is not None and (code := self._up.poll()) is not None:
                raise Failure(f"'mailroster up' ended with {code}")
            if time.monotonic() > deadline:
                raise Failure(f"not within {wait_s:.0f} s")
            time.sleep(POLL_S)


class Demo:
    """The command line and the mail clients of a user of a server."""

    def __init__(self, server: Server) -> None:
        self.server, self.page = server, server.page
        self.passwords: dict[str, str] = {}
        self._messages = 0

    # -- the command line

    def shell(self, command: str) -> None:
        """Runs a command, and prints it and its output. Raises Failure if it fails."""
        with self.page.line(f"$ {command}"):
            printed = self.output(command)
        for line in printed.splitlines():
            self.page.text(f"    {line}".rstrip())

    def output(self, command: str) -> str:
        """Runs a command; returns what it prints. Raises Failure if it fails."""
        done = subprocess.run(
            ["sh", "-c", command],
            env=self.server.environment(),
            cwd=self.server.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
        )
        if done.returncode:
            raise Failure(f"exit status {done.returncode}: {done.stdout.strip()}")
        return done.stdout

    def add(self, address: str, password: str) -> None:
        self.shell(f"setup email add {address} {password}")
        self.passwords[address] = password

    # -- SMTP

    def tls(self) -> ssl.SSLContext:
        """A context that trusts only the self-signed certificate of the server."""
        context = ssl.create_default_context(cafile=str(self.server.certificate))
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # `openssl req -x509` sets no keyUsage
        return context

    def submission(self, *, starttls: bool, client: str = HOST) -> smtplib.SMTP:
        source = (client, 0)
        if not starttls:
            port = self.server.ports["submissions_port"]
            return smtplib.SMTP_SSL(
                HOST, port, timeout=TIMEOUT_S, source_address=source, context=self.tls()
            )
        port = self.server.ports["submission_port"]
        session = smtplib.SMTP(HOST, port, timeout=TIMEOUT_S, source_address=source)
        session.starttls(context=self.tls())
        return session

    def submit(self, sender: str, recipient: str, *, starttls: bool = True) -> str:
        """Sends a message as a user of the server; returns its subject."""
        message = self.message(sender, recipient)
        with self.submission(starttls=starttls) as session:
            session.login(sender, self.passwords[sender])
            session.send_message(message)
        return str(message["Subject"])

    def send(self, recipient: str, size_bytes: int = 0) -> str:
        """Sends a message as another mail server; returns its subject."""
        message = self.message(ELSEWHERE, recipient, size_bytes)
        with smtplib.SMTP(HOST, self.server.ports["smtp_port"], timeout=TIMEOUT_S) as session:
            session.send_message(message)
        return str(message["Subject"])

    def answer(self, recipient: str) -> int:
        """The answer to RCPT TO of another mail server."""
        with smtplib.SMTP(HOST, self.server.ports["smtp_port"], timeout=TIMEOUT_S) as session:
            session.ehlo()
            session.mail(ELSEWHERE)
            return session.rcpt(recipient)[0]

    def refuses(self, recipient: str, code: int, size_bytes: int = 0) -> None:
        """Asserts that a message is refused at RCPT TO with a code."""
        try:
            self.send(recipient, size_bytes)
        except smtplib.SMTPRecipientsRefused as error:
            answer = error.recipients[recipient]
            if answer[0] == code:
                return
            raise Failure(f"refused with {answer}, not {code}") from None
        raise Failure("it was accepted")

    def message(self, sender: str, recipient: str, size_bytes: int = 0) -> EmailMessage:
        """A message with a unique subject and a body of a size."""
        self._messages += 1
        message = EmailMessage()
        message["Subject"] = f"message {self._messages:03}"
        message["From"], message["To"] = sender, recipient
        message.set_content("\n".join(["x" * 70] * (size_bytes // 71)) or "Hello!")
        return message

    # -- IMAP

    @contextmanager
    def imap(self, user: str, password: str, client: str = HOST) -> Iterator[imaplib.IMAP4_SSL]:
        """A session of a user after the login. Raises the error of imaplib."""
        with Imap(client, self.server.ports["imaps_port"], self.tls()) as session:
            session.login(user, password)
            yield session

    def logs_in(self, user: str, password: str | None = None, client: str = HOST) -> None:
        with self.imap(user, password or self.passwords[user], client):
            pass

    def no_login(self, user: str, password: str, client: str = HOST) -> None:
        try:
            self.logs_in(user, password, client)
        except imaplib.IMAP4.error:
            return
        raise Failure("it logs in")

    def guess(self, user: str, client: str) -> None:
        """Tries all GUESSES at once, each on a connection of its own."""
        with ThreadPoolExecutor(len(GUESSES)) as connections:
            list(connections.map(lambda word: self.no_login(user, word, client), GUESSES))

    def cannot_submit(self, user: str, password: str, client: str = HOST) -> None:
        try:
            with self.submission(starttls=True, client=client) as session:
                session.login(user, password)
        except smtplib.SMTPAuthenticationError as error:
            if error.smtp_code != 535:
                raise Failure(str(error)) from None
        else:
            raise Failure("it was accepted")

    def arrives(self, subject: str, *users: str) -> None:
        """Waits until a message is in the INBOX of each user."""
        for user in users:
            with self.imap(user, self.passwords[user]) as session:
                self.server.wait_until(lambda imap=session: has_message(imap, subject))  # type: ignore[misc]

    def raw(self, subject: str, user: str) -> bytes:
        """A message in the INBOX of a user, as Dovecot has it."""
        with self.imap(user, self.passwords[user]) as session:
            session.select("INBOX", readonly=True)
            number = session.search(None, "SUBJECT", f'"{subject}"')[1][0].decode()
            part = session.fetch(number, "(BODY.PEEK[])")[1][0]
        assert isinstance(part, tuple)
        return part[1]

    def has_not(self, subject: str, user: str) -> None:
        with self.imap(user, self.passwords[user]) as session:
            if has_message(session, subject):
                raise Failure(f"{user} has it")

    def accepts(self, recipient: str) -> None:
        """Waits until mail for an address is accepted."""
        self.server.wait_until(lambda: self.answer(recipient) == 250)


class Imap(imaplib.IMAP4_SSL):
    """A connection from a client with an address of its own."""

    def __init__(self, client: str, port: int, context: ssl.SSLContext) -> None:
        self._client, self._context = client, context
        super().__init__(HOST, port, ssl_context=context, timeout=TIMEOUT_S)

    def _create_socket(self, timeout: float | None) -> ssl.SSLSocket:
        connection = socket.create_connection((HOST, self.port), timeout, (self._client, 0))
        return self._context.wrap_socket(connection, server_hostname=HOST)


def has_message(session: imaplib.IMAP4, subject: str) -> bool:
    """Whether the INBOX now has a message."""
    session.select("INBOX", readonly=True)
    return bool(session.search(None, "SUBJECT", f'"{subject}"')[1][0])


def is_free(port: int) -> bool:
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    with socket.create_server((HOST, 0)) as server:
        port: int = server.getsockname()[1]
        return port


# -- the chapters


def accounts(demo: Demo, page: Page) -> None:
    page.title("Accounts")
    demo.add(JOHN, "john-secret")
    with page.step("john.doe logs in with IMAP"):
        demo.logs_in(JOHN)
    demo.shell(f"echo jane-secret | setup email add {JANE} --password-stdin")
    demo.passwords[JANE] = "jane-secret"
    with page.step("jane.doe logs in with IMAP"):
        demo.logs_in(JANE)
    with page.step("jane.doe can't log in with a wrong password"):
        demo.no_login(JANE, "john-secret")
    with page.step("john.doe can't send with a wrong password: 535"):
        demo.cannot_submit(JOHN, "jane-secret")
    with page.step("john.doe sends by submission with STARTTLS, jane.doe reads it"):
        demo.arrives(demo.submit(JOHN, JANE), JANE)
    with page.step("jane.doe answers by submission with TLS, john.doe reads it"):
        demo.arrives(demo.submit(JANE, JOHN, starttls=False), JOHN)
    with page.step("mail from another server arrives, in upper case too"):
        demo.arrives(demo.send("John.DOE+lists@Example.COM"), JOHN)
    with page.step("mail for an unknown address is refused: 550"):
        demo.refuses("nobody@example.com", 550)
    with page.step("mail for another domain is refused: 554"):
        demo.refuses("friend@far.example", 554)


def alias(demo: Demo, page: Page) -> None:
    page.title("An alias")
    demo.shell(f"setup alias add info@example.com {JOHN},{JANE}")
    with page.step("mail for info reaches john.doe and jane.doe"):
        demo.arrives(demo.send("info@example.com"), JOHN, JANE)
    with page.step("there is no login as info"):
        demo.no_login("info@example.com", "john-secret")


def regexp_alias(demo: Demo, page: Page) -> None:
    page.title("An alias by pattern, by hand")
    demo.add(QA, "qa-secret")
    demo.add(TEST1, "test1-secret")
    with page.step("mail for test1 reaches test1; test2 does not exist: 550"):
        demo.arrives(demo.send(TEST1), TEST1)
        demo.refuses("test2@example.com", 550)
    demo.shell(rf"echo '/^test[0-9][0-9]*@example\.com/ {QA}' >>config/postfix-regexp.cf")
    with page.step("the edit is live: mail for test2 is accepted"):
        demo.accepts("test2@example.com")
    with page.step("mail for test1 now reaches qa, not test1"):
        subject = demo.send(TEST1)
        demo.arrives(subject, QA)
        demo.has_not(subject, TEST1)


def quota(demo: Demo, page: Page) -> None:
    page.title("A quota")
    demo.add(TINY, "tiny-secret")
    demo.shell(f"setup alias add brim@example.com {TINY}")
    demo.shell(f"setup quota set {TINY} 20k")
    with page.step("12 kB fit"):
        demo.arrives(demo.send(TINY, 12_000), TINY)
    with page.step("12 kB more are refused at RCPT TO: 552"):
        demo.refuses(TINY, 552, 12_000)
    with page.step("12 kB through the alias brim are refused too: 552"):
        demo.refuses("brim@example.com", 552, 12_000)
    demo.shell(f"setup quota set {TINY} 1M")
    with page.step("now they fit"):
        demo.arrives(demo.send("brim@example.com", 12_000), TINY)


def signature(demo: Demo, page: Page) -> None:
    page.title("A signature (DKIM)")
    demo.shell("setup config dkim domain example.com > record.txt")
    demo.shell("cut -c 1-78 record.txt")
    record = txt_record((demo.server.home / "record.txt").read_text(encoding="utf-8"))
    subjects: list[str] = []

    def is_signed() -> bool:
        try:
            subjects.append(demo.submit(JOHN, JANE))
        except smtplib.SMTPException:
            return False  # "try again later", while the signer starts
        demo.arrives(subjects[-1], JANE)
        return b"\nDKIM-Signature:" in demo.raw(subjects[-1], JANE)

    with page.step("from now on, what john.doe sends arrives signed"):
        demo.server.wait_until(is_signed)
    message = demo.raw(subjects[-1], JANE)
    with page.step("an independent verifier (dkimpy) accepts it, with that record as the DNS"):
        if not dkim.verify(message, dnsfunc=record):
            raise Failure("it does not")
    with page.step("it does not accept the message with one word changed"):
        if dkim.verify(message.replace(b"Hello!", b"Hullo!"), dnsfunc=record):
            raise Failure("it does")


def txt_record(printed: str) -> Callable[..., bytes]:
    """A DNS for dkimpy that knows one record: the zone line that a command has printed."""
    name, _, rest = next(line for line in printed.splitlines() if " IN TXT " in line).partition(" ")
    value = "".join(rest.split('"')[1::2]).encode()

    def answer(asked: bytes, timeout: int = 0) -> bytes:
        return value if asked.decode() == name else b""

    return answer


def password(demo: Demo, page: Page) -> None:
    page.title("A new password")
    demo.shell(f"setup email update {JOHN} john-new-secret")
    old, demo.passwords[JOHN] = demo.passwords[JOHN], "john-new-secret"
    with page.step("the new password works"):
        demo.logs_in(JOHN)
    with page.step("the old password does not"):
        demo.no_login(JOHN, old)


def app_password(demo: Demo, page: Page) -> None:
    page.title("A password for the phone")
    demo.shell(f"setup email app-password add {JANE} phone --for imap > phone.txt")
    shown = demo.server.home / "phone.txt"
    phone = shown.read_text(encoding="utf-8").strip()
    shown.unlink()
    own = demo.passwords[JANE]
    with page.step("it opens IMAP"):
        demo.logs_in(JANE, phone)
    with page.step("it does not open submission: 535"):
        demo.cannot_submit(JANE, phone)
    demo.shell(f"setup email app-password del {JANE} phone")
    with page.step("it opens nothing any more; her own password still works"):
        demo.no_login(JANE, phone)
        demo.logs_in(JANE, own)


def guesser(demo: Demo, page: Page) -> None:
    page.title("Somebody guesses passwords")
    with page.step(f"{GUESSER} tries five passwords of john.doe"):
        demo.guess(JOHN, GUESSER)
        demo.server.wait_until(lambda: GUESSER in demo.output("setup block list"))
    with page.step("now it can't log in with the right password either"):
        demo.no_login(JOHN, demo.passwords[JOHN], GUESSER)
    with page.step("nor send: 535"):
        demo.cannot_submit(JOHN, demo.passwords[JOHN], GUESSER)
    with page.step("john.doe still logs in, from another address"):
        demo.logs_in(JOHN, client=LAPTOP)
    demo.shell("setup block list")
    demo.shell(f"setup block del {GUESSER}")
    with page.step("the right password works there again"):
        demo.logs_in(JOHN, client=GUESSER)


def lock(demo: Demo, page: Page) -> None:
    page.title("A locked account")
    demo.shell(f"setup email lock {JANE} --comment 'laptop stolen' --until 2h")
    with page.step("jane.doe can't log in"):
        demo.no_login(JANE, demo.passwords[JANE])
    subject = demo.send(JANE)
    demo.shell(f"setup email unlock {JANE}")
    with page.step("jane.doe can log in again, and has the mail of the meantime"):
        demo.arrives(subject, JANE)


def deletion(demo: Demo, page: Page) -> None:
    page.title("An account is deleted")
    demo.add(LEAVER, "leaver-secret")
    demo.shell(f"setup alias add bye@example.com {LEAVER}")
    with page.step("leaver logs in, and gets mail through the alias bye"):
        demo.logs_in(LEAVER)
        demo.arrives(demo.send("bye@example.com"), LEAVER)
    demo.shell(f"setup email del -y {LEAVER}")
    removed = demo.passwords.pop(LEAVER)
    with page.step("leaver can't log in any more"):
        demo.no_login(LEAVER, removed)
    with page.step("mail for leaver and for bye is refused: 550"):
        demo.refuses(LEAVER, 550)
        demo.refuses("bye@example.com", 550)


def catch_all(demo: Demo, page: Page) -> None:
    page.title("A catch-all, in another domain")
    demo.add(POSTBOX, "postbox-secret")
    demo.shell(f"setup alias add @example.org {JANE}")
    with page.step("mail for any other address reaches jane.doe"):
        demo.arrives(demo.send("whoever@example.org"), JANE)
    with page.step("mail for postbox still reaches postbox, with a plus-address too"):
        for recipient in (POSTBOX, "postbox+tag@example.org"):
            subject = demo.send(recipient)
            demo.arrives(subject, POSTBOX)
            demo.has_not(subject, JANE)


def explanation(demo: Demo, page: Page) -> None:
    page.title("The route of an address, compared with the servers")
    demo.shell("setup explain info+web@example.com")
    demo.shell(f"setup explain {TEST1}")
    demo.shell("setup map example.com --svg map.svg")


def other_programs(demo: Demo, page: Page) -> None:
    page.title("With other programs")
    demo.shell(swaks(demo, "--silent 2"))
    demo.shell(curl(demo, "--silent"))


def result(demo: Demo, page: Page) -> None:
    page.title("The result is text")
    for name in ("dovecot-quotas.cf", "postfix-virtual.cf", "postfix-regexp.cf"):
        demo.shell(f"cat config/{name}")
    demo.shell("setup email list")
    demo.shell("mailroster status")


CHAPTERS = (
    accounts, alias, regexp_alias, quota, signature, password, app_password, guesser, lock,
    deletion, catch_all, explanation, other_programs, result,
)  # fmt: skip


def swaks(demo: Demo, *options: str) -> str:
    """A shell command that sends a message."""
    user = f"--auth-user {JOHN} --auth-password {demo.passwords[JOHN]}"
    server = f"--server {HOST}:{demo.server.ports['submission_port']} --tls"
    return " ".join(["swaks", *options, server, user, f"--from {JOHN} --to {JANE}"])


def curl(demo: Demo, *options: str) -> str:
    """A shell command that reads a message."""
    url = f"'imaps://{HOST}:{demo.server.ports['imaps_port']}/INBOX;MAILINDEX=1;SECTION=TEXT'"
    trust = f"--cacert {shlex.quote(str(demo.server.certificate))}"
    return " ".join(["curl", *options, trust, f"-u {JOHN}:{demo.passwords[JOHN]}", url])


def invitation(demo: Demo) -> str:
    """The text that explains how to connect."""
    port = {name.removesuffix("_port"): f"{port:5}" for name, port in demo.server.ports.items()}
    program = shlex.quote(str(Path(sys.executable).parent / "setup"))
    width = max(map(len, demo.passwords))
    users = "\n".join(f"    {user:{width}}  {word}" for user, word in demo.passwords.items())
    return f"""
The server stays up until Ctrl-C, on {HOST}:

    {port["smtp"]}  SMTP, from other servers: no login, only to the accounts and aliases
    {port["submission"]}  submission with STARTTLS
    {port["submissions"]}  submission with TLS
    {port["imap"]}  IMAP with STARTTLS
    {port["imaps"]}  IMAP with TLS
    {port["pop3"]}  POP3 with STARTTLS
    {port["pop3s"]}  POP3 with TLS
    {port["sieve"]}  ManageSieve

    user{"":{width - 4}}  password
{users}

Try, in another terminal:

    {program} --home {demo.server.home} email add you@example.com
    {swaks(demo)}
    {curl(demo)}

The text files are in {demo.server.config}, the logs in {demo.server.home}/mail-logs.
"""


# -- the home


def make_home(path: Path | None, *, once: bool) -> Path:
    """Creates a home that the users of the servers can enter, or empties that of a former demo.

    Raises Failure for another folder, and for one whose demo still runs.
    """
    if path is None and once:
        home = Path(tempfile.mkdtemp(prefix="mailroster-demo-", dir=HOME.parent))
    else:
        home = Path(os.path.abspath(path or HOME))
        if home.is_symlink() or (home.exists() and home.stat().st_uid != os.geteuid()):
            raise Failure(f"{home} belongs to another user or is a link; use another --home")
        if home.exists() and os.listdir(home):
            if not (home / MARK).exists():
                raise Failure(
                    f"{home} is not the home of a demo, and not empty; use another --home"
                )
            if up := pids(home)["up"]:
                raise Failure(
                    f"a demo runs in {home} already, as process {up}; "
                    f"stop it with 'kill {up}', or use another --home"
                )
            stop_servers(home)
            shutil.rmtree(home)
        home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o755)
    (home / MARK).touch()
    return home


def pids(home: Path) -> dict[str, int | None]:
    """The processes of a home, `mailroster up` first. Raises Failure if they are unknown."""
    program = str(Path(sys.executable).parent / "mailroster")
    argv = [program, "--home", str(home), "status", "--json"]
    done = subprocess.run(argv, capture_output=True, text=True)
    try:
        running: dict[str, int | None] = json.loads(done.stdout)["running"]
    except ValueError:
        raise Failure(f"'mailroster status' says: {done.stderr.strip()}") from None
    return running


def stop_servers(home: Path) -> None:
    """Stops the processes of a home, also if its `mailroster up` was killed. Raises Failure."""
    for name in ("up", "postfix", "dovecot"):
        if pid := pids(home)[name]:
            with contextlib.suppress(ProcessLookupError):
                process = os.pidfd_open(pid)
                os.kill(pid, signal.SIGTERM)
                if not select.select([process], [], [], STOP_S)[0]:
                    raise Failure(f"{name}, process {pid}, does not stop")
                os.close(process)


def tour(demo: Demo, page: Page) -> None:
    page.title("A mail server from text files")
    demo.server.prepare()
    page.text(f"  $ export MAILROSTER_HOME={demo.server.home}")
    page.text("  $ cd $MAILROSTER_HOME")
    demo.server.start()
    for chapter in CHAPTERS:
        chapter(demo, page)


def run(demo: Demo, page: Page, *, once: bool) -> int:
    """Runs the tour, waits for a signal unless `once`, stops; returns the exit status."""
    try:
        tour(demo, page)
        if not once:
            page.text(invitation(demo))
            with contextlib.suppress(Stop):
                demo.server.wait()
        page.title("The end")
        with page.step("both servers stop"):
            demo.server.stop()
        return 0
    except Stop as stop:
        return 128 + stop.number
    except ERRORS as error:
        page.text(demo.server.logs())
        page.text(f"\ndemo: failed: {error or type(error).__name__}")
        page.text(f"The files are in {demo.server.home}.")
        return 1
    finally:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        demo.server.close()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="sh script/demo", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--once", action="store_true", help="stop at the end")
    parser.add_argument("--home", type=Path, help=f"instead of {HOME}; emptied at each start")
    options = parser.parse_args()
    for number in SIGNALS:
        signal.signal(number, _stop)
    try:
        home = make_home(options.home, once=options.once)
    except (Failure, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    page = Page()
    status = run(Demo(Server(home, page)), page, once=options.once)
    if options.once and options.home is None and status != 1:
        shutil.rmtree(home)
    return status


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stop(number)


if __name__ == "__main__":
    sys.exit(main())
