"""What a command has at hand: its arguments and options, and the home on which it works."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from mailroster.app import configure
from mailroster.app.home import Home
from mailroster.base import address
from mailroster.base.findings import ParseError, UsageError
from mailroster.base.settings import Settings

if TYPE_CHECKING:
    from mailroster.base.findings import Finding
    from mailroster.cli.grammar import Invocation


T = TypeVar("T", bound=str)
#: Commands to which the settings count that a start would have, not those of a running instance.
_STARTING = (("up",), ("watch",), ("tables",), ("integrate",), ("adopt",))


class Call(NamedTuple):
    """One invocation of a command."""

    arguments: list[str]
    options: dict[str, str]
    home: Home
    typed: Sequence[str] = ()  # the words of the command, but for secrets

    @classmethod
    def of(cls, invocation: "Invocation") -> "Call":
        edits = any(option.name == "--dry-run" for option in invocation.command.options)
        if edits and "--json" in invocation.options and "--dry-run" not in invocation.options:
            raise UsageError("--json shows what a change would do: it goes with --dry-run")
        # `--smtp-port` is the setting `smtp_port`; an option that is no setting is not looked at.
        named = {name[2:].replace("-", "_"): value for name, value in invocation.options.items()}
        options = {**named, **invocation.settings}
        settings = _settings(options, invocation.command.folders)
        if invocation.command.words not in _STARTING:
            settings = configure.as_running(settings, options)
        address.use_delimiters(settings.recipient_delimiter)
        return cls(
            invocation.arguments,
            invocation.options,
            Home(settings, warn, invocation.typed),
            invocation.typed,
        )

    @property
    def settings(self) -> Settings:
        return self.home.settings

    def is_dry_run(self) -> bool:
        return "--dry-run" in self.options

    def says_notes(self) -> bool:
        """Whether `--comment` or `--until` says something about an entry."""
        return "--comment" in self.options or "--until" in self.options


def _settings(options: dict[str, str], folders: str) -> Settings:
    """The settings of a command that uses the folders in one of the ways of cli.grammar. Raises
    UsageError, and Refused for a default folder that is not safe."""
    from mailroster.cli.grammar import OPTIONAL, UNUSED

    if folders == UNUSED:
        return configure.without_folders(options)
    return configure.with_folders(options, os.environ, warn, optional=folders == OPTIONAL)


def account_address(text: str) -> address.Address:
    """An account's address as typed; warns if upper case was folded. Raises ParseError."""
    return _told(text, address.account(text))


def alias_key(text: str) -> str:
    return _told(text, address.alias(text))


def restriction_key(text: str) -> str:
    return _told(text, address.access(text))


def domain_key(text: str) -> str:
    """A domain as `@domain`, typed with the `@` or without it. Raises ParseError."""
    domain = text.removeprefix("@")
    try:
        folded = address.fold_domain(domain)
    except ParseError as fault:
        raise ParseError(fault.code, fault.message, "write it as example.com") from None
    return _told(f"@{domain}", f"@{folded}")


def recipients(text: str, judge: Callable[[str], str] = address.recipient) -> list[str]:
    """`RECIPIENT[,RECIPIENT…]`, each in lower case. Raises ParseError or UsageError."""
    words = [word for word in text.replace(",", " ").split() if word]
    if not words:
        raise UsageError("there is no recipient")
    return [_told(word, judge(word.lower())) for word in words]


def any_address(text: str, origin: str) -> str:
    """An address to which mail may be sent, with its domain. Raises ParseError or UsageError."""
    found = address.recipient(text)
    if found[0] == "@":
        raise UsageError(f"{found!r} is a whole domain; name one address, as anybody{found}")
    return address.qualified(found, origin)


def warn(text: str) -> None:
    print(f"setup: {text}", file=sys.stderr)


def print_list(blocks: list[str]) -> None:
    """Entries for people, an empty line between them."""
    if blocks:
        print("\n\n".join(blocks))


def finding_fields(finding: "Finding") -> dict[str, object]:
    """A finding as --json shows it."""
    return {**finding._asdict(), "where": finding.where._asdict()}


def print_json(value: object) -> None:
    import json

    print(json.dumps(value, indent=2, ensure_ascii=False))


def _told(text: str, folded: T) -> T:
    if text != folded and text.lower() != text:
        warn(f"warning: {text!r} is taken in lower case, as {str(folded)!r}")
    return folded
