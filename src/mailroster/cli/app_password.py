"""`setup email app-password`: further passwords of an account, one for each device or program."""

import time
from typing import NamedTuple

from mailroster.app.home import Home
from mailroster.app.last_use import Use, last_uses
from mailroster.base.end_date import end_of
from mailroster.base.findings import ParseError, Refused, UsageError, printable
from mailroster.base.services import NONE, SERVICES, services_of
from mailroster.cli.call import Call, account_address, print_json, print_list
from mailroster.cli.edit import run_edit
from mailroster.cli.notes import notes_by_key, until_of
from mailroster.cli.password_input import Secret
from mailroster.cli.streams import warn
from mailroster.cli.table import print_table
from mailroster.edits import app_passwords as edits
from mailroster.edits.notes import NoteChange, annotate
from mailroster.roster.documents.notes import comment_text
from mailroster.roster.formats import app_passwords
from mailroster.roster.formats.app_passwords import AppPassword
from mailroster.roster.roster import Roster


def add(call: Call) -> int:
    """Generates an app password and prints it once, when it is written."""
    from mailroster.app.passwords.hashing import generate

    account, label = account_address(call.arguments[0]), app_passwords.label(call.arguments[1])
    password = generate()
    comment = call.options.get("--comment")
    note = NoteChange(None if comment is None else comment_text(comment))
    entry = AppPassword(
        app_passwords.key(account, label),
        account,
        label,
        app_passwords.digest_of(password),
        _services(call.options.get("--for")),
        until_of(call.options.get("--until", ""), time.time()),
        _networks(call.options.get("--allow-nets", "")),
    )

    def edit(roster: Roster) -> Roster:
        return annotate(edits.add(roster, entry), "app_passwords", entry.key, note)

    return run_edit(call, edit, on_written=Secret("", password).show, report_findings=True)


def delete(call: Call) -> int:
    account = account_address(call.arguments[0])
    labels = list(dict.fromkeys(map(app_passwords.label, call.arguments[1:])))
    return run_edit(call, lambda roster: edits.delete(roster, account, labels))


class _Listed(NamedTuple):
    """An app password in the list; `state` is "" if it opens something."""

    entry: AppPassword
    state: str
    comment: str
    use: Use | None


def show(call: Call) -> int:
    """Prints the app passwords of all accounts, or those of one."""
    account = account_address(call.arguments[0]) if call.arguments else ""
    roster = call.home.roster()
    if account and account not in roster.accounts:
        raise Refused(f"there is no account {account!r}")
    listed = _listed(call.home, roster, account)
    if "--json" in call.options:
        print_json([_fields(each) for each in listed])
    elif "--table" in call.options:
        headings = ("ADDRESS", "LABEL", "OPENS", "UNTIL", "FROM", "STATE", "USED", "COMMENT")
        print_table(headings, [_cells(each) for each in listed])
    else:
        print_list([_block(each) for each in listed])
        if not listed:
            warn(f"{account or 'no account'} has {'no' if account else 'an'} app password")
    return 0


def _listed(home: Home, roster: Roster, account: str) -> list[_Listed]:
    document = roster.app_passwords
    entries = [entry for _, entry in document.items() if account in ("", entry.address)]
    uses = last_uses(home, entries)
    notes = notes_by_key(document)
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime())
    return [
        _Listed(
            entry,
            _state(roster, entry, now),
            notes[entry.key].comment if entry.key in notes else "",
            uses.get(entry.key),
        )
        for entry in entries
    ]


def _state(roster: Roster, entry: AppPassword, now: str) -> str:
    account = roster.accounts.get(entry.address)
    if account is None:
        return "no account"
    if account.is_locked():
        return "locked"
    return "ended" if entry.until and end_of(entry.until) <= now else ""


def _fields(listed: _Listed) -> dict[str, object]:
    entry = listed.entry
    return {
        "address": entry.address,
        "label": entry.label,
        "services": list(SERVICES if entry.services is None else entry.services),
        "until": entry.until or None,
        "allow_nets": entry.allow_nets.split(",") if entry.allow_nets else None,
        "state": listed.state or "open",
        "comment": listed.comment or None,
        "last_use": listed.use._asdict() if listed.use else None,
    }


def _cells(listed: _Listed) -> tuple[str, ...]:
    entry = listed.entry
    opens = ",".join(SERVICES if entry.services is None else entry.services)
    return (
        entry.address, entry.label, opens, entry.until, entry.allow_nets, listed.state,
        _used(listed.use), listed.comment,
    )  # fmt: skip


def _block(listed: _Listed) -> str:
    entry = listed.entry
    lines = [
        "" if entry.services is None else f"only {', '.join(entry.services)}",
        f"until {entry.until}" if entry.until else "",
        f"from {entry.allow_nets}" if entry.allow_nets else "",
        listed.state,
        f"used {_used(listed.use)}" if listed.use else "",
        listed.comment,
    ]
    below = "".join(f"\n    [ {printable(line)} ]" for line in lines if line)
    return f"* {entry.address} {entry.label}{below}"


def _used(use: Use | None) -> str:
    return f"{use.time} by {use.service} from {use.remote}" if use else ""


def _services(text: str | None) -> tuple[str, ...] | None:
    """The protocols of `--for`; None for every one. Raises UsageError."""
    if text is None:
        return None
    try:
        services = services_of(text)
    except ParseError as fault:
        raise UsageError(f"--for: {fault.message}; {fault.hint.partition(', or ')[0]}") from None
    if not services:
        raise UsageError(f"--for: {NONE!r} would open nothing; name a protocol")
    return None if services == SERVICES else services


def _networks(text: str) -> str:
    """The networks of `--allow-nets`, each with its address bits only. Raises UsageError."""
    if not text:
        return ""
    import ipaddress

    networks = []
    for word in text.replace(",", " ").split():
        try:
            networks.append(str(ipaddress.ip_network(word, strict=False)))
        except ValueError:
            raise UsageError(
                f"--allow-nets: {word!r} is not a network; write for example 192.0.2.0/24"
            ) from None
    return ",".join(dict.fromkeys(networks))
