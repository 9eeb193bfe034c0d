"""Reads a password: from an argument, standard input or the terminal; or generates one."""

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from mailroster.base.findings import Refused, UsageError
from mailroster.cli.call import Call
from mailroster.cli.streams import warn
from mailroster.roster.formats import credentials

_LINE_MAX_BYTES = 1 << 16


class Secret(NamedTuple):
    """The `{SCHEME}hash` for an account, and the password if it was generated."""

    hash: str
    generated: str = ""

    def show(self) -> None:
        """Prints a generated password. Call it when the hash is written."""
        if self.generated:
            with suppress(OSError):  # the end of the command reports it
                print(self.generated, flush=True)


def gives_secret(call: Call) -> bool:
    """Whether an update sets a password, and not only notes."""
    options = ("--password-stdin", "--hash", "--generate", "--scheme")
    if len(call.arguments) > 1 or any(option in call.options for option in options):
        return True
    return not call.changes_notes()


def secret_for(call: Call, name: str, check: Callable[[], object]) -> Secret:
    """The password or hash of a command line. Raises UsageError or Refused.

    `check` raises the other errors of the command; it is called before the user has to type a
    password.
    """
    given = call.arguments[1] if len(call.arguments) > 1 else None
    options = ("--password-stdin", "--hash", "--generate")
    if sum((given is not None, *(option in call.options for option in options))) > 1:
        raise UsageError("give only one of: a password, --password-stdin, --generate, --hash")
    if "--hash" in call.options:
        if not call.options["--hash"].startswith("{"):
            raise Refused("the hash does not begin with {SCHEME}")
        return Secret(credentials.check_hash(call.options["--hash"]))
    from mailroster.app.passwords.new_hash import generate, new_hash, scheme_and_cost

    scheme, generated = call.options.get("--scheme"), ""
    scheme_and_cost(call.settings, scheme)
    if given is not None:
        _warn_of_arguments(call)
    if "--generate" in call.options:
        given = generated = generate(call.settings)
    elif given is None:
        given = read_line() if "--password-stdin" in call.options else _ask_twice(name, check)
    return Secret(new_hash(call.settings, given, scheme), generated)


def clear_password(call: Call, name: str, index: int) -> str:
    """A password that is stored in clear, from an argument, standard input or the terminal.

    Raises UsageError, and Refused for a password that no protocol can transmit.
    """
    given = call.arguments[index] if len(call.arguments) > index else None
    if given is not None and "--password-stdin" in call.options:
        raise UsageError("give only one of: a password, --password-stdin")
    if given is not None:
        _warn_of_arguments(call)
    else:
        given = (
            read_line() if "--password-stdin" in call.options else _ask_twice(name, lambda: None)
        )
    from mailroster.app.passwords import hashing

    hashing.check(given)
    return given


def _warn_of_arguments(call: Call) -> None:
    """Warns, on a terminal, that a password on the command line is not secret. Scripts, whose
    standard error is a file or a pipe, get no warning."""
    if sys.stderr is None or not sys.stderr.isatty():
        return
    short = " ".join(["setup", *call.typed[:-1]])
    warn(
        "warning: every user of this machine can see a password on the command line; "
        f"run {short!r} to type it, or give it with --password-stdin"
    )


def read_line() -> str:
    """One line of standard input, without its line end. Raises Refused for an endless line, as of
    /dev/zero."""
    raw = sys.stdin.buffer.readline(_LINE_MAX_BYTES + 1) if sys.stdin is not None else b""
    if len(raw) > _LINE_MAX_BYTES:
        raise Refused(f"the password is longer than {_LINE_MAX_BYTES} bytes")
    return raw.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "surrogateescape")


def read_password(name: str) -> str:
    """An existing password, typed once on the terminal. Raises UsageError."""
    _need_terminal("give it with --password-stdin")
    from getpass import getpass

    try:
        return getpass(f"Password of {name}: ")
    except EOFError:
        raise UsageError("there is no password") from None


def _need_terminal(hint: str) -> None:
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError(f"there is no password: {hint}, or run this on a terminal to type it")


def _ask_twice(name: str, check: Callable[[], object]) -> str:
    """A new password, typed twice on the terminal. Raises UsageError or Refused."""
    _need_terminal("give it as an argument, or with --password-stdin")
    check()
    from getpass import getpass

    try:
        first = getpass(f"Password for {name}: ")
        second = getpass("Repeat the password: ")
    except EOFError:
        raise UsageError("there is no password") from None
    if first != second:
        raise Refused("the two passwords differ")
    return first
