"""Where a password comes from: an argument, standard input, a question on the terminal, or us."""

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from mailroster.base.findings import Refused, UsageError
from mailroster.cli.call import Call, warn
from mailroster.roster.formats import credentials

#: No password is longer.
_LINE_MAX_BYTES = 1 << 16


class Secret(NamedTuple):
    """The `{SCHEME}hash` that a command line asks for, and the password if it is a new one."""

    hash: str
    generated: str = ""

    def show(self) -> None:
        """Prints a generated password, and nothing else: for the moment when it is in the files."""
        if self.generated:
            with suppress(OSError):  # the command goes on; its end reports what is not written
                print(self.generated, flush=True)


def gives_secret(call: Call) -> bool:
    """Whether a command line that updates has a password in mind, and not notes alone."""
    options = ("--password-stdin", "--hash", "--generate", "--scheme")
    named = len(call.arguments) > 1 or any(option in call.options for option in options)
    return named or not call.says_notes()


def secret_for(call: Call, name: str, check: Callable[[], object]) -> Secret:
    """What a command line gives as a password. Raises UsageError or Refused.

    `check` raises what is wrong with the command otherwise; it is called before anybody is asked to
    type a password for nothing.
    """
    given = call.arguments[1] if len(call.arguments) > 1 else None
    options = ("--password-stdin", "--hash", "--generate")
    if sum((given is not None, *(option in call.options for option in options))) > 1:
        raise UsageError(
            "give a password, --password-stdin, --generate or --hash, only one of them"
        )
    if "--hash" in call.options:
        if not call.options["--hash"].startswith("{"):
            raise Refused("the hash has no {SCHEME} in front")
        return Secret(credentials.check_hash(call.options["--hash"]))
    from mailroster.app.passwords.new_hash import generate, new_hash, scheme_and_cost

    scheme, generated = call.options.get("--scheme"), ""
    scheme_and_cost(call.settings, scheme)
    if given is not None:
        _warn_of_arguments(call)
    if "--generate" in call.options:
        given = generated = generate(call.settings)
    elif given is None:
        given = line() if "--password-stdin" in call.options else _asked(name, check)
    return Secret(new_hash(call.settings, given, scheme), generated)


def clear_password(call: Call, name: str, place: int) -> str:
    """A password that is kept as it is, from the argument at a place, standard input or a question.

    Raises UsageError, or Refused for one that no protocol can carry.
    """
    given = call.arguments[place] if len(call.arguments) > place else None
    if given is not None and "--password-stdin" in call.options:
        raise UsageError("give a password or --password-stdin, only one of them")
    if given is not None:
        _warn_of_arguments(call)
    else:
        given = line() if "--password-stdin" in call.options else _asked(name, lambda: None)
    from mailroster.app.passwords import hashing

    hashing.check(given)
    return given


def _warn_of_arguments(call: Call) -> None:
    """Warns, on a terminal, that a password on the command line is no secret. A script, whose
    standard error is a file or a pipe, gets no warning."""
    if sys.stderr is None or not sys.stderr.isatty():
        return
    short = " ".join(["setup", *call.typed[:-1]])
    warn(
        "warning: every user of this machine can see a password on the command line; "
        f"leave it out, and {short!r} asks for it, or give it with --password-stdin"
    )


def line() -> str:
    """One line of standard input, without its end. Raises Refused for one without an end in sight,
    as /dev/zero has."""
    raw = sys.stdin.buffer.readline(_LINE_MAX_BYTES + 1) if sys.stdin is not None else b""
    if len(raw) > _LINE_MAX_BYTES:
        raise Refused(f"the password is longer than {_LINE_MAX_BYTES} bytes")
    return raw.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "surrogateescape")


def asked_once(name: str) -> str:
    """A password that is there already, typed on the terminal. Raises UsageError."""
    _need_terminal("give it with --password-stdin")
    from getpass import getpass

    try:
        return getpass(f"Password of {name}: ")
    except EOFError:
        raise UsageError("there is no password") from None


def _need_terminal(otherwise: str) -> None:
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError(
            f"there is no password: {otherwise}, or run this on a terminal to be asked for it"
        )


def _asked(name: str, check: Callable[[], object]) -> str:
    _need_terminal("give it as an argument, or with --password-stdin")
    check()
    from getpass import getpass

    try:
        first = getpass(f"Password for {name}: ")
        again = getpass("Repeat the password: ")
    except EOFError:
        raise UsageError("there is no password") from None
    if first != again:
        raise Refused("the two passwords differ")
    return first
