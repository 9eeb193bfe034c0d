"""`setup email app-password`: further passwords of an account, one for each device or program."""

import time

from mailroster.app.app_passwords import AppPasswordReport, app_passwords
from mailroster.app.last_use import Use
from mailroster.base.findings import ParseError, Refused, UsageError, printable
from mailroster.base.services import NONE, SERVICES, services_of
from mailroster.cli.call import Call, account_address, print_json, print_list
from mailroster.cli.edit import run_edit
from mailroster.cli.notes import until_of
from mailroster.cli.password_input import Secret
from mailroster.cli.streams import warn
from mailroster.cli.table import print_table
from mailroster.edits import app_passwords as edits
from mailroster.edits.notes import NoteChange, annotate
from mailroster.roster.documents.notes import comment_text
from mailroster.roster.formats import app_passwords as formats
from mailroster.roster.formats.app_passwords import AppPassword
from mailroster.roster.roster import Roster


def add(call: Call) -> int:
    """Generates an app password and prints it once, when it is written."""
    from mailroster.app.passwords.hashing import generate

    account, label = account_address(call.arguments[0]), formats.label(call.arguments[1])
    password = generate()
    comment = call.options.get("--comment")
    note = NoteChange(None if comment is None else comment_text(comment))
    entry = AppPassword(
        formats.key(account, label),
        account,
        label,
        formats.digest_of(password),
        _services(call.options.get("--for")),
        until_of(call.options.get("--until", ""), time.time()),
        _networks(call.options.get("--allow-nets", "")),
    )

    def edit(roster: Roster) -> Roster:
        return annotate(edits.add(roster, entry), "app_passwords", entry.key, note)

    return run_edit(call, edit, on_written=Secret("", password).show, report_findings=True)


def delete(call: Call) -> int:
    account = account_address(call.arguments[0])
    labels = list(dict.fromkeys(map(formats.label, call.arguments[1:])))
    return run_edit(call, lambda roster: edits.delete(roster, account, labels))


def show(call: Call) -> int:
    """Prints the app passwords of all accounts, or those of one."""
    account = account_address(call.arguments[0]) if call.arguments else ""
    roster = call.home.roster()
    if account and account not in roster.accounts:
        raise Refused(f"there is no account {account!r}")
    listed = app_passwords(call.home, roster, account)
    if "--json" in call.options:
        print_json([app_password_fields(each) for each in listed])
    elif "--table" in call.options:
        headings = ("ADDRESS", "LABEL", "OPENS", "UNTIL", "FROM", "STATE", "USED", "COMMENT")
        print_table(headings, [_cells(each) for each in listed])
    else:
        print_list([_block(each) for each in listed])
        if not listed:
            warn(f"{account or 'no account'} has {'no' if account else 'an'} app password")
    return 0


def app_password_fields(listed: AppPasswordReport) -> dict[str, object]:
    """The JSON fields of an app password."""
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


def _cells(listed: AppPasswordReport) -> tuple[str, ...]:
    entry = listed.entry
    opens = ",".join(SERVICES if entry.services is None else entry.services)
    return (
        entry.address, entry.label, opens, entry.until, entry.allow_nets, listed.state,
        _used(listed.use), listed.comment,
    )  # fmt: skip


def _block(listed: AppPasswordReport) -> str:
    entry = listed.entry
    below = "".join(f"\n    [ {printable(words)} ]" for words in app_password_words(listed))
    return f"* {entry.address} {entry.label}{below}"


def app_password_words(listed: AppPasswordReport) -> list[str]:
    """What an app password opens, its state, its last use and its comment, for people."""
    entry = listed.entry
    words = [
        "" if entry.services is None else f"only {', '.join(entry.services)}",
        f"until {entry.until}" if entry.until else "",
        f"from {entry.allow_nets}" if entry.allow_nets else "",
        listed.state,
        f"used {_used(listed.use)}" if listed.use else "",
        listed.comment,
    ]
    return [each for each in words if each]


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
