"""A container of the image: run by podman where it can run one, else by unshare(1) and chroot(1) on
the same root file system. Both have the same face."""

import json
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.support.instance import HASH, Clients, free_ports, until
from tests.support.project import ROOT

SCRIPT = ROOT / "script/build-test-image"
HOSTNAME = "mail.example.com"
#: The folders of the contract, by the names under which they stand beside each other here.
VOLUMES = {
    "config": "/tmp/docker-mailserver",
    "mail-data": "/var/mail",
    "mail-state": "/var/mail-state",
    "mail-logs": "/var/log/mail",
}
#: The ports of a container by the names of the settings.
PORTS = {
    "smtp": 25, "submission": 587, "submissions": 465, "imap": 143, "imaps": 993, "pop3": 110,
    "pop3s": 995, "sieve": 4190,
}  # fmt: skip

Done = subprocess.CompletedProcess[str]


@cache
def image() -> str:
    """The name of the image, which is made from this checkout first."""
    done = _run(["sh", str(SCRIPT)], timeout=900)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@cache
def runtime() -> str:
    """The runtime with which podman runs containers on this machine; "" if none can."""
    for name in ("crun", "runc"):
        argv = ["podman", "--runtime", name, "run", "--rm", "--network", "none", *_limits()]
        if not _run([*argv, "--entrypoint", "true", image()]).returncode:
            return name
    return ""


def _limits() -> list[str]:
    """podman asks for limits that a machine may not grant; these are enough."""
    found = []
    for name, kind, enough in (
        ("nofile", resource.RLIMIT_NOFILE, 20_000),
        ("nproc", resource.RLIMIT_NPROC, 32_768),
    ):
        hard = resource.getrlimit(kind)[1]
        limit = enough if hard == resource.RLIM_INFINITY else min(hard, enough)
        found += ["--ulimit", f"{name}={limit}:{limit}"]
    return found


def _run(argv: Sequence[str], stdin: str = "", timeout: float = 120) -> Done:
    return subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=timeout)


class Mount(NamedTuple):
    """A folder of this machine in the container; without one, an empty folder in memory."""

    folder: Path | None
    place: str
    read_only: bool = False


class Container(Clients):
    """One container, which can be started again when it has ended.

    Without `mounts` it has the four folders of the contract below `folder`. `environment` is what
    the user sets. `limits` are more arguments for podman; of these chroot knows --read-only and
    --cap-add alone.
    """

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        mounts: Sequence[Mount] = (),
        limits: Sequence[str] = (),
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mr-container-", dir="/var/tmp"))
        self.folder.chmod(0o755)
        self.environment, self.mounts, self.limits = dict(environment or {}), mounts, limits
        if not mounts:
            self.mounts = [Mount(self.folder / name, place) for name, place in VOLUMES.items()]
            for name in VOLUMES:
                (self.folder / name).mkdir()
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))

    @property
    def config(self) -> Path:
        return self.folder / "config"

    @property
    def this_machine(self) -> str:
        """The address at which it reaches what listens on 127.0.0.1 of this machine."""
        return "127.0.0.1"

    def settings(self) -> str:
        """What `mailroster.toml` has to say for the ports to be those that a client is given."""
        return ""

    def begin(self) -> None:
        """Starts it, the first time or again."""
        raise NotImplementedError

    def start(self) -> None:
        """Starts it, and waits until its own health check is content."""
        self.begin()
        until(lambda: self._is_well(), 60)

    def _is_well(self) -> bool:
        assert self.exit_code() is None, f"it ended: {self.logs()}"
        return not self.run("mailroster", "health").returncode

    def run(self, *argv: str, stdin: str = "") -> Done:
        """A command in it, whatever comes of it."""
        raise NotImplementedError

    def bash(self, script: str) -> str:
        """What a shell in it prints; it must succeed."""
        done = self.run("bash", "-e", stdin=script)
        assert done.returncode == 0, (script, done.stdout, done.stderr)
        return done.stdout

    def stop(self) -> float:
        """Stops it as an administrator would; how many seconds that takes."""
        raise NotImplementedError

    def exit_code(self) -> int | None:
        """What it ended with; None while it runs."""
        raise NotImplementedError

    def logs(self) -> str:
        """All that it has printed."""
        raise NotImplementedError

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def pid(self, name: str) -> int | None:
        """The pid, in the container, of "up", "postfix" or "dovecot"; None while it is down."""
        found = json.loads(self.run("setup", "status", "--json").stdout)["running"][name]
        assert found is None or isinstance(found, int)
        return found

    def add_accounts(self, count: int) -> list[str]:
        """Writes accounts user0@example.com and so on, with the tests' one password."""
        names = [f"user{number}@example.com" for number in range(count)]
        text = "".join(f"{name}|{HASH}\n" for name in names)
        (self.config / "postfix-accounts.cf").write_text(text)
        return names


class Podman(Container):
    """By podman, with the ports published on 127.0.0.1."""

    _id = ""

    @property
    def this_machine(self) -> str:
        return "10.0.2.2"  # slirp4netns(1)

    def begin(self) -> None:
        if self._id:
            done = _run(["podman", "start", self._id])
            assert done.returncode == 0, done.stderr
            return
        argv = ["podman", "--runtime", runtime(), "run", "-d", "--hostname", HOSTNAME, *_limits()]
        argv += ["--network", "slirp4netns:allow_host_loopback=true"]
        for name, port in self.ports.items():
            argv += ["-p", f"127.0.0.1:{port}:{PORTS[name]}"]
        for folder, place, read_only in self.mounts:
            if folder is None:
                argv += ["--tmpfs", place]
            else:
                argv += ["-v", f"{folder}:{place}{':ro' if read_only else ''}"]
        for name, value in self.environment.items():
            argv += ["-e", f"{name}={value}"]
        done = _run([*argv, *self.limits, image()])
        assert done.returncode == 0, done.stderr
        self._id = done.stdout.split()[-1]

    def run(self, *argv: str, stdin: str = "") -> Done:
        return _run(["podman", "--runtime", runtime(), "exec", "-i", self._id, *argv], stdin)

    def stop(self) -> float:
        began = time.monotonic()
        done = _run(["podman", "stop", "-t", "30", self._id])
        assert done.returncode == 0, done.stderr
        return time.monotonic() - began

    def exit_code(self) -> int | None:
        form = "{{.State.Running}} {{.State.ExitCode}}"
        running, code = _run(["podman", "inspect", "-f", form, self._id]).stdout.split()
        return None if running == "true" else int(code)

    def logs(self) -> str:
        done = _run(["podman", "logs", self._id])
        return done.stdout + done.stderr

    def close(self) -> None:
        if self._id:
            _run(["podman", "rm", "-f", "-t", "0", self._id])
        super().close()


class Chroot(Container):
    """By unshare and chroot, with this machine's network: the ports are settings then."""

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        mounts: Sequence[Mount] = (),
        limits: Sequence[str] = (),
    ) -> None:
        super().__init__(environment, mounts, limits)
        self.environment.setdefault("LOGIN_REPORTS_PORT", str(free_ports(1)[0]))
        self._inspected = json.loads(_run(["podman", "inspect", image()]).stdout)[0]["Config"]
        self._root = self.folder / "root"
        _unpack(self._root)
        if not mounts:
            (self.config / "mailroster.toml").write_text(self.settings())
        self._process: subprocess.Popen[bytes] | None = None
        self._log = self.folder / "log"

    def settings(self) -> str:
        lines = [f"{name}_port = {port}\n" for name, port in self.ports.items()]
        return "".join([*lines, 'listen = "127.0.0.1"\n'])

    def begin(self) -> None:
        root = self._root
        steps = [f"mount --bind {root} {root}", f"mount -t proc proc {root}/proc"]
        steps += [f"mount --rbind /dev {root}/dev", f"hostname {HOSTNAME}"]
        steps += [f"mkdir -p {root}{mount.place}" for mount in self.mounts]
        if "--read-only" in self.limits:
            steps.append(f"mount -o remount,bind,ro {root}")
        for folder, place, read_only in self.mounts:
            if folder is None:
                steps.append(f"mount -t tmpfs tmp {root}{place}")
                inner = [m.place for m in self.mounts if m.place.startswith(f"{place}/")]
                steps += [f"mkdir -p {root}{deeper}" for deeper in inner]
                continue
            steps.append(f"mount --bind {folder} {root}{place}")
            if read_only:
                steps.append(f"mount -o remount,bind,ro {root}{place}")
        words = [*self._inspected["Entrypoint"], *self._inspected["Cmd"]]
        capabilities = [o.partition("=")[2].lower() for o in self.limits if "--cap-add=" in o]
        if capabilities:
            bounds = ",".join(["-all", *(f"+{name}" for name in capabilities)])
            words = ["setpriv", "--bounding-set", bounds, *words]
        steps.append('exec chroot "$@"')
        unshare = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]
        argv = [*unshare, "sh", "-ec", "\n".join(steps), "sh", str(root)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*argv, "env", "-i", *self._variables(), *words], stdout=log, stderr=log
            )

    def _variables(self) -> list[str]:
        return [*self._inspected["Env"], *(f"{k}={v}" for k, v in self.environment.items())]

    def _first(self) -> int:
        """The pid, on this machine, of the container's first process, once it is in its root."""
        assert self._process is not None
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children")
        until(lambda: bool(children.read_text().split()))
        first = int(children.read_text().split()[0])
        until(lambda: os.path.samefile(f"/proc/{first}/root", self._root))
        return first

    def run(self, *argv: str, stdin: str = "") -> Done:
        enter = ["nsenter", "-t", str(self._first()), "-m", "-p", "-u", "-i", "-r", "-w"]
        return _run([*enter, "env", "-i", *self._variables(), *argv], stdin)

    def stop(self) -> float:
        assert self._process is not None
        began = time.monotonic()
        os.kill(self._first(), signal.SIGTERM)
        self._process.wait(30)
        return time.monotonic() - began

    def exit_code(self) -> int | None:
        assert self._process is not None
        return self._process.poll()

    def logs(self) -> str:
        return self._log.read_text(errors="replace")

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        super().close()


def _unpack(root: Path) -> None:
    """Makes a folder of the image's root file system."""
    root.mkdir()
    name = _run(["podman", "create", image()]).stdout.strip()
    try:
        with subprocess.Popen(["podman", "export", name], stdout=subprocess.PIPE) as export:
            subprocess.run(
                ["tar", "--numeric-owner", "-C", str(root), "-x"], stdin=export.stdout, check=True
            )
        assert export.returncode == 0
    finally:
        _run(["podman", "rm", name])


def container(
    environment: Mapping[str, str] | None = None,
    mounts: Sequence[Mount] = (),
    limits: Sequence[str] = (),
) -> Container:
    """A container by whatever can run one here."""
    kind = Podman if runtime() else Chroot
    return kind(environment, mounts, limits)
