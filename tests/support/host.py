"""A host with the Postfix and the Dovecot of Debian's packages, as they are installed. It has
namespaces of its own: nothing of the machine's configuration, queue, ports or processes is touched.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.instance import PASSWORD, until
from tests.support.project import ROOT

#: What the servers and we write: in the namespace each is a copy, or empty.
_COPIED = ("/etc",)
_EMPTY = ("/run", "/var/spool/postfix", "/var/lib", "/var/mail", "/var/log")
#: As Debian's package writes it, where nobody was asked anything.
_MAIN_CF = """\
compatibility_level = 3.6
smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination
myhostname = host.example.test
alias_maps = hash:/etc/aliases
alias_database = hash:/etc/aliases
mydestination = $myhostname, example.com, localhost.localdomain, localhost
relayhost =
mynetworks = 127.0.0.0/8 [::1]/128
mailbox_size_limit = 0
recipient_delimiter = +
inet_interfaces = all
inet_protocols = ipv4
smtpd_tls_security_level = may
"""
_KEY = "/etc/dovecot/private/dovecot.key"
_CERTIFICATE = "/etc/dovecot/private/dovecot.pem"


class Host:
    """The servers of one host, stopped; the config folder is /etc/mailroster, the state folder
    /var/lib/mailroster."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mr-host-", dir="/var/tmp"))
        self._watch: subprocess.Popen[bytes] | None = None
        self.log = self.folder / "watch.log"
        pid = self.folder / "pid"
        self._init = subprocess.Popen(
            ["unshare", "--mount", *propagation(), "--net", "--pid", "--ipc", "--fork",
             "--kill-child", "--mount-proc",
             "sh", "-c", 'echo >"$0"; while :; do sleep 1000; done', str(pid)],
        )  # fmt: skip
        until(pid.exists)
        with open(
            f"/proc/{self._init.pid}/task/{self._init.pid}/children", encoding="ascii"
        ) as file:
            self._pid = file.read().split()[0]
        self._make()

    def _make(self) -> None:
        for name in _COPIED:
            copy = self.folder / name[1:]
            copy.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-a", name, copy], check=True)
            self.run("mount", "--bind", str(copy), name)
        for name in _EMPTY:
            empty = self.folder / f"empty{name}"
            empty.mkdir(parents=True)
            self.run("mount", "--bind", str(empty), name)
        self.run("mkdir", "-p", "/etc/mailroster", "/var/lib/dovecot")
        self.run(sys.executable, "-m", "tests.support.loopback")
        self.run("install", "-d", "-o", "postfix", "/var/lib/postfix")
        self.run("chmod", "2775", "/var/mail")
        self.write("/etc/postfix/main.cf", _MAIN_CF)
        if os.path.exists("/etc/postfix/master.cf.proto"):
            self.run("cp", "/etc/postfix/master.cf.proto", "/etc/postfix/master.cf")
        self.write("/var/log/mail.log", "")
        self.run("postconf", "-e", "maillog_file = /var/log/mail.log")
        self.run("postconf", "-M", "postlog/unix-dgram=postlog unix-dgram n - n - 1 postlogd")
        self.write("/etc/dovecot/local.conf", "log_path = /var/log/dovecot.log\n")
        self.run(
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
            "-subj", "/CN=host.example.test", "-keyout", _KEY, "-out", _CERTIFICATE,
        )  # fmt: skip
        self.run(
            "postconf", "-e", f"smtpd_tls_cert_file={_CERTIFICATE}", f"smtpd_tls_key_file={_KEY}"
        )

    # -- inside

    def enter(self, *argv: str) -> list[str]:
        """The command that runs a program in the host."""
        spaces = ["--root", "--mount", "--net", "--pid", "--ipc"]
        return ["nsenter", "-t", self._pid, *spaces, f"--wd={ROOT}", *argv]

    def inside(self, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """A program in the host, whatever comes of it."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MAILROSTER")}
        environment |= {"PYTHONPATH": f"{ROOT}/src", "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(
            self.enter(*argv),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            env=environment,
        )

    def run(self, *argv: str) -> str:
        """A program in the host that must succeed; its output."""
        done = self.inside(*argv)
        assert done.returncode == 0, (argv, done.stdout, done.stderr)
        return done.stdout

    def setup(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of ours as root of the host types it, without a word of where things are."""
        return self.inside(sys.executable, "-m", "mailroster", *words)

    def run_setup(self, *words: str) -> str:
        """A command of ours that must succeed; its output."""
        done = self.setup(*words)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def write(self, path: str, text: str) -> None:
        """Text of a file as the host sees it."""
        done = self.inside("sh", "-c", 'cat >"$0"', path, stdin=text)
        assert done.returncode == 0, done.stderr

    def read(self, path: str) -> str:
        return self.run("cat", path)

    def evidence(self) -> str:
        """The queue and the last lines of the servers' logs."""
        shown = "mailq; tail -n 60 /var/log/mail.log /var/log/dovecot.log"
        return self.inside("sh", "-c", shown).stdout

    def start(self) -> None:
        """Postfix and Dovecot, as the packages start them."""
        for server in ("/usr/sbin/postfix start", "/usr/sbin/dovecot"):
            self.run("sh", "-c", f"{server} >/run/started 2>&1 || {{ cat /run/started; exit 1; }}")

    def stop(self) -> None:
        self.inside("doveadm", "stop")
        self.inside("/usr/sbin/postfix", "stop")

    def watch(self) -> None:
        """Starts `mailroster watch`, and waits until it says that it is ready."""
        self.watch_by([sys.executable, "-m", "mailroster", "watch"])

    def watch_by(self, argv: list[str]) -> None:
        """The same by a command of the caller's."""
        said = self.log.stat().st_size if self.log.exists() else 0
        enter = ["nsenter", "-t", self._pid, "--root", "--mount", "--net", "--pid", "--ipc"]
        with self.log.open("ab") as log:
            environment = {**os.environ, "PYTHONPATH": f"{ROOT}/src"}
            self._watch = subprocess.Popen(
                [*enter, f"--wd={ROOT}", *argv], stdout=log, stderr=log, env=environment
            )
        until(lambda: b"in step: " in self.log.read_bytes()[said:] or self._ended())

    def _ended(self) -> bool:
        assert self._watch is not None
        assert self._watch.poll() is None, self.log.read_text()
        return False

    def stop_watch(self) -> int:
        assert self._watch is not None
        pid = self.read("/var/lib/mailroster/locks/up.pid").strip()
        self.run("sh", "-c", 'kill -TERM "$0"', pid)
        code = self._watch.wait(30)
        self._watch = None
        return code

    @contextmanager
    def hung_watch(self) -> Iterator[None]:
        """`watch` hangs meanwhile. nsenter(1) stops together with its program, and has to be
        continued too."""
        assert self._watch is not None
        pid = self.read("/var/lib/mailroster/locks/up.pid").strip()
        self.run("kill", "-STOP", pid)
        try:
            yield
        finally:
            self.run("kill", "-CONT", pid)
            self._watch.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self._init.send_signal(signal.SIGKILL)
        self._init.wait()
        if self._watch is not None:
            self._watch.wait()
        time.sleep(0.1)
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- clients

    def can_log_in(self, user: str, password: str = PASSWORD) -> bool:
        url = "imaps://127.0.0.1/INBOX"
        done = self.inside("curl", "-sk", "-u", f"{user}:{password}", url, "-X", "NOOP")
        return done.returncode == 0

    def mail(self, user: str, password: str = PASSWORD) -> str:
        """All messages in the INBOX, one after the other."""
        url = "imaps://127.0.0.1/INBOX;MAILINDEX=[1-9]"
        return self.inside("curl", "-sk", "-u", f"{user}:{password}", url).stdout

    def delete(self, user: str) -> None:
        """All messages in the INBOX."""
        self.run("doveadm", "expunge", "-u", user, "mailbox", "INBOX", "all")

    def send(self, to: str, *more: str) -> str:
        """What swaks shows of a session that sends a message from elsewhere."""
        argv = ["swaks", "--server", "127.0.0.1", "--from", "a@elsewhere.test", "--to", to]
        done = self.inside(*argv, *more)
        return done.stdout + done.stderr


def propagation() -> list[str]:
    """Mounts are to stay in the namespace; in a chroot, where / is no mount, they do so anyway."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        is_mount = any(line.split()[4] == "/" for line in file)
    return [] if is_mount else ["--propagation", "unchanged"]
