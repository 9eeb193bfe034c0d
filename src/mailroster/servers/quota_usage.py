"""What mailboxes hold and may hold, as a running Dovecot counts it, without making anything.

`doveadm quota get` makes the folder of each mailbox that it is asked for, with files in it, and
takes 2 to 5 ms each. So Maildirs are read without it (maildir_usage), and it is asked only for
mailboxes that only Dovecot can read, if they exist.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from mailroster.analysis.mailbox import Place, place_of, plain
from mailroster.analysis.mailbox_limit import Default, default, limit_of
from mailroster.base.address import Address
from mailroster.base.findings import Refused, ServerError, TryAgain
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.roster.dovecot.versions import form
from mailroster.roster.roster import Roster
from mailroster.servers.config.dovecot.doveconf import printed
from mailroster.servers.doveadm_quota import Usage, ask_quotas
from mailroster.servers.dovecot_auth import USERDB, Question, ask
from mailroster.servers.mailboxes import mail_folder
from mailroster.servers.maildir_usage import BROKEN, FILE, LINES, SIZES, UNKNOWN
from mailroster.servers.version import noted
from mailroster.system.programs import run

#: So many Maildirs are read by one process.
_READ_AT_ONCE = 5000
_ANSWER_S = 20.0
_BROKEN = "something in the mailbox is neither a file nor a folder, or is a link"
#: Told how many mailboxes are done, of all.
Progress = Callable[[int], object]


class Report(NamedTuple):
    """`by_address`: the mailboxes of which all is known. `limits`: bytes that each may hold, None
    where only Dovecot could tell. `why` others are missing, in the words of the server; "" if none
    is."""

    by_address: dict[str, Usage]
    limits: dict[str, int | None]
    why: str


class Server(NamedTuple):
    """What the configuration of a running Dovecot says of quotas. `methods`: how Maildirs can be
    counted without it (maildir_usage), best first; empty if only it can."""

    version: str
    by_default: Default
    methods: tuple[str, ...]


class _Mailbox(NamedTuple):
    """`path` is that of a Maildir below the mail folder; "" where only Dovecot can tell what is
    there. `paths` are all absolute paths at which there may be something; empty if not known."""

    address: Address
    size: int | None
    path: str
    method: str
    paths: tuple[str, ...]


def usages(
    settings: Settings,
    layout: Layout,
    roster: Roster,
    addresses: Iterable[str],
    progress: Progress = lambda done: None,
) -> Report:
    """Use and limit of the mailboxes of some accounts. Raises nothing for a server that fails."""
    server = server_quota(settings, layout)
    boxes = [
        _mailbox(Address(address), roster, settings, server)
        for address in addresses
        if address in roster.accounts
    ]
    limits: dict[str, int | None] = {box.address: box.size for box in boxes}
    found: dict[str, Usage] = {}
    broken: set[str] = set()
    for method in dict.fromkeys(box.method for box in boxes if box.path):
        _read(settings, method, boxes, found, broken, progress)
    rest = [box for box in boxes if box.address not in found and box.address not in broken]
    if not rest:
        return Report(found, limits, _BROKEN if broken else "")
    there = [box for box in rest if _exists(box, settings, layout, found)]
    before = len(found)
    asked, why = ask_quotas(
        layout, [box.address for box in there], lambda done: progress(before + done)
    )
    for address, used in asked.items():
        size = limits.get(address)
        limits[address] = used.limit if size is None else size
        found[address] = used if size is None else usage_of(used.used, size)
    if not why and broken:
        why = _BROKEN
    if not why and len(found) < len(boxes):
        why = "only Dovecot can tell their limit, once they have mail"
    return Report(found, limits, why)


def _exists(box: _Mailbox, settings: Settings, layout: Layout, found: dict[str, Usage]) -> bool:
    """Whether Dovecot can be asked for a mailbox without making it. One that isn't there is empty,
    and is added if its limit is known."""
    paths = box.paths or _paths_by_dovecot(box.address, settings, layout)
    if any(map(os.path.lexists, paths)):
        return True
    if paths and box.size is not None:
        found[box.address] = usage_of(0, box.size)
    return False


def _paths_by_dovecot(address: Address, settings: Settings, layout: Layout) -> tuple[str, ...]:
    """Where Dovecot itself looks for a mailbox; nothing if it does not say."""
    try:
        fields = ask(layout, [Question(USERDB, address)])[0].fields
    except ServerError:
        return ()
    home = fields.get("home") or plain(settings.mail, address).home
    path = fields.get("mail_path") or fields.get("mail", "").partition(":")[2].partition(":")[0]
    path = f"{home}{path[1:]}" if path[:1] == "~" else path
    return (path,) if path[:1] == "/" and "%" not in path else ()


def usage_of(used: int, limit: int) -> Usage:
    """Bytes of a mailbox and of its limit (0 = none), in whole kibibytes as Dovecot counts use."""
    used_k, limit_k = -(-used // 1024), -(-limit // 1024)
    return Usage(used_k * 1024, limit, used_k * 100 // limit_k if limit_k else 0)


def _mailbox(address: Address, roster: Roster, settings: Settings, server: Server) -> _Mailbox:
    limit = limit_of(roster, address, server.by_default, settings.mail)
    account = roster.accounts.get(address)
    assert account is not None, "it was in the roster"
    place = place_of(account, settings.mail, server.version)
    methods = server.methods
    if account.extra and "ignore" in account.extra:  # a rule that leaves folders out
        methods = methods[:1] if methods[:1] == (FILE,) else ()
    readable = place is not None and limit.size is not None and methods
    path = _below(place, settings.mail) if readable and place else ""
    paths = () if place is None else (place.path, *_inboxes(place))
    return _Mailbox(address, limit.size, path, methods[-1] if methods else "", paths)


def _inboxes(place: Place) -> tuple[str, ...]:
    options = (option.partition("=") for option in place.options)
    return tuple(value for name, _, value in options if name == "INBOX")


def _below(place: Place, mail: str) -> str:
    """The path of a plain Maildir below the mail folder; "" for anything else."""
    start = f"{mail.rstrip('/')}/"
    path = re.sub("/+", "/", place.path).rstrip("/")
    return path[len(start) :] if place.is_plain_maildir() and path.startswith(start) else ""


def _read(
    settings: Settings,
    method: str,
    boxes: Sequence[_Mailbox],
    found: dict[str, Usage],
    broken: set[str],
    progress: Progress,
) -> None:
    """Adds those whose Maildirs can be read, and to `broken` those that Dovecot must not be asked
    for."""
    meant = [box for box in boxes if box.path and box.method == method]
    for start in range(0, len(meant), _READ_AT_ONCE):
        part = meant[start : start + _READ_AT_ONCE]
        try:
            told = mail_folder(settings).usage(method, [box.path for box in part])
        except (OSError, TryAgain, Refused):
            return  # Dovecot is asked
        for box, used in zip(part, told, strict=True):
            if used == BROKEN:
                broken.add(box.address)
            elif used != UNKNOWN:
                found[box.address] = usage_of(int(used), box.size or 0)
        progress(len(found))


def server_quota(settings: Settings, layout: Layout) -> Server:
    """What the Dovecot of an instance is configured to, somebody's own settings included."""
    version = noted(layout)
    usual = Server(version, default(settings.mailbox_size_limit, version), ())
    try:
        code, out, _ = run(["doveconf", "-c", layout.dovecot_conf, "-n"], timeout_s=_ANSWER_S)
    except ServerError:
        return usual
    return usual if code else server_of(version, settings_of(out), usual)


def settings_of(text: str) -> dict[str, str]:
    """What `doveconf -n` prints, as setting -> value; one in blocks is `plugin/quota_rule`, or
    `namespace inbox/prefix`. Of several blocks of one name the last."""
    return {"/".join(path): value or "" for path, value in printed(text)}


def server_of(version: str, its: Mapping[str, str], usual: Server) -> Server:
    """What settings of Dovecot mean. `usual` counts where they say nothing of a default."""
    dialect = form(version)
    prefix = "plugin/" if version == "2.3" else ""
    named = ((name.removeprefix(prefix), value) for name, value in its.items())
    limits = {name: value for name, value in named if dialect.is_limit(name)}
    by_default = Default({version: limits}) if limits else usual.by_default
    methods = _methods_2_3(its) if version == "2.3" else _methods_2_4(its)
    return Server(version, by_default, methods)


def _methods_2_3(its: Mapping[str, str]) -> tuple[str, ...]:
    kinds = [value for name, value in its.items() if re.fullmatch(r"plugin/quota\d*", name)]
    loaded = "quota" in its.get("mail_plugins", "").split()
    if not loaded or len(kinds) != 1 or not kinds[0].startswith("maildir:"):
        return ()
    rules = [value for name, value in its.items() if name.startswith("plugin/quota_rule")]
    if _namespaces(its) != 1 or any("ignore" in rule for rule in rules):
        return (FILE,)
    return (FILE, SIZES)


#: Settings of 2.4 that change which messages count, or where they are.
_COUNTING = re.compile(
    r"(?:.*/)?(?:quota_ignore|quota_driver|mailbox_list_(?:layout|iter_from_index_dir)|"
    r"mailbox_directory_name|mailbox_root_directory_name|mail_inbox_path)|quota [^/]*/driver"
)


def _methods_2_4(its: Mapping[str, str]) -> tuple[str, ...]:
    quotas = [name for name in its if re.fullmatch(r"quota [^/]*", name)]
    loaded = its.get("mail_plugins/quota", its.get("mail_plugins", ""))
    if "quota" not in loaded.split() and loaded != "yes":
        return ()
    if len(quotas) != 1 or _namespaces(its) != 1 or any(map(_COUNTING.fullmatch, its)):
        return ()
    return (LINES,) if its.get("mail_driver", "maildir") == "maildir" else ()


def _namespaces(its: Mapping[str, str]) -> int:
    return sum(bool(re.fullmatch(r"namespace [^/]*", name)) for name in its)
