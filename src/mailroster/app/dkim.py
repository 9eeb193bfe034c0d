"""The DKIM keys of a home: their DNS records, new keys, and the rotation of a key.

A rotation changes the selector of a domain without a moment in which a signature can't be verified:

    `dkim rotate`      creates a key with a new selector; the old key signs
    DNS has its record the new key signs
    seven days later   the old key is removed: no mail that it has signed is still on its way

`up` and `watch` look at the rotations again and again; so does the command.
"""

import os
import time
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from mailroster.analysis.dns.dkim_record import is_same_key, public_key, record_name, zone_line
from mailroster.app.home import Home
from mailroster.base.dns import FAILED, Answer
from mailroster.base.findings import INFO, Finding, Location, Refused, ServerError, TryAgain
from mailroster.base.layout import Layout
from mailroster.base.setting_rules import name_server
from mailroster.base.settings import Settings
from mailroster.publish.tables.postfix import DOMAINS
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router
from mailroster.servers import dkim_keys, new_keys, signer
from mailroster.servers.config import dkim
from mailroster.servers.config.dkim import Key, KeyFile, Rotation
from mailroster.store.links import ConfigFolder
from mailroster.system.clock import Clock

if TYPE_CHECKING:
    from mailroster.system.name_servers import NameServers

KINDS, RSA, ED25519, SIZES = dkim.KINDS, dkim.RSA, dkim.ED25519, dkim.SIZES
selector_fault = dkim.selector_fault
#: How long the old key of a rotation stays.
KEPT_S = 7 * 24 * 3600
#: A rotation that began so much later than now is an error of the clock.
_SLACK_S = 3600
#: The time for one answer of a name server, and for all about one key.
_ANSWER_S, _TOTAL_S = 2.0, 20.0
#: Domains that a finding names.
_NAMED = 5


class Record(NamedTuple):
    """The DNS record of a key. `zone` is its line in a zone file, `file` the key in the config
    folder. `created`: the key is new. `signs`: it is the one that signs, or the only one."""

    domain: str
    selector: str
    keytype: str
    name: str
    value: str
    zone: str
    file: str
    created: bool
    signs: bool


class RotationState(NamedTuple):
    """A rotation. `record` is that of the new key. `since` and `until` are seconds: since when the
    new key signs (0: not yet), and when the old one is removed."""

    domain: str
    old: str
    new: str
    since: int
    until: int
    record: Record
    reason: str = ""  # why it waits


def domains(home: Home) -> list[str]:
    """The domains that an account or an alias names."""
    return sorted(_domains(home.roster().in_memory(), home.settings))


def _domains(roster: Roster, settings: Settings) -> set[str]:
    return set(DOMAINS.keys(Router(roster, settings.hostname, lambda address: None)))


def make_keys(
    home: Home, names: Sequence[str], kind: str, bits: int, selector: str
) -> list[Record]:
    """Creates the missing keys of some domains, and puts them in force; the records of all keys of
    this kind. `selector`: "" for the usual one.

    Raises Refused for a key that can't be read, and for a domain that has another selector.
    """
    records, files = [], _KeyFiles(home.settings)
    for domain in names:
        keys = files.keys(domain)
        same = [key for key in keys if key.kind == kind]
        if same and selector and selector not in {key.selector for key in same}:
            raise Refused(
                f"{domain} has a key with the selector {same[0].selector!r}; to change it: "
                f"setup dkim rotate {domain} --selector {selector}"
            )
        if same:
            key = _wanted(same, selector)
        else:
            name = selector or _usual_selector(kind, {key.selector for key in keys})
            key = _create(home, domain, kind, bits, name)
            files.add(key)
        records.append(_record(key, created=not same, signs=True))
    put_in_force(home)
    return records


def _wanted(keys: list[Key], selector: str) -> Key:
    """The key that signs, or the one with the selector."""
    named = [key for key in keys if key.selector == selector]
    return named[0] if named else keys[0]


def _usual_selector(kind: str, used: Collection[str]) -> str:
    """dkim.SELECTOR, if no key of another kind has that."""
    return dkim.SELECTOR if dkim.SELECTOR not in used else f"{dkim.SELECTOR}-{kind}"


def _create(home: Home, domain: str, kind: str, bits: int, selector: str) -> Key:
    """A new key, or that of another command at the same time."""
    config = home.settings.config
    pem = dkim_keys.generate(kind, bits)
    key = Key(domain, selector, _file(domain, selector), kind, pem, "")
    zone = zone_line(key.name(), dkim_keys.public_part(key).text())
    if not new_keys.write_key(config, domain, selector, pem, zone):
        same = [each for each in _keys(home.settings, domain) if each.selector == selector]
        if not same or same[0].kind != kind:
            raise Refused(
                f"{_file(domain, selector)} is a key of another type; choose another selector"
            )
        return same[0]
    return key


def _file(domain: str, selector: str) -> str:
    return f"{dkim.OPENDKIM_KEYS}/{domain}/{selector}{dkim.PRIVATE}"


class _KeyFiles:
    """The files about keys in the config folders, read once for any number of domains."""

    def __init__(self, settings: Settings) -> None:
        self._folder = _folder(settings)
        self._files: dict[str, list[tuple[ConfigFolder, KeyFile]]] = {}
        self._selectors: dict[str, set[str]] = {}
        self._rotations: dict[str, Rotation] = {}
        for folder in dkim_keys.folders(settings):
            for file in dkim_keys.key_files(folder):
                self._files.setdefault(file.domain, []).append((folder, file))
            self._selectors = {**dkim_keys.preferred(folder), **self._selectors}
            self._rotations = {**dkim_keys.rotations(folder), **self._rotations}

    def add(self, key: Key) -> None:
        """Adds a key that was created in the config folder."""
        self._files.setdefault(key.domain, []).append((self._folder, KeyFile(*key[:3])))

    def keys(self, domain: str, *, is_rotating: bool = True) -> list[Key]:
        """The keys of a domain; those that sign are first. `is_rotating`: a rotation counts. Raises
        Refused for a file that can't be read as a key."""
        keys: dict[str, Key] = {}
        for folder, file in self._files.get(domain, []):
            if file.selector in keys:
                continue
            try:
                keys[file.selector] = dkim_keys.load(folder, file)
            except dkim_keys.KeyFault as fault:
                path = folder.path_of(file.file)
                raise Refused(
                    f"{path} can't be used: {fault}; replace it by a private key, or remove it"
                ) from None
        rotations = self._rotations if is_rotating else {}
        signing = dkim.chosen(keys.values(), self._selectors, rotations)
        return [*signing, *(key for key in keys.values() if key not in signing)]


def _keys(settings: Settings, domain: str, *, is_rotating: bool = True) -> list[Key]:
    """The keys of one domain, as _KeyFiles.keys."""
    return _KeyFiles(settings).keys(domain, is_rotating=is_rotating)


def _record(key: Key, *, created: bool, signs: bool) -> Record:
    value = dkim_keys.public_part(key).text()
    zone = zone_line(key.name(), value)
    return Record(
        key.domain, key.selector, key.kind, key.name(), value, zone, key.file, created, signs
    )


def put_in_force(home: Home) -> None:
    """Makes a running OpenDKIM use the keys at once. For a user who may not do that, and for the
    first key, the running server does it."""
    if os.geteuid() == 0 and signer.active(home.layout):
        try:
            signer.Signer(home.settings, home.layout).reconcile()
        except (TryAgain, OSError) as error:
            home.warn(f"warning: the running server puts the keys in force: {error}")


# -- rotations


def rotate(
    home: Home, domain: str, selector: str, bits: int, kind: str = ""
) -> RotationState | None:
    """Begins the rotation of a key of a domain, or continues the one that is under way; None if
    that has just ended. `kind`: the type of the key; "" for RSA, if there is one.

    Raises Refused.
    """
    settings = home.settings
    rotation = dkim_keys.rotations(_folder(settings)).get(domain)
    if rotation is None or rotation.is_over():
        rotation = _begin(home, domain, selector, kind, is_first=rotation is None)
    if selector and selector != rotation.new:
        raise Refused(
            f"a rotation of {domain} to the selector {rotation.new!r} is under way; wait until it "
            "ends"
        )
    keys = _keys(settings, domain)
    if not keys:
        raise Refused(
            f"the rotation of {domain} has lost its keys; restore "
            f"{_file(domain, rotation.old)}, or remove {_rotation_file(domain)}"
        )
    old = next((key for key in keys if key.selector == rotation.old), keys[0])
    if kind and kind != old.kind:
        raise Refused(
            f"a rotation of the {old.kind} key of {domain} is under way; wait until it ends"
        )
    if not any(key.selector == rotation.new for key in keys):
        _create(home, domain, old.kind, bits, rotation.new)
    reason = ""
    try:
        rotation = _step(settings, domain, rotation, _clock(home.layout))
    except ServerError as error:
        reason = str(error)
    put_in_force(home)
    return _state(settings, domain, rotation, reason) if rotation else None


def _begin(home: Home, domain: str, selector: str, kind: str, *, is_first: bool) -> Rotation:
    """Writes the file of a rotation, before the key: without it the new key could sign before DNS
    has its record. Returns the rotation that another command has begun at the same time, if there
    is one. `is_first`: no file of a rotation was there."""
    config = home.settings.config
    keys = _keys(home.settings, domain)
    if not keys:
        raise Refused(f"{domain} has no DKIM key; create one: setup config dkim domain {domain}")
    kind = kind or (RSA if any(key.kind == RSA for key in keys) else keys[0].kind)
    old = next((key for key in keys if key.kind == kind), None)
    if old is None:
        hint = f"setup config dkim keytype {kind} domain {domain}"
        raise Refused(f"{domain} has no DKIM key of the type {kind}; create one: {hint}")
    used = {key.selector for key in keys}
    if selector in used:
        raise Refused(f"{domain} has a key with the selector {selector!r} already; choose another")
    rotation = Rotation(selector or _free_selector(used), old.selector)
    if not is_first:
        new_keys.write_rotation(config, domain, rotation)
    elif not new_keys.begin_rotation(config, domain, rotation):
        other = dkim_keys.rotations(_folder(home.settings)).get(domain)
        if other is None:
            raise Refused(f"{_rotation_file(domain)} is not a rotation of mailroster; remove it")
        return other
    return rotation


def _rotation_file(domain: str) -> str:
    return f"{dkim.OPENDKIM_KEYS}/{domain}/{dkim_keys.ROTATION}"


def _free_selector(used: Iterable[str]) -> str:
    """A selector that says when it was made, as 202611, 202611b, …"""
    month, taken = time.strftime("%Y%m", time.gmtime()), {*used}
    names = (month, *(f"{month}{chr(ord('b') + i)}" for i in range(25)))
    for name in names:
        if name not in taken:
            return name
    raise Refused("every selector of this month is in use; name one with --selector")


def _folder(settings: Settings) -> ConfigFolder:
    return dkim_keys.folders(settings)[0]


def _clock(layout: Layout) -> Clock:
    return Clock(layout.clock)


def _step(settings: Settings, domain: str, rotation: Rotation, clock: Clock) -> Rotation | None:
    """The rotation after its next step, if that is due; None after the last one. Raises ServerError
    if DNS does not answer, or the clock is in doubt."""
    if doubt := clock.doubt():
        raise ServerError(doubt)
    keys = {key.selector: key for key in _keys(settings, domain)}
    new = keys.get(rotation.new)
    if new is None:
        raise ServerError(f"the key {_file(domain, rotation.new)} is missing; restore it")
    if not rotation.since:
        if not is_published(new, _name_servers(domain, settings.dns_server)):
            return rotation
        rotation = rotation._replace(since=int(time.time()))
        new_keys.write_rotation(settings.config, domain, rotation)
    elif rotation.since > time.time() + _SLACK_S:
        # The clock was wrong at that time.
        rotation = rotation._replace(since=int(time.time()))
        new_keys.write_rotation(settings.config, domain, rotation)
    elif time.time() - rotation.since >= KEPT_S:
        _end(settings, domain, rotation, new.kind)
        return None
    return rotation


def _end(settings: Settings, domain: str, rotation: Rotation, kind: str) -> None:
    """Removes the old key in each of its files. The file of the rotation stays if another key than
    the new one would sign without it, such as one in the source of an overlay: DNS may no longer
    have its record."""
    files = dkim_keys.key_files(_folder(settings))
    old = [each.file for each in files if each[:2] == (domain, rotation.old)]
    new_keys.remove_keys(settings.config, old)
    keys = [key for key in _keys(settings, domain, is_rotating=False) if key.kind == kind]
    if keys[0].selector == rotation.new:
        new_keys.remove_rotation(settings.config, domain)
    else:
        over = rotation._replace(old=rotation.new)
        new_keys.write_rotation(settings.config, domain, over)


def is_published(key: Key, servers: "NameServers") -> bool:
    """Whether DNS has the record of a key, and only that one: each name server of the domain that
    replies must have it. Raises ServerError without an answer."""
    own = dkim_keys.public_part(key).public

    def is_it(answer: Answer) -> bool:
        texts = answer.first_fields()
        return len(texts) == 1 and is_same_key(public_key(texts[0]), own)

    name = key.name()
    answer = servers.ask(name, "TXT")
    if answer.status == FAILED:
        raise ServerError(f"DNS does not answer for {name}: {answer.reason}")
    return is_it(answer) and all(map(is_it, servers.own_answers(name, "TXT")))


def _name_servers(domain: str, server: str) -> "NameServers":
    from mailroster.system.name_servers import NameServers

    try:
        return NameServers(domain, only=name_server(server), answer_s=_ANSWER_S, total_s=_TOTAL_S)
    except Refused as error:  # without dnspython
        raise ServerError(str(error)) from None


def _state(settings: Settings, domain: str, rotation: Rotation, reason: str) -> RotationState:
    key = next(key for key in _keys(settings, domain) if key.selector == rotation.new)
    record = _record(key, created=False, signs=bool(rotation.since))
    until = rotation.since + KEPT_S if rotation.since else 0
    return RotationState(domain, rotation.old, rotation.new, rotation.since, until, record, reason)


def advance(settings: Settings, layout: Layout) -> list[str]:
    """Continues all rotations of the config folder; what has happened, and what prevents it, in
    words."""
    messages = []
    for domain, rotation in dkim_keys.rotations(_folder(settings)).items():
        if rotation.is_over():
            continue
        try:
            after = _step(settings, domain, rotation, _clock(layout))
        except (ServerError, Refused) as error:
            messages.append(f"the rotation of the DKIM key of {domain} waits: {error}")
            continue
        if after is None:
            messages.append(
                f"{domain}: the old DKIM key {rotation.old!r} is removed; its DNS record "
                f"{record_name(domain, rotation.old)} can go, too"
            )
        elif after.since and not rotation.since:
            messages.append(
                f"{domain}: the DKIM key {rotation.new!r} signs now: DNS has its record"
            )
    return messages


# -- findings


def findings(settings: Settings, roster: Roster) -> list[Finding]:
    """Findings about files that are no keys, and about domains without a key."""
    if not settings.signs():
        return []
    result, with_key = [], set[str]()
    for folder in dkim_keys.folders(settings):
        for file in dkim_keys.key_files(folder):
            try:
                dkim_keys.load(folder, file)
                with_key.add(file.domain)
            except (dkim_keys.KeyFault, ServerError) as error:
                result.append(signer.key_finding(file.file, error))
    missing = sorted(_domains(roster, settings) - with_key)
    if missing:
        named = ", ".join(missing[:_NAMED]) + (", …" if len(missing) > _NAMED else "")
        result.append(
            Finding(
                Location(dkim.OPENDKIM_KEYS),
                INFO,
                "no-dkim-key",
                f"mail from {named} leaves without a DKIM signature: there is no key",
                "create one with 'setup config dkim', and publish its DNS record",
            )
        )
    return result
