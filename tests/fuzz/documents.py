"""What must hold of every file format, whatever the file holds."""

import codecs
import re
from collections.abc import Callable, Iterator
from typing import Any

from mailroster.base.address import Address
from mailroster.base.findings import ParseError, Refused
from mailroster.edits import accounts, aliases, app_passwords, relays, senders
from mailroster.roster.documents.document import MARK, Document
from mailroster.roster.documents.format import Format
from mailroster.roster.formats import credentials
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.app_passwords import APP_PASSWORDS
from mailroster.roster.formats.quotas import Quota
from mailroster.roster.formats.sasl_password import SASL_PASSWORDS
from mailroster.roster.roster import Roster
from tests.support.kept import assert_kept

NEW_HASH = "{SHA512-CRYPT}$6$new$hash"
NEW_RECIPIENT = "new.one@new.test"
NEW_ACCOUNT = Address("new.one@new.test")
ORIGIN = "mail.example.test"
#: So many lines and keys of a file are edited, from its start and from its end.
_SOME = 3

Verb = Callable[[Roster], Roster]


def field_of(format: Format[Any]) -> str:
    """The name of a format's field in the roster."""
    return next(field for field, found in Roster().documents() if found.format is format)


def is_held(format: Format[Any], raw: bytes) -> None:
    """Holds if all that a document promises is true of a file."""
    document = Document.from_bytes(format, raw)
    _is_lossless(document, raw)
    _keys_agree(document)
    _findings_can_be_shown(document, raw)
    if format.secret:
        _no_secret_is_shown(document)
    _bare_edits_keep_the_rest(document)
    _verbs_keep_the_rest(document)


def _is_lossless(document: Document[Any], raw: bytes) -> None:
    assert bytes(document) == raw
    assert "\n".join(document.lines) == document.text


def _keys_agree(document: Document[Any]) -> None:
    first: dict[str, int] = {}
    for position, line in enumerate(document.lines):
        key = document.format.key(line)
        if not key:
            continue
        try:
            entry = document.format.parse(line)
        except ParseError:
            continue
        if not document.format.ordered:
            assert entry[0] == key
        assert document.get(key) is not None
        first.setdefault(key, position)
    assert {key: document.position(key) for key in first} == first
    assert [key for key, _ in document.items()] == list(_counting(document))


def _counting(document: Document[Any]) -> Iterator[str]:
    """The keys that count, in the order in which they first stand in the file."""
    keys = dict.fromkeys(filter(None, map(document.format.key, document.lines)))
    return (key for key in keys if document.get(key) is not None)


def _findings_can_be_shown(document: Document[Any], raw: bytes) -> None:
    found = document.findings()
    assert found == sorted(found, key=lambda finding: finding.where)
    for finding in found:
        assert finding.where.file == document.format.file
        assert 1 <= finding.where.line <= raw.count(b"\n") + 1
        assert str(finding).isprintable()
        assert len(str(finding)) < 500


def _no_secret_is_shown(document: Document[Any]) -> None:
    """With other letters in all hashes nothing that people get to see is another."""
    veils: dict[Any, Callable[[str], str]] = {
        SASL_PASSWORDS: _veiled_login, APP_PASSWORDS: _veiled_app_password
    }  # fmt: skip
    veil = veils.get(document.format, _veiled)
    veiled = Document(document.format, "\n".join(map(veil, document.text.split("\n"))))
    assert veiled.findings() == document.findings()
    for line, other in zip(document.text.split("\n"), veiled.text.split("\n"), strict=True):
        assert document.format.hidden(line) == document.format.hidden(other)


_HASH = re.compile(r"\{[A-Z][A-Z0-9.-]*\}|\$[0-9a-z]+\$")
_SECRET = re.compile(rf"[ \t:]|{_HASH.pattern}")
#: The same in front of a `|`, where `a$b$c@x.com` is an account.
_NO_NAME = re.compile(rf"{_SECRET.pattern}[^@]*$")


def _veiled(line: str) -> str:
    """A line with other letters wherever a password or a hash may stand in it."""
    name, bar, rest = line.partition("|")
    bare = re.sub(r"^[\s\ufeff]+|[\s\ufeff]+$", "", name)
    found = (_HASH if bare[:1] == "#" else _NO_NAME if bar else _SECRET).search(bare)
    if found is not None:
        start = found.start() + name.index(bare)
        name = name[:start] + codecs.encode(name[start:], "rot13")
    hash, extra_bar, extra = rest.partition("|")
    scheme = re.match(r"[\s\ufeff]*(\{[^}]*\})?", hash)
    assert scheme is not None
    hash = scheme[0] + codecs.encode(hash[scheme.end() :], "rot13")
    return name + bar + hash + extra_bar + extra


def _veiled_login(line: str) -> str:
    """A line of logins with other letters in all that may be a password: what is behind the first
    word, or behind a colon in it that is not a relay's, and a comment."""
    place = re.match(r"[ \t\r\ufeff]*(#|\[[^\] \t]*\](:[^: \t]*)?|[^ \t:]*)", line)
    assert place is not None
    start = 0 if line[:1] in (" ", "\t") and place[1] != "#" else place.end()
    return line[:start] + codecs.encode(line[start:], "rot13")


_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_OPTION = re.compile(r"(?:services|until|allow_nets)=[0-9a-zT:./,-]*")


def _veiled_app_password(line: str) -> str:
    """A line with other letters in its digest, and wherever else one may stand."""
    name, *rest = line.split("|", 3)
    veiled = [_veiled(f"{name}|").removesuffix("|") if rest else _veiled(name)]
    for column, text in enumerate(rest):
        if column == 0:
            veiled.append(text if _LABEL.fullmatch(text) else codecs.encode(text, "rot13"))
        elif column == 1:
            scheme = "{SHA256.HEX}" if text.startswith("{SHA256.HEX}") else ""
            veiled.append(scheme + _veiled_digits(text[len(scheme) :]))
        else:
            words = re.split(r"([ \t\r]+)", text)
            shown = (w if _OPTION.fullmatch(w) else codecs.encode(w, "rot13") for w in words)
            veiled.append("".join(shown))
    return "|".join(veiled)


def _veiled_digits(text: str) -> str:
    """Other hexadecimal digits, and other letters beside them."""
    hexadecimal = "0123456789abcdefABCDEF"
    if all(char in hexadecimal for char in text.strip()):
        return text.translate(str.maketrans(hexadecimal, "1234567890bcdefaBCDEFA"))
    return codecs.encode(text, "rot13") if not re.search("[g-tG-T]", text) else text


def _bare_edits_keep_the_rest(document: Document[Any]) -> None:
    lines = document.lines
    for position in _some(range(len(lines))):
        line = "new@new.test|x:1 y" + ("\r" if lines[position].endswith("\r") else "")
        changed = document.replace(position, "new@new.test|x:1 y")
        whole = "\n".join([*lines[:position], line, *lines[position + 1 :]])
        assert changed.text == _marked_as(document, whole)
        _is_as_read_anew(changed)
        left = [*lines[:position], *lines[position + 1 :]]
        if position + 1 == len(lines) and left:
            left.append("")  # the line before keeps its line feed
        removed = document.remove([position])
        assert removed.text == _marked_as(document, "\n".join(left))
        _is_as_read_anew(removed)
    end = "\r\n" if "\r\n" in document.text[:4096] else "\n"
    more = document.append("new@new.test|x:1 y")
    completed = "" if not document.text or document.text.endswith("\n") else end
    assert more.text == f"{document.text}{completed}new@new.test|x:1 y{end}"
    _is_as_read_anew(more)


def _marked_as(document: Document[Any], text: str) -> str:
    """The text, with a byte order mark if the document has one: an edit keeps it."""
    has_mark = document.text.startswith(MARK) and not text.startswith(MARK)
    return MARK + text if has_mark else text


def _is_as_read_anew(document: Document[Any]) -> None:
    """Whatever an edit takes over from the document before it is what the text says."""
    anew = Document.from_bytes(document.format, bytes(document))
    assert list(document.lines) == anew.lines
    assert document.findings() == anew.findings()
    for key in _some(list(_counting(anew))):
        assert document.positions(key) == anew.positions(key)
        assert document.get(key) == anew.get(key)


def _verbs_keep_the_rest(document: Document[Any]) -> None:
    field = field_of(document.format)
    for key in _some(list(_counting(document))):
        for name, verb, expected in _verbs(field, document, key):
            before = _roster(field, document, key)
            try:
                after = verb(before)
            except (ParseError, Refused):
                continue
            new: Document[Any] = getattr(after, field)
            assert_kept(document, new, key)
            _is_as_read_anew(new)
            assert new.get(key) == expected, name


def _roster(field: str, document: Document[Any], key: str) -> Roster:
    files: dict[str, Any] = {field: document}
    if field in ("quotas", "sender_logins", "app_passwords"):
        account = NEW_ACCOUNT if field == "sender_logins" else key.partition("|")[0]
        files["accounts"] = Document(ACCOUNTS, f"{account}|{NEW_HASH}\n")
    return Roster(**files)


def _kept_locked(hash: str) -> str:
    """The new hash; a lock stays."""
    return credentials.locked(NEW_HASH) if credentials.is_locked(hash) else NEW_HASH


def _verbs(field: str, document: Document[Any], key: Any) -> Iterator[tuple[str, Verb, object]]:
    """Edits of an entry that is there: a name, the verb, and the entry after it."""
    entry = document.get(key)
    assert entry is not None
    if field == "accounts":
        new = entry._replace(password=_kept_locked(entry.password))
        yield "password", lambda r: accounts.set_password(r, key, NEW_HASH), new
        yield "delete", lambda r: accounts.delete_accounts(r, [key]), None
    elif field == "quotas":
        yield "set", lambda r: accounts.set_quota(r, Quota(key, "7M")), entry._replace(size="7M")
        yield "delete", lambda r: accounts.delete_quota(r, key), None
    elif field == "masters":
        new = entry._replace(password=NEW_HASH)
        yield "password", lambda r: accounts.set_master_password(r, key, NEW_HASH), new
        yield "delete", lambda r: accounts.delete_masters(r, [key]), None
    elif field in ("send_access", "receive_access"):
        yield "allow", lambda r: accounts.allow(r, field, key), None
    elif field == "relaymap":
        new = entry._replace(destinations=("[r.test]:25",))
        yield "route", lambda r: relays.route(r, new), new
        yield "forget", lambda r: relays.forget(r, key), None
    elif field == "sasl_passwords":
        new = entry._replace(user="john", password="a new: one")
        yield "log in", lambda r: relays.log_in(r, new), new
        yield "forget", lambda r: relays.forget(r, key), None
    elif field == "virtual":
        more = entry._replace(recipients=(*entry.recipients, NEW_RECIPIENT))
        yield "add", lambda r: aliases.add_alias(r, key, [NEW_RECIPIENT], ORIGIN), more
        yield (
            "delete",
            lambda r: aliases.delete_alias(r, key, list(_every(r, "virtual", key))),
            None,
        )
    elif field == "app_passwords":
        address, _, label = key.partition("|")
        yield "delete", lambda r: app_passwords.delete(r, address, [label]), None
    elif field == "sender_logins":
        if NEW_ACCOUNT not in (key, *entry.accounts):
            more = entry._replace(accounts=(*entry.accounts, NEW_ACCOUNT))
            yield "grant", lambda r: senders.grant(r, NEW_ACCOUNT, key), more
        yield "revoke", lambda r: _revoked(r, key), None


def _every(roster: Roster, field: str, key: str) -> Iterator[Any]:
    """The recipients of all lines of an alias that can be read, the one that counts first; or the
    accounts of a grant."""
    document: Document[Any] = getattr(roster, field)
    for position in document.positions(key):
        try:
            yield from document.format.parse(document.lines[position])[1]
        except ParseError:
            continue


def _revoked(roster: Roster, key: str) -> Roster:
    for account in list(_every(roster, "sender_logins", key)):
        roster = senders.revoke(roster, account, key)
    return roster


def _some(all: Any) -> Any:
    """The first and the last few of a sequence."""
    return all if len(all) <= 2 * _SOME else [*all[:_SOME], *all[-_SOME:]]
