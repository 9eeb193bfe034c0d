"""Pigeonhole's sievec: the judge of Sieve scripts, and what makes their binaries (sievec(1))."""

import os
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence

from mailroster.base.findings import ERROR, WARNING, Finding, Location, ServerError, printable
from mailroster.servers.config.dovecot.versions import dialect
from mailroster.servers.version import version
from mailroster.system.programs import in_memory, number, run

#: From so many scripts of one folder on, one process compiles the whole folder.
_MANY = 8
#: What it says of one script at the most.
_FINDINGS_MAX = 20
#: The kernel's clock ticks in steps, HZ is 100 at the least.
_TICK_S = 0.02


def judged(
    texts: Mapping[str, bytes], files: Mapping[str, str], dovecot_conf: str
) -> dict[str, list[Finding]]:
    """What is wrong with some scripts, by name; a good one isn't named. `files` says how each is
    called in the config folder. Raises ServerError where there is no sievec."""
    findings: dict[str, list[Finding]] = {}
    with tempfile.TemporaryDirectory(prefix="mailroster-") as folder:
        for name, text in texts.items():
            with open(f"{folder}/{name}.sieve", "wb") as file:
                file.write(text)
        waiting = set(texts)
        while waiting:
            # It stops at the first that is bad; the good ones before have a binary.
            words = _sievec(folder, dovecot_conf)
            said = said_of(words, waiting)
            bad = {name for name, some in said.items() if any(s == ERROR for _, s, _ in some)}
            over = {n for n in waiting if n in bad or os.path.exists(f"{folder}/{n}.svbin")}
            if not over:  # it can't be run, or says what nobody has heard
                raise ServerError(f"sievec: {printable(words.strip())}")
            for name in over:
                findings[name] = [_finding(files[name], *some) for some in said.get(name, ())]
                os.unlink(f"{folder}/{name}.sieve")
            waiting -= over
    return {name: found for name, found in findings.items() if found}


def _finding(file: str, line: int, severity: str, message: str) -> Finding:
    where, hint = Location(file, line), "fix the script (RFC 5228)"
    if severity == ERROR:
        return Finding(where, ERROR, "bad-sieve", message, hint)
    return Finding(where, WARNING, "doubtful-sieve", message, hint)


def said_of(stderr: str, names: Iterable[str]) -> dict[str, list[tuple[int, str, str]]]:
    """sievec's words as (line, severity, what), by the name of the script; of a whole script (line
    0) only if it says nothing of its lines."""
    found: dict[str, list[tuple[int, str, str]]] = {}
    known = set(names)
    for text in stderr.split("\n"):
        name, _, rest = text.partition(": ")
        place, _, behind = rest.partition(": ")
        line = number(place.removeprefix("line ")) if place.startswith("line ") else None
        severity, _, message = (behind if line is not None else rest).partition(": ")
        if name in known and severity in (ERROR, WARNING) and message:
            some = found.setdefault(name, [])
            if len(some) < _FINDINGS_MAX:
                some.append((line or 0, severity, printable(message.rstrip(". "))))
    return {name: [one for one in some if one[0]] or some for name, some in found.items()}


def compile_scripts(paths: Sequence[str], dovecot_conf: str) -> None:
    """Makes the binary of each script, beside it."""
    folders: dict[str, list[str]] = {}
    for path in paths:
        folders.setdefault(os.path.dirname(path), []).append(path)
    for folder, some in folders.items():
        if len(some) > _MANY:
            began = time.time() - _TICK_S
            _sievec(folder, dovecot_conf)
            # It stops at one that is bad, which may be an old one that stays in force.
            some = [path for path in some if _made(path) < began]
        for path in some:
            _sievec(path, dovecot_conf)
    for path in paths:
        if os.path.exists(binary(path)):
            os.chmod(binary(path), 0o640)  # sievec goes by the umask


def _made(path: str) -> float:
    return os.stat(binary(path)).st_mtime if os.path.exists(binary(path)) else 0.0


def binary(path: str) -> str:
    """Where Dovecot looks for the binary of a script."""
    return f"{path.removesuffix('.sieve')}.svbin"


def _sievec(path: str, dovecot_conf: str) -> str:
    """Compiles a script, or every script in a folder; what it says."""
    if dovecot_conf and os.path.exists(dovecot_conf):
        return run(["sievec", "-c", dovecot_conf, path])[2]
    fd = in_memory("dovecot.conf", dialect(version()).MINIMAL)  # any will do; there must be one
    try:
        return run(["sievec", "-c", f"/proc/self/fd/{fd}", path], pass_fds=[fd])[2]
    finally:
        os.close(fd)
