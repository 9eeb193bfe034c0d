"""Determines the usage of mailboxes as a running Dovecot counts it, without creating any.

`doveadm quota get` creates the folder of each mailbox, with files in it, and takes 2 to 5 ms for
each. So Maildirs are read directly (maildir_usage), and doveadm is used only for existing mailboxes
that only Dovecot can read.
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
from mailroster.servers.version import tables_version
from mailroster.system.programs import run

#: One process reads so many Maildirs.
_READ_AT_ONCE = 5000
_ANSWER_S = 20.0
_BROKEN = "something in the mailbox is neither a file nor a folder, or is a link"
#: Receives the number of mailboxes that are done.
Progress = Callable[[int], object]


class Report(NamedTuple):
    """The usage of mailboxes. `by_address`: those with a known size and limit. `limits`: in bytes,
    None if only Dovecot knows the limit. `why`: why some are missing, in the words of the server;
    "" if none is."""

    by_address: dict[str, Usage]
    limits: dict[str, int | None]
    why: str


class QuotaConfig(NamedTuple):
    """The quota settings of a running Dovecot. `methods`: the methods of maildir_usage that count
    as it does, best first; empty if there are none."""

    version: str
    by_default: Default
    methods: tuple[str, ...]


class _Mailbox(NamedTuple):
    """A mailbox to count. `path`: of a Maildir, relative to the mail folder; "" if only Dovecot can
    count it. `paths`: all absolute paths that may have its mail; empty if not known."""

    address: Address
    limit: int | None
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
    """The usage of the mailboxes of the given accounts. Raises nothing if a server fails."""
    config = read_quota_config(settings, layout)
    boxes = [
        _mailbox(Address(address), roster, settings, config)
        for address in addresses
        if address in roster.accounts
    ]
    limits: dict[str, int | None] = {box.address: box.limit for box in boxes}
    result: dict[str, Usage] = {}
    broken: set[str] = set()
    for method in dict.fromkeys(box.method for box in boxes if box.path):
        _read_maildirs(settings, method, boxes, result, broken, progress)
    rest = [box for box in boxes if box.address not in result and box.address not in broken]
    if not rest:
        return Report(result, limits, _BROKEN if broken else "")
    existing = [box.address for box in rest if _exists(box, settings, layout, result)]
    before = len(result)
    by_dovecot, why = ask_quotas(layout, existing, lambda done: progress(before + done))
    for address, usage in by_dovecot.items():
        limit = limits.get(address)
        limits[address] = usage.limit if limit is None else limit
        result[address] = usage if limit is None else usage_of(usage.used, limit)
    if not why and broken:
        why = _BROKEN
    if not why and len(result) < len(boxes):
        why = "only Dovecot knows their limit, once they have mail"
    return Report(result, limits, why)


def _exists(box: _Mailbox, settings: Settings, layout: Layout, result: dict[str, Usage]) -> bool:
    """Whether a mailbox exists. A missing one is empty: it is added to the result if its limit is
    known."""
    paths = box.paths or _paths_by_dovecot(box.address, settings, layout)
    if any(map(os.path.lexists, paths)):
        return True
    if paths and box.limit is not None:
        result[box.address] = usage_of(0, box.limit)
    return False


def _paths_by_dovecot(address: Address, settings: Settings, layout: Layout) -> tuple[str, ...]:
    """The path where Dovecot looks for a mailbox; empty if it does not answer with one."""
    try:
        fields = ask(layout, [Question(USERDB, address)])[0].fields
    except ServerError:
        return ()
    home = fields.get("home") or plain(settings.mail, address).home
    path = fields.get("mail_path") or fields.get("mail", "").partition(":")[2].partition(":")[0]
    path = f"{home}{path[1:]}" if path[:1] == "~" else path
    return (path,) if path[:1] == "/" and "%" not in path else ()


def usage_of(used: int, limit: int) -> Usage:
    """The usage for a size and a limit (0 = none) in bytes; Dovecot counts in whole kibibytes."""
    used_k, limit_k = -(-used // 1024), -(-limit // 1024)
    return Usage(used_k * 1024, limit, used_k * 100 // limit_k if limit_k else 0)


def _mailbox(address: Address, roster: Roster, settings: Settings, config: QuotaConfig) -> _Mailbox:
    limit = limit_of(roster, address, config.by_default, settings.mail)
    account = roster.accounts.get(address)
    assert account is not None
    place = place_of(account, settings.mail, config.version)
    methods = config.methods
    if account.extra and "ignore" in account.extra:  # a rule that ignores folders
        methods = methods[:1] if methods[:1] == (FILE,) else ()
    readable = place is not None and limit.size is not None and methods
    path = _below(place, settings.mail) if readable and place else ""
    paths = () if place is None else (place.path, *_inboxes(place))
    return _Mailbox(address, limit.size, path, methods[-1] if methods else "", paths)


def _inboxes(place: Place) -> tuple[str, ...]:
    options = (option.partition("=") for option in place.options)
    return tuple(value for name, _, value in options if name == "INBOX")


def _below(place: Place, mail: str) -> str:
    """The relative path of a plain Maildir below the mail folder; "" for anything else."""
    start = f"{mail.rstrip('/')}/"
    path = re.sub("/+", "/", place.path).rstrip("/")
    return path[len(start) :] if place.is_plain_maildir() and path.startswith(start) else ""


def _read_maildirs(
    settings: Settings,
    method: str,
    boxes: Sequence[_Mailbox],
    result: dict[str, Usage],
    broken: set[str],
    progress: Progress,
) -> None:
    """Adds the Maildirs that can be read to the result, and to `broken` the addresses for which
    doveadm must not run."""
    selected = [box for box in boxes if box.path and box.method == method]
    for start in range(0, len(selected), _READ_AT_ONCE):
        part = selected[start : start + _READ_AT_ONCE]
        try:
            sizes = mail_folder(settings).usage(method, [box.path for box in part])
        except (OSError, TryAgain, Refused):
            return  # they are left to doveadm
        for box, size in zip(part, sizes, strict=True):
            if size == BROKEN:
                broken.add(box.address)
            elif size != UNKNOWN:
                result[box.address] = usage_of(int(size), box.limit or 0)
        progress(len(result))


def read_quota_config(settings: Settings, layout: Layout) -> QuotaConfig:
    """The quota settings of the Dovecot of an instance, with overrides applied."""
    version = tables_version(layout)
    usual = QuotaConfig(version, default(settings.mailbox_size_limit, version), ())
    try:
        code, out, _ = run(["doveconf", "-c", layout.dovecot_conf, "-n"], timeout_s=_ANSWER_S)
    except ServerError:
        return usual
    return usual if code else quota_config(version, settings_of(out), usual)


def settings_of(text: str) -> dict[str, str]:
    """The output of `doveconf -n` as setting -> value. A setting in a block is `plugin/quota_rule`
    or `namespace inbox/prefix`; if several blocks have one name, the last one counts."""
    return {"/".join(path): value or "" for path, value in printed(text)}


def quota_config(version: str, config: Mapping[str, str], usual: QuotaConfig) -> QuotaConfig:
    """Interprets settings of Dovecot. `usual` has the default limit if they have none."""
    dialect = form(version)
    prefix = "plugin/" if version == "2.3" else ""
    named = ((name.removeprefix(prefix), value) for name, value in config.items())
    limits = {name: value for name, value in named if dialect.is_limit(name)}
    by_default = Default({version: limits}) if limits else usual.by_default
    methods = _methods_2_3(config) if version == "2.3" else _methods_2_4(config)
    return QuotaConfig(version, by_default, methods)


def _methods_2_3(config: Mapping[str, str]) -> tuple[str, ...]:
    kinds = [value for name, value in config.items() if re.fullmatch(r"plugin/quota\d*", name)]
    loaded = "quota" in config.get("mail_plugins", "").split()
    if not loaded or len(kinds) != 1 or not kinds[0].startswith("maildir:"):
        return ()
    rules = [value for name, value in config.items() if name.startswith("plugin/quota_rule")]
    if _namespaces(config) != 1 or any("ignore" in rule for rule in rules):
        return (FILE,)
    return (FILE, SIZES)


#: Settings of 2.4 that change which messages count, or where they lie.
_COUNTING = re.compile(
    r"(?:.*/)?(?:quota_ignore|quota_driver|mailbox_list_(?:layout|iter_from_index_dir)|"
    r"mailbox_directory_name|mailbox_root_directory_name|mail_inbox_path)|quota [^/]*/driver"
)


def _methods_2_4(config: Mapping[str, str]) -> tuple[str, ...]:
    quotas = [name for name in config if re.fullmatch(r"quota [^/]*", name)]
    loaded = config.get("mail_plugins/quota", config.get("mail_plugins", ""))
    if "quota" not in loaded.split() and loaded != "yes":
        return ()
    if len(quotas) != 1 or _namespaces(config) != 1 or any(map(_COUNTING.fullmatch, config)):
        return ()
    return (LINES,) if config.get("mail_driver", "maildir") == "maildir" else ()


def _namespaces(config: Mapping[str, str]) -> int:
    return sum(bool(re.fullmatch(r"namespace [^/]*", name)) for name in config)
