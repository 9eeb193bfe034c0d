"""`setup debug`: a shell and the log of a server, as in docker-mailserver."""

import os
import sys

from mailroster.base.findings import Refused
from mailroster.base.layout import Layout
from mailroster.base.settings import FOLDERS
from mailroster.cli.call import Call

_CHUNK_BYTES = 1 << 16
#: The log files of the host's own servers.
_HOST_LOGS = ("/var/log/mail.log",)


def login(call: Call) -> int:
    """Runs a command line in the environment of the server, or a shell if there is none; returns
    the exit status."""
    import subprocess

    from mailroster.app.status import are_running

    shell = os.environ.get("SHELL") or "/bin/sh"
    line = " ".join(call.arguments)
    environment = {**os.environ, **_environment(call)}
    if not line:
        state = "runs" if are_running(call.home) else "does not run"
        print(f"The server of {call.settings.config} {state}. 'exit' ends this shell.", flush=True)
    try:
        code = subprocess.call([shell, "-c", line] if line else [shell], env=environment)
    except OSError as error:
        raise Refused(f"{shell}: {error.strerror}; set SHELL to another shell") from None
    return code if code >= 0 else 128 - code


def _environment(call: Call) -> dict[str, str]:
    """The variables that name this instance to `setup` and to the programs of the servers."""
    layout, settings = call.home.layout, call.settings
    variables = {setting.variable: str(getattr(settings, setting.name)) for setting in FOLDERS[1:]}
    variables["MAILROSTER_LAYOUT"] = settings.layout
    if layout.kind == "private":
        variables |= {"MAIL_CONFIG": layout.postfix, "CONFIG_FILE": layout.dovecot_conf}
    return variables


def show_mail_logs(call: Call) -> int:
    """Prints the log of Postfix and then, if it is another file, that of Dovecot."""
    paths = _logs(call.home.layout, call)
    existing = [path for path in paths if os.path.isfile(path)]
    if not existing:
        raise Refused(
            f"there is no log yet: {' and '.join(paths)}; for a log in the system's journal or on "
            "standard output use 'journalctl' or 'docker logs'"
        )
    sys.stdout.flush()
    for path in existing:
        if existing[1:]:
            sys.stdout.write(f"==> {path} <==\n")
            sys.stdout.flush()
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                sys.stdout.buffer.write(chunk)
    return 0


def _logs(layout: Layout, call: Call) -> list[str]:
    """The log files, without duplicates."""
    settings = call.settings
    if layout.kind == "host":
        return list(_HOST_LOGS)
    return list(dict.fromkeys((f"{settings.logs}/mail.log", layout.dovecot_log(settings))))
