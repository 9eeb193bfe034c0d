"""Where a password comes from: an argument, standard input, or a question on the terminal."""

import sys
from collections.abc import Callable

from mailroster.cli.call import Call
from mailroster.finding import NotUnderstood, Refused
from mailroster.formats import hashed


def hash_for(call: Call, name: str, check: Callable[[], object]) -> str:
    """The `{SCHEME}hash` that a command line asks for. Raises NotUnderstood or Refused.

    `check` raises what is wrong with the command otherwise; it is called before anybody is asked to
    type a password for nothing.
    """
    given = call.arguments[1] if len(call.arguments) > 1 else None
    ways = [given is not None, "--password-stdin" in call.options, "--hash" in call.options]
    if sum(ways) > 1:
        raise NotUnderstood("give a password, --password-stdin or --hash, only one of them")
    if "--hash" in call.options:
        if not call.options["--hash"].startswith("{"):
            raise Refused("the hash has no {SCHEME} in front")
        return hashed.check_hash(call.options["--hash"])
    scheme = scheme_for(call)
    from mailroster import password

    if given is None:
        given = _line() if "--password-stdin" in call.options else _asked(name, check)
    return password.hash_password(given, scheme)


def scheme_for(call: Call) -> str:
    """The scheme of the hashes that a command makes. Raises NotUnderstood."""
    from mailroster.password import SCHEMES

    scheme = call.options.get("--scheme", call.settings.password_scheme).upper()
    if scheme not in SCHEMES:
        raise NotUnderstood(f"unknown scheme {scheme!r}; take one of {', '.join(SCHEMES)}")
    return scheme


def _line() -> str:
    """One line of standard input, without its end."""
    raw = sys.stdin.buffer.readline() if sys.stdin is not None else b""
    return raw.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "surrogateescape")


def _asked(name: str, check: Callable[[], object]) -> str:
    if sys.stdin is None or not sys.stdin.isatty():
        raise NotUnderstood(
            "there is no password: give it as an argument, or with --password-stdin, or run this "
            "on a terminal to be asked for it"
        )
    check()
    from getpass import getpass

    try:
        first = getpass(f"Password for {name}: ")
        again = getpass("Once more: ")
    except EOFError:
        raise NotUnderstood("there is no password") from None
    if first != again:
        raise Refused("the two passwords differ")
    return first
