"""What must hold of what people type: addresses, sizes, settings, command lines."""

import os
import time
from collections.abc import Callable
from typing import Any

from mailroster.app.blocks import end_text
from mailroster.app.home import Home
from mailroster.base import address, sizes
from mailroster.base.end_date import end_of
from mailroster.base.findings import ParseError, Refused, UsageError
from mailroster.base.layout import maildir
from mailroster.base.settings import FOLDERS, SETTINGS, TOML, Settings, Sources, load
from mailroster.cli import FOLDER_OPTIONS
from mailroster.cli import dkim as dkim_command
from mailroster.cli import dns as dns_command
from mailroster.cli.call import Call
from mailroster.cli.commands import COMMANDS
from mailroster.cli.completion import candidates
from mailroster.cli.grammar import Invocation, parse
from mailroster.cli.notes import until_of
from mailroster.publish import block_table
from mailroster.roster.documents.document import Document
from mailroster.roster.formats import regexp
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.virtual import VIRTUAL
from mailroster.roster.roster import Roster

_HASH = "{PLAIN}x"


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _taken(read: Callable[[str], str], text: str) -> str | None:
    """What a reader makes of a text; None for a fault, which can be shown."""
    try:
        return read(text)
    except ParseError as fault:
        assert str(fault).isprintable()
        assert len(str(fault)) < 500
        return None


def account(raw: bytes) -> None:
    text = _text(raw)
    found = _taken(address.account, text)
    folded = address.fold(text)
    assert address.fold(folded) == folded
    if found is None:
        return
    assert address.account(found) == found == folded
    assert address.alias(found) == found
    assert address.recipient(found) == found
    assert found.isascii()
    assert len(found) <= address.ADDRESS_MAX_OCTETS
    domain, _, user = maildir(found).partition("/")
    assert "/" not in user
    assert not {"", ".", ".."} & {domain, user}
    for format, line in ((ACCOUNTS, f"{found}|{_HASH}"), (VIRTUAL, f"{found} {found}")):
        entry: Any = format.parse(line)
        assert entry[0] == found == format.key(line)


def rule(raw: bytes) -> None:
    """A pattern and a recipient of a rule: what is taken is one line that reads as it was meant."""
    pattern, _, recipient = _text(raw).partition("\0")
    found = _taken(regexp.pattern, pattern)
    to = _taken(regexp.recipient, recipient)
    if found is None:
        return
    assert regexp.pattern(found) == found
    line = regexp.line(found, [to or "a@x.com", "b@x.com"])
    document = Document(regexp.REGEXP, "").append(line)
    places = regexp.placed(document)
    assert [(place.rule.kind, place.rule.pattern) for place in places] == [("match", found)]
    assert regexp.recipients(places[0].rule.result) == [to or "a@x.com", "b@x.com"]
    rest = regexp.without(document.line(places[0].position), ["B@x.com"])
    if rest is None:
        assert to is not None
        assert address.fold(to) == "b@x.com"
    else:
        assert regexp.REGEXP.parse(rest)[1:] == (found, to or "a@x.com")
    assert regexp.numbered(document).startswith(f"{found} 1 ")


def alias(raw: bytes) -> None:
    text = _text(raw)
    found = _taken(address.alias, text)
    if found is None:
        return
    assert address.alias(found) == found == address.fold(text)
    assert address.recipient(found) == found
    line = f"{found} a@x.com"
    assert VIRTUAL.key(line) == VIRTUAL.parse(line).key == found


def recipient(raw: bytes) -> None:
    text = _text(raw)
    found = _taken(address.recipient, text)
    if found is None:
        return
    assert address.recipient(found) == found
    assert found.isascii()
    assert VIRTUAL.parse(f"a@x.com {found}").recipients == (found,)


def size(raw: bytes) -> None:
    text = _text(raw)
    normal = _taken(sizes.normal_size, text)
    if normal is None:
        return
    assert sizes.normal_size(normal) == normal
    assert 0 <= sizes.size_bytes(normal) <= sizes.SIZE_MAX_BYTES
    assert len(sizes.human_size(sizes.size_bytes(normal))) <= 5


def settings(raw: bytes) -> None:
    """A mailroster.toml; behind a NUL each, `NAME=value` of the environment, a file for `__FILE`,
    and `--name=value` of the command line."""
    toml, *words = raw.split(b"\0")
    pairs = dict(_text(word).partition("=")[::2] for word in words)
    options = {name[2:]: value for name, value in pairs.items() if name[:2] == "--"}
    sources = Sources(
        options,
        {name: value for name, value in pairs.items() if name[:2] != "--"},
        lambda path: toml if path.endswith(TOML) else path.encode("utf-8", "surrogateescape"),
        lambda path: len(path) % 2 == 0,
    )
    try:
        found = load(sources)
    except UsageError as error:
        assert str(error).isprintable()
        return
    for setting in SETTINGS:
        value = getattr(found, setting.name)
        assert type(value) is type(setting.default)
        assert not isinstance(value, int) or value >= 0
        assert not isinstance(value, str) or value.isprintable()
    folders = {setting.name for setting in FOLDERS[1:]}
    for name in folders | ({"source"} if found.source else set()):
        path = getattr(found, name)
        assert os.path.isabs(path)
        assert not any(char < " " for char in path)
    assert set(Settings._fields) == {*folders, "source", *(setting.name for setting in SETTINGS)}


def command_line(raw: bytes) -> None:
    """Arguments with a NUL between them, as the kernel keeps them."""
    argv = [_text(word) for word in raw.split(b"\0")]
    try:
        found = parse(argv, COMMANDS, FOLDER_OPTIONS)
    except UsageError as error:
        assert str(error).isprintable()
        return
    if isinstance(found, Invocation):
        _is_a_use_of_its_command(found, argv)


def _is_a_use_of_its_command(found: Invocation, argv: list[str]) -> None:
    known = {option.name: option for option in found.command.options}
    least, most = found.command.arity()
    assert least <= len(found.arguments) <= most
    assert set(found.settings) <= set(FOLDER_OPTIONS)
    assert set(found.options) <= set(known)
    assert all(known[name].value or not value for name, value in found.options.items())
    left = list(argv)
    for word in found.arguments:
        left.remove(word)  # each argument is a word of the line, and no word is two


def dkim_words(raw: bytes) -> None:
    """The words behind `setup config dkim`, with NULs between."""
    words = [_text(word) for word in raw.split(b"\0")]
    call = Call(words, {}, Home.__new__(Home))
    try:
        given = dkim_command._given(call)
        bits, selector = dkim_command._bits(given), dkim_command._selector(given)
    except UsageError as error:
        assert str(error).isprintable()
        return
    assert len(given) * 2 == len(words)
    assert set(given.values()) <= set(words)
    assert bits in (1024, 2048, 4096)
    assert selector in (given.get("selector", ""), "")
    assert address.fold(selector).isascii()


def dns_words(raw: bytes) -> None:
    """The domain, and the server, of `setup dns`, with a NUL between."""
    domain, _, server = _text(raw).partition("\0")
    found = _taken(dns_command._domain, domain)
    if found is not None:
        assert dns_command._domain(found) == found
        assert "." in found
        assert found.isascii()
    try:
        host, port = dns_command._server(server)
    except UsageError as error:
        assert str(error).isprintable()
        return
    assert host in server
    assert 0 < port < 1 << 16


def until(raw: bytes) -> None:
    """An end date, or a span of time; the end of a block too."""
    now_s = 1_800_000_000.0
    try:
        end = until_of(_text(raw), now_s)
    except (UsageError, Refused) as error:
        assert str(error).isprintable()
        return
    if not end:
        assert not _text(raw).strip()
        return
    assert end_of(end) > time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(now_s))
    stored = end_text(end)
    assert block_table.text_of(now_s) < stored <= block_table.NEVER
    assert block_table.moment_of(stored) >= now_s


def completion(raw: bytes) -> None:
    """A line up to the cursor."""
    line = _text(raw.replace(b"\0", b""))
    roster = Roster(
        accounts=Document(ACCOUNTS, f"a@x.com|{_HASH}\nb@x.com|{_HASH}\n"),
        virtual=Document(VIRTUAL, "all@x.com a@x.com b@x.com\n"),
    )
    if "/" in line or not line.strip():
        return  # folders of this machine
    word = "" if line[-1:].isspace() else line.split()[-1].replace("\\", "")
    for found in candidates(line, lambda given: roster):
        assert isinstance(found, str)
        assert found.startswith(word) or len(line.split()) == 1
