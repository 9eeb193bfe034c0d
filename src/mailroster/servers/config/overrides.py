"""Overrides: `postfix-main.cf`, `postfix-master.cf` and `dovecot.cf` of the config folder, settings
that take precedence over those of the program. Pure text.

    message_size_limit = 52428800              postfix-main.cf: as main.cf (postconf(5))
    submission/inet/smtpd_helo_required=no     postfix-master.cf: as for `postconf -P`
    mail_max_userip_connections = 20           dovecot.cf: as dovecot.conf
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from mailroster.base.findings import ERROR, WARNING, Finding, Location, printable
from mailroster.base.setting_rules import words
from mailroster.roster.documents.text import only_comments
from mailroster.servers.config import dkim, rspamd, srs
from mailroster.servers.config.dovecot.doveconf import printed
from mailroster.servers.config.lookups import without_recipient_check
from mailroster.servers.config.postfix import CHAIN_FILES
from mailroster.servers.config.smtp_safety import CHECKS, SUBMISSION_CHECKS, submission_checks

MAIN, MASTER, DOVECOT = "postfix-main.cf", "postfix-master.cf", "dovecot.cf"
FILES = (MAIN, MASTER, DOVECOT)

#: Settings on which accounts, aliases or the safety of the machine depend.
_RISKY_SETTINGS = (
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
#: Other names of our ports.
_PORTS = {"25": "smtp", "587": "submission", "465": "submissions", "smtps": "submissions"}
_SETTING = re.compile(r"([A-Za-z0-9_]+)\s*=\s*(.*)", re.S)
_SERVICE = re.compile(r"([^\s/]+)/(inet|unix|unix-dgram|fifo|pass)/([A-Za-z0-9_]+)\s*=\s*(.*)")
_SIZE_LIMIT = "message_size_limit"
#: Settings of a certificate that Postfix ignores if CHAIN_FILES is set.
_CERTIFICATES = ("smtpd_tls_cert_file", "smtpd_tls_eccert_file", "smtpd_tls_dcert_file")
_OPTION = re.compile(r"\s+-o\s+\{?\s*([A-Za-z0-9_]+)\s*=")


class Overrides(NamedTuple):
    """The texts of the three files; "" for none."""

    main: str = ""
    master: str = ""
    dovecot: str = ""

    def of(self, file: str) -> str:
        return self[FILES.index(file)]


class OverrideEntry(NamedTuple):
    """A setting: a logical line."""

    line: int  # its first one
    service: tuple[str, str]  # of master.cf; empty in main.cf
    name: str
    value: str


def _entries(file: str, text: str) -> Iterator[OverrideEntry | Finding]:
    """The entries of a file of Postfix, and findings for the malformed lines."""
    for number, line in _logical_lines(text):
        where = Location(file, number)
        if any(char < " " and char not in "\t\n" for char in line):
            message = "the line contains a control character"
            yield Finding(where, ERROR, "malformed-override", message, "remove it")
        elif file == MAIN and (match := _SETTING.fullmatch(line)):
            yield OverrideEntry(number, ("", ""), match[1], match[2])
        elif file == MASTER and (match := _SERVICE.fullmatch(line.strip())):
            service, kind, name, value = match.groups()
            yield OverrideEntry(number, (_PORTS.get(service, service), kind), name, value)
        else:
            form = "NAME = VALUE" if file == MAIN else "SERVICE/TYPE/NAME=VALUE"
            message = "the line is not a setting"
            yield Finding(where, ERROR, "malformed-override", message, f"write {form}")


def entries(file: str, text: str) -> list[OverrideEntry]:
    """The entries of `postfix-main.cf` or `postfix-master.cf`, without malformed lines."""
    return [entry for entry in _entries(file, text) if isinstance(entry, OverrideEntry)]


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Each line with its continuation lines, and the number of the first one; no comments."""
    first, pending = 0, list[str]()
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if only_comments(line):
            continue
        if pending and line[0] in " \t":
            pending.append(line)
            continue
        if pending:
            yield first, "\n".join(pending)
        first, pending = number, [line.rstrip()]
    if pending:
        yield first, "\n".join(pending)


def findings(
    overrides: Overrides, master_cf: str, names: Mapping[str, str], risky: Collection[str]
) -> list[Finding]:
    """Findings from the text of the files alone. `master_cf` is the one without overrides; `names`:
    see postfix.listeners; `risky`: see Dialect.RISKY_SETTINGS."""
    result = []
    services = {service for line in master_cf.split("\n") if (service := _service(line, names))}
    for file in (MAIN, MASTER):
        for entry in _entries(file, overrides.of(file)):
            if isinstance(entry, Finding):
                result.append(entry)
                continue
            where = Location(file, entry.line)
            if entry.name in _RISKY_SETTINGS.split():
                result.append(_risky(where, entry.name))
            if file == MASTER and entry.service not in services:
                name = "/".join(entry.service)
                message = f"there is no service {name!r}, so the line has no effect"
                hint = "use a service of master.cf: smtp/inet, submission/inet, submissions/inet, …"
                result.append(Finding(where, WARNING, "no-such-service", message, hint))
    result += _undefined_classes(overrides.main)
    if (line := _unclosed(overrides.dovecot)) is not None:
        message, hint = "the block is not closed", "write } in a line of its own at its end"
        result.append(Finding(Location(DOVECOT, line), ERROR, "bad-override", message, hint))
    for number, text in enumerate(overrides.dovecot.split("\n"), 1):
        match = re.match(r"\s*([a-z_]+)", text)
        if match and match[1] in risky:
            result.append(_risky(Location(DOVECOT, number), match[1]))
    return result


def _undefined_classes(main: str) -> list[Finding]:
    """Classes of restrictions without a definition, with which smtpd(8) does not start."""
    settings = {entry.name: entry for entry in entries(MAIN, main)}
    if (classes := settings.get(srs.CLASSES)) is None:
        return []
    return [
        Finding(
            Location(MAIN, classes.line),
            ERROR,
            "bad-override",
            f"the class of restrictions {printable(name)!r} has no definition",
            f"add a line '{printable(name)} = …' with its restrictions, or remove its name",
        )
        for name in words(classes.value)
        if name not in settings and "$" not in name
    ]


def delimiter_findings(overrides: Overrides, chosen: str) -> list[Finding]:
    """Findings for lines that set a `recipient_delimiter` for one server that differs from the
    setting: the other server would deliver accepted mail to another account, or reject it."""
    settings = [
        (Location(file, entry.line), entry.value)
        for file in (MAIN, MASTER)
        for entry in entries(file, overrides.of(file))
        if entry.name == DELIMITER
    ]
    for number, line in enumerate(overrides.dovecot.split("\n"), 1):
        if match := re.match(rf"\s*{DELIMITER}\s*=([^#]*)", line):
            settings.append((Location(DOVECOT, number), match[1]))
    result = []
    for where, text in settings:
        value = text.strip().strip('"')
        if {*value} != {*chosen}:
            line = f"{DELIMITER} {printable(value)!r}"
            message = f"{line} applies to one server only; the setting is {chosen!r}"
            setting = printable(value).replace('"', "") or "none"
            hint = f'remove the line, and write {DELIMITER} = "{setting}" in mailroster.toml'
            result.append(Finding(where, ERROR, "belongs-in-settings", message, hint))
    return result


def _unclosed(text: str) -> int | None:
    """The first line of an unclosed block of a `dovecot.cf`, which would include the rest of
    dovecot.conf; None if all blocks are closed."""
    open_blocks: list[int] = []
    for number, line in enumerate(text.split("\n"), 1):
        code = line.partition("#")[0].strip()
        if code.endswith("{"):
            open_blocks.append(number)
        elif code == "}":
            del open_blocks[-1:]
    return open_blocks[-1] if open_blocks else None


#: The warning about a setting that is not in force everywhere.
_SHADOWED = "won't change the setting inside an earlier filter"


def dovecot_warnings(stderr: str, path: str, manual: str) -> list[Finding]:
    """The warnings of doveconf(1) about a `dovecot.cf` at a path, each once. A setting that is not
    in force is an error."""
    result = []
    for line in dict.fromkeys(stderr.split("\n")):
        warning = line.partition(": Warning: ")[2].strip()
        if not warning or warning.startswith("NOTE: "):
            continue
        position = warning.partition(f"{path} line ")[2] or warning.partition(f"{path}:")[2]
        number = re.match(r"[0-9]+", position)
        where = Location(DOVECOT, int(number[0]) if number else 0)
        for location in (f"{path} line {where.line}: ", f" in {path}:{where.line}"):
            warning = warning.replace(location, "", 1)
        message = f"Dovecot says: {printable(warning.replace(path, DOVECOT))}"
        if _SHADOWED in warning:
            hint = "move the line above that block, or write it inside the block"
            result.append(Finding(where, ERROR, "bad-override", message, hint))
        else:
            hint = f"correct the line ({manual})"
            result.append(Finding(where, WARNING, "doubtful-override", message, hint))
    return result


def plugin_findings(
    text: str, conf: str, plain: str, installed: Collection[str], form: str
) -> list[Finding]:
    """Findings about `mail_plugins` of a `dovecot.cf`: plugins that are not installed, with which
    every login fails; and plugins of our own configuration that it removes. `conf` and `plain` are
    the output of doveconf(1) with the file and without it; `form`: see Dialect.ADD_PLUGIN."""
    lines = [
        n for n, line in enumerate(text.split("\n"), 1) if line.lstrip()[:12] == "mail_plugins"
    ]
    if not lines:
        return []
    where = Location(DOVECOT, lines[-1])
    chosen, own = plugins(conf), plugins(plain)
    result = []
    for name in sorted({name for names in chosen.values() for name in names} - {*installed}):
        message = (
            f"the plugin {printable(name)!r} in mail_plugins is not installed: logins would fail"
        )
        hint = f"install its package, or write {form.replace('NAME', 'its name')}"
        result.append(Finding(where, ERROR, "bad-override", message, hint))
    removed = {name for block, names in own.items() for name in names - chosen.get(block, names)}
    if removed:
        message = f"mail_plugins loses {', '.join(sorted(removed))}, on which mailboxes depend"
        hint = f"to add a plugin, write {form}"
        result.append(Finding(where, WARNING, "risky-override", message, hint))
    return result


def plugins(conf: str) -> dict[str, set[str]]:
    """The values of `mail_plugins` in the output of doveconf(1), by the block around it; "" is no
    block. Dovecot 2.3 writes `mail_plugins = a b`, in quotes if it begins or ends with a blank; 2.4
    a block with `a = yes` in it."""
    result: dict[str, set[str]] = {}
    for (*blocks, name), value in printed(conf):
        if value is not None and name == "mail_plugins":
            result[" ".join(blocks)] = set(value.strip('"').split())
        elif value == "yes" and blocks[-1:] == ["mail_plugins"]:
            result.setdefault(" ".join(blocks[:-1]), set()).add(name)
    return result


def _risky(where: Location, name: str) -> Finding:
    message = f"accounts and aliases depend on the setting {name!r}"
    return Finding(where, WARNING, "risky-override", message, "remove the line, unless you need it")


def message_size_limit(main: str, setting: int) -> int:
    """The largest message in bytes (0 = unlimited) with a `postfix-main.cf`; unlimited if its value
    is in a form that only Postfix can read."""
    values = [entry.value.strip() for entry in entries(MAIN, main) if entry.name == _SIZE_LIMIT]
    if not values:
        return setting
    return int(values[-1]) if values[-1].isascii() and values[-1].isdecimal() else 0


def main_cf(base: str, text: str) -> str:
    """main.cf with the settings of a `postfix-main.cf` in place of its own. The last setting of a
    name counts; each name appears once, since Postfix warns of duplicates. Header checks apply to
    submissions as well, through their own parameters."""
    settings = {entry.name: entry.value for entry in entries(MAIN, text)}
    if not settings:
        return base
    if f"\n{SUBMISSION_CHECKS[0]} =" in base and not settings.keys().isdisjoint(CHECKS):
        settings = {**submission_checks(settings), **settings}
    if "transport_maps" in settings and "\nmailroster_transports =" in base:
        # Ours is first: an alias of /dev/null needs it.
        transports = f"$mailroster_transports, {settings['transport_maps']}"
        settings["transport_maps"] = transports.rstrip(", ")
    if srs.CLASSES in settings and (own := re.search(rf"^{srs.CLASSES} = (.+)$", base, re.M)):
        # Recipient restrictions need ours.
        settings[srs.CLASSES] = ", ".join(filter(None, (settings[srs.CLASSES].strip(), own[1])))
    if not settings.keys().isdisjoint(_CERTIFICATES) and CHAIN_FILES not in settings:
        # With smtpd_tls_chain_files Postfix ignores them.
        own = re.search(rf"^{CHAIN_FILES} = ([^,\n]+)", base, re.M)
        settings = {_CERTIFICATES[0]: own[1] if own else "", **settings, CHAIN_FILES: ""}
    if f"\n{dkim.MILTER} =" in base:
        settings |= _signed(settings)
    if f"\n{rspamd.MILTER} =" in base and rspamd.MILTERS in settings:
        milters = dkim.with_milter(settings[rspamd.MILTERS], rspamd.MILTER)
        settings[rspamd.MILTERS] = milters
    lines, is_replaced = [], False
    for line in without_recipient_check(base, settings).split("\n"):
        if not line.startswith(" "):  # otherwise it continues the previous line
            is_replaced = line.partition("=")[0].strip() in settings
        if not is_replaced:
            lines.append(line)
    added = "".join(f"{name} = {value}\n" for name, value in settings.items())
    return "\n".join(lines) + f"\n# {MAIN}\n{added}"


def _signed(settings: Mapping[str, str]) -> dict[str, str]:
    """Milters of a `postfix-main.cf`, with the one that signs as the last. Clients that may send
    without a login pass those of submissions."""
    milters = dkim.with_milter(settings.get("smtpd_milters", ""), dkim.MILTER)
    result = {dkim.SUBMISSION_MILTERS: milters}
    if value := settings.get(dkim.NON_SMTPD):
        result[dkim.NON_SMTPD] = dkim.with_milter(value, dkim.MILTER)
    trusted = dkim.networks(settings.get("mynetworks", ""))
    if trusted and dkim.MILTER_MAPS not in settings:
        result[dkim.MILTER_MAPS] = dkim.milter_maps(trusted, f"${dkim.SUBMISSION_MILTERS}")
    return result


def master_cf(base: str, text: str, names: Mapping[str, str]) -> str:
    """master.cf with the options of a `postfix-master.cf`, as `postconf -P` would set them."""
    changes: dict[tuple[str, str], dict[str, str]] = {}
    for entry in entries(MASTER, text):
        changes.setdefault(entry.service, {})[entry.name] = entry.value
    lines: list[str] = []
    options: Mapping[str, str] = {}
    for line in [*base.rstrip("\n").split("\n"), ""]:
        if not line.startswith(" "):
            lines += [f"  -o {{ {name} = {value} }}" for name, value in options.items()]
            options = changes.get(_service(line, names) or ("", ""), {})
        option = _OPTION.match(line)
        if option is None or option[1] not in options:
            lines.append(line)
    return "\n".join(lines)


def _service(line: str, names: Mapping[str, str]) -> tuple[str, str] | None:
    """The name and type of the service at the beginning of a line of master.cf."""
    words = line.split()
    if len(words) < 8 or line[0] in "# ":
        return None
    return names.get(words[0], words[0]), words[1]
