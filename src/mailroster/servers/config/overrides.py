"""`postfix-main.cf`, `postfix-master.cf`, `dovecot.cf`: what a folder adds to the servers' own
configuration, applied last. Pure text.

    message_size_limit = 52428800              postfix-main.cf: as main.cf (postconf(5))
    submission/inet/smtpd_helo_required=no     postfix-master.cf: as for `postconf -P`
    mail_max_userip_connections = 20           dovecot.cf: as dovecot.conf
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from mailroster.base.findings import ERROR, WARNING, Finding, Location, printable
from mailroster.roster.documents.text import only_comments
from mailroster.servers.config.dovecot.doveconf import printed
from mailroster.servers.config.lookups import without_recipient_check
from mailroster.servers.config.smtp_safety import CHECKS, SUBMISSION_CHECKS, submission_checks

MAIN, MASTER, DOVECOT = "postfix-main.cf", "postfix-master.cf", "dovecot.cf"
FILES = (MAIN, MASTER, DOVECOT)

#: What the roster, or the safety of the machine, stands on.
_POSTFIX_PILLARS = (
    "virtual_alias_maps virtual_alias_domains virtual_mailbox_maps virtual_mailbox_domains "
    "virtual_transport mydestination local_recipient_maps local_transport relay_domains alias_maps "
    "smtpd_sender_login_maps smtpd_sasl_type smtpd_sasl_path queue_directory data_directory "
    "maillog_file myorigin myhostname mynetworks smtpd_relay_restrictions "
    "smtpd_recipient_restrictions smtpd_sender_restrictions smtpd_client_restrictions "
    "submission_sender_restrictions relayhost default_transport smtp_sasl_password_maps "
    "sender_dependent_default_transport_maps sender_dependent_relayhost_maps "
    "smtp_sasl_auth_enable"
)
DELIMITER = "recipient_delimiter"
#: The names that others give to our ports.
_PORTS = {"25": "smtp", "587": "submission", "465": "submissions", "smtps": "submissions"}
_SETTING = re.compile(r"([A-Za-z0-9_]+)\s*=\s*(.*)", re.S)
_SERVICE = re.compile(r"([^\s/]+)/(inet|unix|unix-dgram|fifo|pass)/([A-Za-z0-9_]+)\s*=\s*(.*)")
_SIZE_LIMIT = "message_size_limit"
_OPTION = re.compile(r"\s+-o\s+\{?\s*([A-Za-z0-9_]+)\s*=")


class Overrides(NamedTuple):
    """The texts of the three files; "" for none."""

    main: str = ""
    master: str = ""
    dovecot: str = ""

    def of(self, file: str) -> str:
        return self[FILES.index(file)]


class Entry(NamedTuple):
    """One logical line: where it begins, whom it concerns, and what it says."""

    line: int
    service: tuple[str, str]  # of master.cf; empty in main.cf
    name: str
    value: str


def _entries(file: str, text: str) -> Iterator[Entry | Finding]:
    """The entries of a file of Postfix, and what is wrong with the lines that are none."""
    for number, line in _logical_lines(text):
        where = Location(file, number)
        if any(char < " " and char not in "\t\n" for char in line):
            yield Finding(where, ERROR, "malformed-override", "a control character", "remove it")
        elif file == MAIN and (found := _SETTING.fullmatch(line)):
            yield Entry(number, ("", ""), found[1], found[2])
        elif file == MASTER and (found := _SERVICE.fullmatch(line.strip())):
            yield Entry(number, (_PORTS.get(found[1], found[1]), found[2]), found[3], found[4])
        else:
            form = "NAME = VALUE" if file == MAIN else "SERVICE/TYPE/NAME=VALUE"
            message = "the line is no setting"
            yield Finding(where, ERROR, "malformed-override", message, f"write {form}")


def entries(file: str, text: str) -> list[Entry]:
    """The entries of `postfix-main.cf` or `postfix-master.cf`; lines that are none are left out."""
    return [entry for entry in _entries(file, text) if isinstance(entry, Entry)]


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    begun, pending = 0, list[str]()
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if only_comments(line):
            continue
        if pending and line[0] in " \t":
            pending.append(line)
            continue
        if pending:
            yield begun, "\n".join(pending)
        begun, pending = number, [line.rstrip()]
    if pending:
        yield begun, "\n".join(pending)


def findings(
    overrides: Overrides, services: str, names: Mapping[str, str], pillars: Collection[str]
) -> list[Finding]:
    """What is wrong with the files by their words alone. `services` is the master.cf without them;
    `names` are those under which others know its listeners; `pillars` are Dovecot's settings that
    are better left alone."""
    found = []
    known = {service for line in services.split("\n") if (service := _service(line, names))}
    for file in (MAIN, MASTER):
        for entry in _entries(file, overrides.of(file)):
            if isinstance(entry, Finding):
                found.append(entry)
                continue
            where = Location(file, entry.line)
            if entry.name in _POSTFIX_PILLARS.split():
                found.append(_risky(where, entry.name))
            if file == MASTER and entry.service not in known:
                message = (
                    f"there is no service {'/'.join(entry.service)!r}, so the line has no effect"
                )
                hint = "name one of master.cf: smtp/inet, submission/inet, submissions/inet, …"
                found.append(Finding(where, WARNING, "no-such-service", message, hint))
    if (line := _unclosed(overrides.dovecot)) is not None:
        message, hint = "the block is not closed", "write } in a line of its own at its end"
        found.append(Finding(Location(DOVECOT, line), ERROR, "bad-override", message, hint))
    for number, words in enumerate(overrides.dovecot.split("\n"), 1):
        name = re.match(r"\s*([a-z_]+)", words)
        if name and name[1] in pillars:
            found.append(_risky(Location(DOVECOT, number), name[1]))
    return found


def delimiter_findings(overrides: Overrides, chosen: str) -> list[Finding]:
    """The lines that give one server another `recipient_delimiter` than the setting of that name
    gives to all: mail would be accepted for one account and go to another, or to none."""
    settings = [
        (Location(file, entry.line), entry.value)
        for file in (MAIN, MASTER)
        for entry in entries(file, overrides.of(file))
        if entry.name == DELIMITER
    ]
    for number, line in enumerate(overrides.dovecot.split("\n"), 1):
        if match := re.match(rf"\s*{DELIMITER}\s*=([^#]*)", line):
            settings.append((Location(DOVECOT, number), match[1]))
    found = []
    for where, words in settings:
        value = words.strip().strip('"')
        if {*value} != {*chosen}:
            here = f"{DELIMITER} {printable(value)!r}"
            message = f"{here} is for one server only; the setting is {chosen!r}"
            given = printable(value).replace('"', "") or "none"
            hint = f'remove the line, and write {DELIMITER} = "{given}" in mailroster.toml'
            found.append(Finding(where, ERROR, "belongs-in-settings", message, hint))
    return found


def _unclosed(text: str) -> int | None:
    """The line of a `dovecot.cf` at which a block begins that does not end, so that what follows
    the file in dovecot.conf would become a part of it; None if there is none."""
    opened: list[int] = []
    for number, line in enumerate(text.split("\n"), 1):
        words = line.partition("#")[0].strip()
        if words.endswith("{"):
            opened.append(number)
        elif words == "}":
            del opened[-1:]
    return opened[-1] if opened else None


#: A warning that says that a setting is not in force everywhere.
_SHADOWED = "won't change the setting inside an earlier filter"


def dovecot_warnings(stderr: str, path: str, manual: str) -> list[Finding]:
    """The warnings of doveconf(1) about a `dovecot.cf` at a path, each once; an error where a
    setting is not in force."""
    found = []
    for line in dict.fromkeys(stderr.split("\n")):
        words = line.partition(": Warning: ")[2].strip()
        if not words or words.startswith("NOTE: "):
            continue
        place = words.partition(f"{path} line ")[2] or words.partition(f"{path}:")[2]
        number = re.match(r"[0-9]+", place)
        where = Location(DOVECOT, int(number[0]) if number else 0)
        for noise in (f"{path} line {where.line}: ", f" in {path}:{where.line}"):
            words = words.replace(noise, "", 1)
        message = f"Dovecot says: {printable(words.replace(path, DOVECOT))}"
        if _SHADOWED in words:
            hint = "move the line above that block, or write it inside the block"
            found.append(Finding(where, ERROR, "bad-override", message, hint))
        else:
            hint = f"correct the line ({manual})"
            found.append(Finding(where, WARNING, "doubtful-override", message, hint))
    return found


def plugin_findings(
    text: str, conf: str, plain: str, installed: Collection[str], form: str
) -> list[Finding]:
    """What is wrong with `mail_plugins` of a `dovecot.cf`: plugins that are not installed, without
    which every login fails; and the plugins of our own configuration that it removes. `conf` and
    `plain` are what doveconf(1) prints with the file and without it; `form` is how one more plugin
    is written."""
    lines = [
        n for n, line in enumerate(text.split("\n"), 1) if line.lstrip()[:12] == "mail_plugins"
    ]
    if not lines:
        return []
    where = Location(DOVECOT, lines[-1])
    chosen, ours = plugins(conf), plugins(plain)
    found = []
    for name in sorted({name for names in chosen.values() for name in names} - {*installed}):
        message = (
            f"the plugin {printable(name)!r} in mail_plugins is not installed: logins would fail"
        )
        hint = f"install its package, or write {form.replace('NAME', 'its name')}"
        found.append(Finding(where, ERROR, "bad-override", message, hint))
    lost = {name for place, names in ours.items() for name in names - chosen.get(place, names)}
    if lost:
        message = f"mail_plugins loses {', '.join(sorted(lost))}, on which mailboxes depend"
        hint = f"to add a plugin, write {form}"
        found.append(Finding(where, WARNING, "risky-override", message, hint))
    return found


def plugins(conf: str) -> dict[str, set[str]]:
    """The values of `mail_plugins` in what doveconf(1) prints, by the block they stand in; "" is no
    block. Dovecot 2.3 writes `mail_plugins = a b`, in quotes if it begins or ends with a blank; 2.4
    a block with `a = yes` in it."""
    found: dict[str, set[str]] = {}
    for (*blocks, name), value in printed(conf):
        if value is not None and name == "mail_plugins":
            found[" ".join(blocks)] = set(value.strip('"').split())
        elif value == "yes" and blocks[-1:] == ["mail_plugins"]:
            found.setdefault(" ".join(blocks[:-1]), set()).add(name)
    return found


def _risky(where: Location, name: str) -> Finding:
    message = f"{name!r} is one of the settings on which accounts and aliases stand"
    return Finding(where, WARNING, "risky-override", message, "be sure that you mean it")


def message_size_limit(main: str, setting: int) -> int:
    """The largest message in bytes (0 = unlimited) with a `postfix-main.cf`; unlimited where that
    says it in a way that only Postfix can read."""
    said = [entry.value.strip() for entry in entries(MAIN, main) if entry.name == _SIZE_LIMIT]
    if not said:
        return setting
    return int(said[-1]) if said[-1].isascii() and said[-1].isdecimal() else 0


def main_cf(base: str, text: str) -> str:
    """main.cf with what a `postfix-main.cf` says in place of its own; the last of a name counts,
    and each name stands once, as Postfix warns of two. Checks of headers apply to submissions too,
    which have parameters of their own for them."""
    said = {entry.name: entry.value for entry in entries(MAIN, text)}
    if not said:
        return base
    if f"\n{SUBMISSION_CHECKS[0]} =" in base and not said.keys().isdisjoint(CHECKS):
        said = {**submission_checks(said), **said}
    if (
        "transport_maps" in said and "\nmailroster_transports =" in base
    ):  # ours come first: an alias of /dev/null has no other way
        said["transport_maps"] = f"$mailroster_transports, {said['transport_maps']}".rstrip(", ")
    kept, dropping = [], False
    for line in without_recipient_check(base, said).split("\n"):
        if not line.startswith(" "):  # else it continues the line before
            dropping = line.partition("=")[0].strip() in said
        if not dropping:
            kept.append(line)
    added = "".join(f"{name} = {value}\n" for name, value in said.items())
    return "\n".join(kept) + f"\n# {MAIN}\n{added}"


def master_cf(base: str, text: str, names: Mapping[str, str]) -> str:
    """master.cf with the options of a `postfix-master.cf`, as `postconf -P` would set them."""
    said: dict[tuple[str, str], dict[str, str]] = {}
    for entry in entries(MASTER, text):
        said.setdefault(entry.service, {})[entry.name] = entry.value
    lines: list[str] = []
    options: Mapping[str, str] = {}
    for line in [*base.rstrip("\n").split("\n"), ""]:
        if not line.startswith(" "):
            lines += [f"  -o {{ {name} = {value} }}" for name, value in options.items()]
            options = said.get(_service(line, names) or ("", ""), {})
        option = _OPTION.match(line)
        if option is None or option[1] not in options:
            lines.append(line)
    return "\n".join(lines)


def _service(line: str, names: Mapping[str, str]) -> tuple[str, str] | None:
    """Name and type of the service that a line of master.cf begins."""
    words = line.split()
    if len(words) < 8 or line[0] in "# ":
        return None
    return names.get(words[0], words[0]), words[1]
