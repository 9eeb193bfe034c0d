"""The paths in extra fields: below the home of the account, or below the mail folder.

    place    = ( "~" | "%h" | "%{home}" | "" ) *( "/" part )      mbox:~/mail, /var/mail/%d/%n
    location = [ driver ":" ] place *( ":" option )               doc.dovecot.org/2.3, mail location

A part is neither `.` nor `..`, and its variables can't become these. The mail folder is a setting,
so `is_below` is a separate check.
"""

import re
from collections.abc import Iterator

#: 2.3's options of a mail location that name a place -> the settings of 2.4.
PLACES = {
    "INBOX": "mail_inbox_path", "INDEX": "mail_index_path",
    "INDEXPVT": "mail_index_private_path", "CONTROL": "mail_control_path",
    "ALT": "mail_alt_path", "VOLATILEDIR": "mail_volatile_path",
}  # fmt: skip
#: Options that name a file or a folder in it.
NAMES = {
    "DIRNAME": "mailbox_directory_name", "MAILBOXDIR": "mailbox_root_directory_name",
    "SUBSCRIPTIONS": "mailbox_subscriptions_filename",
}  # fmt: skip
OPTIONS = {**PLACES, "LAYOUT": "mailbox_list_layout", **NAMES}
#: Options without a value.
FLAGS = {
    "UTF-8": "mailbox_list_utf8", "ITERINDEX": "mailbox_list_iter_from_index_dir",
    "NO-NOSELECT": "mailbox_list_drop_noselect",
}  # fmt: skip
#: Drivers that keep mail in files below their path; `imapc` and `pop3c` use another server.
DRIVERS = ("auto", "maildir", "mbox", "dbox", "sdbox", "mdbox")
LAYOUTS = ("maildir++", "fs", "index")
#: An index without files.
IN_MEMORY = "MEMORY"

HOME, ABSOLUTE, RELATIVE, LEAVING = "home", "absolute", "relative", "leaving"
_START = re.compile(r"~|%h|%\{home\}")
_HASH = r"(?:md5|sha1|sha256|sha512)"
#: Variables that are safe as a part of a path, or in a part: never empty, never only dots, no
#: slash. Not those that cut letters from the middle: `%1.1n` of `a.b` is a dot.
_VARIABLE = re.compile(
    rf"%[LURHM]*(?:(?:[1-9]\d?)?[udn]|\{{(?:{_HASH}:)?(?:user|username|domain)\}})|"
    r"%\{(?:user|username|domain)(?:\|(?:username|domain|lower|upper|reverse))*"
    rf"(?:\|{_HASH}\|hexlify)?(?:\|substr\(0,[1-9]\d?\))?\}}"
)


def kind(place: str) -> str:
    """HOME or ABSOLUTE for an allowed path; RELATIVE for another path, and LEAVING for a path that
    may lead anywhere, by `..` or by a variable."""
    path = unfolded(place)
    start = _START.match(path)
    rest = path[start.end() :] if start else path
    if rest[:1] != "/" and (rest or not start):
        return RELATIVE
    parts = [_VARIABLE.sub("x", part) for part in rest.split("/")]
    if any(part in (".", "..") or "%" in part or ":" in part for part in parts):
        return LEAVING
    return HOME if start else ABSOLUTE


def is_below(place: str, folder: str) -> bool:
    """Whether a path that is HOME or ABSOLUTE is below the home of its account or below a
    folder."""
    if kind(place) == HOME:
        return True
    path = re.sub("/+", "/", unfolded(place)).rstrip("/")
    return path.startswith(f"{folder.rstrip('/')}/")


def unfolded(text: str) -> str:
    """A text with single percent signs: Dovecot puts in the variables of some settings twice."""
    while "%%" in text:
        text = text.replace("%%", "%")
    return text


def driver(location: str) -> str:
    """The driver of a mail location; "" for an unknown driver, or if it is not a location."""
    word, colon, _ = location.partition(":")
    if colon and word in DRIVERS:
        return word
    return "auto" if _START.match(location) or location[:1] == "/" else ""


def options(location: str) -> Iterator[tuple[str, str]]:
    """The options of a mail location; a flag has the value ""."""
    for option in _parts(location)[1:]:
        name, _, value = option.partition("=")
        yield name, value


def places(location: str) -> Iterator[str]:
    """Every place of a mail location."""
    yield _parts(location)[0]
    yield from (value for name, value in options(location) if _is_place(name, value))


def _parts(location: str) -> list[str]:
    word, colon, rest = location.partition(":")
    return (rest if colon and word in DRIVERS else location).split(":")


def _is_place(name: str, value: str) -> bool:
    return name in PLACES and not (name == "INDEX" and value == IN_MEMORY)
