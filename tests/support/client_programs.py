"""Mail clients as programs: each with a configuration in a folder of its own, and what it says."""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.instance import PASSWORD, Instance

#: Longer than any client needs on a machine that has other work.
PATIENCE_S = 90
#: A name that is in the certificate: some clients compare no addresses.
HOST = "localhost"


class Client:
    """One client of one account. It trusts the certificate of the server, and checks it."""

    def __init__(self, server: Instance, folder: Path, user: str, password: str = PASSWORD) -> None:
        self.server, self.folder, self.user, self.password = server, folder, user, password
        self.certificate = server.state / "tls/cert.pem"
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, text: str) -> Path:
        """A file of the configuration, closed to others, as some clients want it."""
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    def environment(self) -> dict[str, str]:
        return {**os.environ, "HOME": str(self.folder), "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}

    def run(
        self, *argv: str, stdin: str | bytes = "", pass_fds: Sequence[int] = ()
    ) -> subprocess.CompletedProcess[str]:
        """A program that ends by itself, whatever comes of it."""
        done = subprocess.run(
            argv,
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            timeout=PATIENCE_S,
            cwd=self.folder,
            env=self.environment(),
            pass_fds=pass_fds,
        )
        out, err = (said.decode("utf-8", "replace") for said in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def must(self, *argv: str, stdin: str | bytes = "") -> str:
        """A program that must succeed; its output."""
        done = self.run(*argv, stdin=stdin)
        assert done.returncode == 0, done
        return done.stdout + done.stderr

    @contextmanager
    def beside(self, *argv: str) -> Iterator["subprocess.Popen[str]"]:
        """A program that runs beside the test, and is ended with the block."""
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=self.folder,
            env=self.environment(),
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


class Mbsync(Client):
    """isync: a Maildir for each folder, below `mail`."""

    @property
    def mail(self) -> Path:
        return self.folder / "mail"

    def argv(self) -> tuple[str, ...]:
        self.mail.mkdir(exist_ok=True)
        config = self.write("mbsyncrc", self._config())
        return ("mbsync", "-c", str(config), "-a")

    def _config(self) -> str:
        return f"""\
IMAPAccount account
Host {HOST}
Port {self.server.ports["imaps"]}
User {self.user}
Pass {self.password}
SSLType IMAPS
CertificateFile {self.certificate}

IMAPStore far
Account account

MaildirStore near
Path {self.mail}/
Inbox {self.mail}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
Remove None
SyncState *
"""

    def sync(self) -> str:
        return self.must(*self.argv())

    def messages(self, folder: str = "INBOX") -> list[Path]:
        return [p for place in ("cur", "new") for p in (self.mail / folder / place).glob("*")]

    def named(self, subject: str, folder: str = "INBOX") -> Path:
        """The one message with a subject."""
        (found,) = [p for p in self.messages(folder) if f"Subject: {subject}\n" in p.read_text()]
        return found


class Offlineimap(Client):
    """Maildirs below `mail`, folders joined by `.`."""

    @property
    def mail(self) -> Path:
        return self.folder / "mail"

    def sync(self) -> str:
        config = self.write(
            "offlineimaprc",
            f"""\
[general]
accounts = account
metadata = {self.folder}/metadata
[Account account]
localrepository = near
remoterepository = far
[Repository near]
type = Maildir
localfolders = {self.mail}
[Repository far]
type = IMAP
remotehost = {HOST}
remoteport = {self.server.ports["imaps"]}
remoteuser = {self.user}
remotepass = {self.password}
ssl = yes
sslcacertfile = {self.certificate}
""",
        )
        return self.must("offlineimap", "-c", str(config), "-o", "-u", "basic")


class Fetcher(Client):
    """Fetches into the file `mbox`, and leaves the mail on the server."""

    @property
    def mbox(self) -> Path:
        return self.folder / "mbox"

    def subjects(self) -> list[str]:
        text = self.mbox.read_text() if self.mbox.exists() else ""
        lines = text.splitlines()
        return [line.removeprefix("Subject: ") for line in lines if line.startswith("Subject: ")]


class Getmail(Fetcher):
    """getmail 6 waits for ever if a delivery ends before it has begun to wait (its baseclasses.py,
    `_wait_for_child`): so a delivery takes a while."""

    def fetch(self, retriever: str, port: str) -> int:
        """Fetches what is new by POP3 or IMAP; how many messages that were."""
        before = len(self.subjects())
        config = self.write(
            f"getmailrc-{port}",
            f"""\
[retriever]
type = {retriever}
server = {HOST}
port = {self.server.ports[port]}
username = {self.user}
password = {self.password}
ca_certs = {self.certificate}
[destination]
type = MDA_external
path = /bin/sh
arguments = ("-c", "cat >>{self.mbox}; sleep 0.2")
allow_root_commands = true
[options]
read_all = false
delete = false
""",
        )
        self.must("getmail", f"--getmaildir={self.folder}", f"--rcfile={config}")
        return len(self.subjects()) - before


class Fetchmail(Fetcher):
    def argv(self, protocol: str, port: str, *more: str) -> tuple[str, ...]:
        config = self.write(
            f"fetchmailrc-{port}",
            f"poll {HOST} protocol {protocol} service {self.server.ports[port]} auth password\n"
            f'  user "{self.user}" password "{self.password}" is root here\n'
            f'  ssl sslcertck sslcertfile "{self.certificate}"\n'
            f'  keep {" ".join(more)} mda "tee -a {self.mbox}"\n',
        )
        files = ("-i", str(self.folder / "ids"), "--pidfile", str(self.folder / "pid"))
        return ("fetchmail", "-f", str(config), *files, "--nosyslog")

    def fetch(self) -> int:
        """Fetches what is new by POP3; how many messages that were."""
        before = len(self.subjects())
        done = self.run(*self.argv("pop3 uidl", "pop3s"))
        assert done.returncode in (0, 1), done  # 1: there is no new mail
        return len(self.subjects()) - before


class SieveConnect(Client):
    """ManageSieve."""

    def sieve(self, *words: str) -> subprocess.CompletedProcess[str]:
        reader, writer = os.pipe()
        try:
            os.write(writer, f"{self.password}\n".encode())
            os.close(writer)
            where = ("--nosrv", "-s", HOST, "-p", str(self.server.ports["sieve"]), "-u", self.user)
            trust = ("--tlscafile", str(self.certificate), "--passwordfd", str(reader))
            return self.run("sieve-connect", *where, *trust, *words, pass_fds=(reader,))
        finally:
            os.close(reader)


def said_by(process: "subprocess.Popen[str]") -> str:
    """What a program says that ends now."""
    said, _ = process.communicate(timeout=PATIENCE_S)
    return said


def as_options(names: Mapping[str, object]) -> list[str]:
    """`-S name=value`, as s-nail wants settings."""
    return [word for name, value in names.items() for word in ("-S", f"{name}={value}")]
