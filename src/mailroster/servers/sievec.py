"""Runs Pigeonhole's sievec(1), which checks Sieve scripts and compiles their binaries."""

import os
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from mailroster.base.findings import ERROR, WARNING, Finding, Location, ServerError, printable
from mailroster.servers.config.dovecot.versions import dialect
from mailroster.servers.version import version
from mailroster.system.programs import in_memory, number, run

#: For more scripts than that in a folder, one process compiles the whole folder.
_MANY = 8
#: At most so many findings are reported for a script.
_FINDINGS_MAX = 20
#: The kernel's clock advances in steps, with HZ of at least 100.
_TICK_S = 0.02


class ScriptFault(NamedTuple):
    """A message of sievec. `line` is 0 if it is about the whole script."""

    line: int
    severity: str
    message: str


def check_scripts(
    texts: Mapping[str, bytes], files: Mapping[str, str], dovecot_conf: str
) -> dict[str, list[Finding]]:
    """The findings of each faulty script, by name. `files`: the name of each script's file in the
    config folder. Raises ServerError if there is no sievec."""
    findings: dict[str, list[Finding]] = {}
    with tempfile.TemporaryDirectory(prefix="mailroster-") as folder:
        for name, text in texts.items():
            with open(f"{folder}/{name}.sieve", "wb") as file:
                file.write(text)
        waiting = set(texts)
        while waiting:
            # sievec stops at the first invalid script; valid ones before it have a binary.
            stderr = _sievec(folder, dovecot_conf)
            faults = parse_faults(stderr, waiting)
            invalid = {
                name for name, some in faults.items() if any(f.severity == ERROR for f in some)
            }
            done = {n for n in waiting if n in invalid or os.path.exists(f"{folder}/{n}.svbin")}
            if not done:  # sievec can't run, or prints an unknown message
                raise ServerError(f"sievec: {printable(stderr.strip())}")
            for name in done:
                findings[name] = [_finding(files[name], fault) for fault in faults.get(name, ())]
                os.unlink(f"{folder}/{name}.sieve")
            waiting -= done
    return {name: some for name, some in findings.items() if some}


def _finding(file: str, fault: ScriptFault) -> Finding:
    where, hint = Location(file, fault.line), "fix the script (RFC 5228)"
    if fault.severity == ERROR:
        return Finding(where, ERROR, "bad-sieve", fault.message, hint)
    return Finding(where, WARNING, "doubtful-sieve", fault.message, hint)


def parse_faults(stderr: str, names: Iterable[str]) -> dict[str, list[ScriptFault]]:
    """sievec's messages by the name of the script; one about the whole script only if there is none
    about its lines."""
    faults: dict[str, list[ScriptFault]] = {}
    known = set(names)
    for text in stderr.split("\n"):
        name, _, rest = text.partition(": ")
        place, _, behind = rest.partition(": ")
        line = number(place.removeprefix("line ")) if place.startswith("line ") else None
        severity, _, message = (behind if line is not None else rest).partition(": ")
        if name in known and severity in (ERROR, WARNING) and message:
            some = faults.setdefault(name, [])
            if len(some) < _FINDINGS_MAX:
                some.append(ScriptFault(line or 0, severity, printable(message.rstrip(". "))))
    return {name: [fault for fault in some if fault.line] or some for name, some in faults.items()}


def compile_scripts(paths: Sequence[str], dovecot_conf: str) -> None:
    """Compiles scripts; the binary of each is beside it."""
    folders: dict[str, list[str]] = {}
    for path in paths:
        folders.setdefault(os.path.dirname(path), []).append(path)
    for folder, some in folders.items():
        if len(some) > _MANY:
            began = time.time() - _TICK_S
            _sievec(folder, dovecot_conf)
            # It stops at an invalid script, which may be an old one that stays in force.
            some = [path for path in some if _compiled_at(path) < began]
        for path in some:
            _sievec(path, dovecot_conf)
    for path in paths:
        if os.path.exists(binary(path)):
            os.chmod(binary(path), 0o640)  # sievec applies the umask


def _compiled_at(path: str) -> float:
    return os.stat(binary(path)).st_mtime if os.path.exists(binary(path)) else 0.0


def binary(path: str) -> str:
    """The path where Dovecot looks for the binary of a script."""
    return f"{path.removesuffix('.sieve')}.svbin"


def _sievec(path: str, dovecot_conf: str) -> str:
    """Compiles a script, or every script in a folder; returns the messages."""
    if dovecot_conf and os.path.exists(dovecot_conf):
        return run(["sievec", "-c", dovecot_conf, path])[2]
    fd = in_memory("dovecot.conf", dialect(version()).MINIMAL)  # sievec needs some configuration
    try:
        return run(["sievec", "-c", f"/proc/self/fd/{fd}", path], pass_fds=[fd])[2]
    finally:
        os.close(fd)
