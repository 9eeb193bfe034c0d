"""The input of a command (`Call`), and how commands read addresses and print results."""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from mailroster.app import configure
from mailroster.app.home import Home
from mailroster.base import address
from mailroster.base.findings import ParseError, UsageError
from mailroster.base.settings import Settings
from mailroster.cli.streams import warn

if TYPE_CHECKING:
    from mailroster.base.findings import Finding
    from mailroster.cli.grammar import Invocation


T = TypeVar("T", bound=str)
#: Commands that use the settings of a new start, not those of the running instance.
_USE_NEW_SETTINGS = (("up",), ("filter",), ("watch",), ("tables",), ("integrate",), ("adopt",))


class Call(NamedTuple):
    """One invocation of a command."""

    arguments: list[str]
    options: dict[str, str]
    home: Home
    typed: Sequence[str] = ()  # the words of the command line, secrets hidden

    @classmethod
    def of(cls, invocation: "Invocation") -> "Call":
        """The call of a command line. Raises UsageError."""
        edits = any(option.name == "--dry-run" for option in invocation.command.options)
        if edits and "--json" in invocation.options and "--dry-run" not in invocation.options:
            raise UsageError("--json needs --dry-run here: it shows the effect of a change")
        # `--smtp-port` sets the setting `smtp_port`; options that are no setting are ignored.
        named = {name[2:].replace("-", "_"): value for name, value in invocation.options.items()}
        options = {**named, **invocation.settings}
        settings = _settings(options, invocation.command.folders)
        if invocation.command.words not in _USE_NEW_SETTINGS:
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

    def changes_notes(self) -> bool:
        """Whether `--comment` or `--until` is given."""
        return "--comment" in self.options or "--until" in self.options


def _settings(options: dict[str, str], folders: str) -> Settings:
    """The settings of a command. `folders` is NEEDED, OPTIONAL or UNUSED of cli.grammar. Raises
    UsageError, and Refused for a default folder that is not safe."""
    from mailroster.cli.grammar import OPTIONAL, UNUSED

    if folders == UNUSED:
        return configure.without_folders(options)
    return configure.with_folders(options, os.environ, warn, optional=folders == OPTIONAL)


def account_address(text: str) -> address.Address:
    """The address of an account; warns if upper case was folded. Raises ParseError."""
    return _warn_if_folded(text, address.account(text))


def alias_key(text: str) -> str:
    return _warn_if_folded(text, address.alias(text))


def restriction_key(text: str) -> str:
    return _warn_if_folded(text, address.access(text))


def domain_key(text: str) -> str:
    """`@domain` for a domain with or without the `@`. Raises ParseError."""
    domain = text.removeprefix("@")
    try:
        folded = address.fold_domain(domain)
    except ParseError as fault:
        raise ParseError(fault.code, fault.message, "write it as example.com") from None
    return _warn_if_folded(f"@{domain}", f"@{folded}")


def recipients(text: str, check: Callable[[str], str] = address.recipient) -> list[str]:
    """`RECIPIENT[,RECIPIENT…]`, each in lower case. Raises ParseError or UsageError."""
    words = text.replace(",", " ").split()
    if not words:
        raise UsageError("there is no recipient")
    return [_warn_if_folded(word, check(word.lower())) for word in words]


def any_address(text: str, origin: str) -> str:
    """An address with its domain, to which mail may be sent. Raises ParseError or UsageError."""
    recipient = address.recipient(text)
    if recipient[0] == "@":
        raise UsageError(f"{recipient!r} is a whole domain; give an address, as user{recipient}")
    return address.qualified(recipient, origin)


def print_list(blocks: list[str]) -> None:
    """Prints entries for people, with an empty line between them."""
    if blocks:
        print("\n\n".join(blocks))


def finding_fields(finding: "Finding") -> dict[str, object]:
    """The JSON fields of a finding."""
    return {**finding._asdict(), "where": finding.where._asdict()}


def print_json(value: object) -> None:
    import json

    print(json.dumps(value, indent=2, ensure_ascii=False))


def _warn_if_folded(text: str, folded: T) -> T:
    if text != folded and text.lower() != text:
        warn(f"warning: {text!r} is changed to lower case: {str(folded)!r}")
    return folded
