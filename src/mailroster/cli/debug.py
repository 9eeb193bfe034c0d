"""`setup debug`: the two commands by which users of docker-mailserver look into a server."""

import os
import sys

from mailroster.base.findings import Refused
from mailroster.base.layout import Layout
from mailroster.base.settings import FOLDERS
from mailroster.cli.call import Call

_CHUNK_BYTES = 1 << 16
#: Where the servers of a host log, if it keeps files of it.
_HOST_LOGS = ("/var/log/mail.log",)


def login(call: Call) -> int:
    """Runs a command line in the environment of the server, or the user's shell without one;
    returns its exit status."""
    import subprocess

    from mailroster.app.status import are_running

    shell = os.environ.get("SHELL") or "/bin/sh"
    line = " ".join(call.arguments)
    environment = {**os.environ, **_environment(call)}
    if not line:
        state = "runs" if are_running(call.home) else "does not run"
        print(f"The server of {call.settings.config} {state}. 'exit' ends this shell.", flush=True)
    try:
        ended = subprocess.call([shell, "-c", line] if line else [shell], env=environment)
    except OSError as error:
        raise Refused(f"{shell}: {error.strerror}; name another shell in SHELL") from None
    return ended if ended >= 0 else 128 - ended


def _environment(call: Call) -> dict[str, str]:
    """The variables by which Postfix's and Dovecot's programs, and `setup`, find this instance."""
    layout, settings = call.home.layout, call.settings
    found = {setting.variable: str(getattr(settings, setting.name)) for setting in FOLDERS[1:]}
    found["MAILROSTER_LAYOUT"] = settings.layout
    if layout.kind == "private":
        found |= {"MAIL_CONFIG": layout.postfix, "CONFIG_FILE": layout.dovecot_conf}
    return found


def show_mail_logs(call: Call) -> int:
    """Prints the log of Postfix and then, where it is another file, that of Dovecot."""
    paths = _logs(call.home.layout, call)
    there = [path for path in paths if os.path.isfile(path)]
    if not there:
        raise Refused(
            f"there is no log yet: {' and '.join(paths)}; where the log goes to the system's "
            "journal or to standard output, ask 'journalctl' or 'docker logs'"
        )
    sys.stdout.flush()
    for path in there:
        if there[1:]:
            sys.stdout.write(f"==> {path} <==\n")
            sys.stdout.flush()
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                sys.stdout.buffer.write(chunk)
    return 0


def _logs(layout: Layout, call: Call) -> list[str]:
    """The files of the log, each once."""
    settings = call.settings
    if layout.kind == "host":
        return list(_HOST_LOGS)
    return list(dict.fromkeys((f"{settings.logs}/mail.log", layout.dovecot_log(settings))))
