"""Collects what mailroster would serve from the folders of a docker-mailserver, and all remarks."""

import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from mailroster.app.adopt import (
    known_files,
    mail_folder,
    sieve_scripts,
    signing_keys,
    state_folder,
)
from mailroster.app.adopt.differences import differences
from mailroster.app.adopt.locate import Place, near
from mailroster.app.adopt.mail_folder import MailReport
from mailroster.app.adopt.remark import FIX, KINDS, NOTE, OTHER_WAY, Remark
from mailroster.base.address import split
from mailroster.base.findings import printable
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.roster.formats.accounts import Account
from mailroster.roster.formats.sieve import scripts_among
from mailroster.roster.roster import Roster, document_of
from mailroster.routing.router import Router
from mailroster.servers import mail_owner
from mailroster.servers.config.endpoints import endpoints, listed
from mailroster.servers.config.overrides import DOVECOT
from mailroster.system.files import look, read

#: Extra fields of an account that set the place of its mail (Dovecot: userdb extra fields).
_OWN_PLACE = ("userdb_mail", "userdb_home", "mail", "home")


class Outlook(NamedTuple):
    """`served` counts the entries of each kind, `queued` the messages of each queue. `mailboxes` is
    the number of accounts with a mailbox; `missing` are the others: their mailbox is created with
    the first mail."""

    served: dict[str, int]
    mailboxes: int
    missing: list[str]
    queued: dict[str, int]
    remarks: list[Remark]


def roster_of(config: str) -> tuple[Roster, list[Remark]]:
    """Reads the files of a config folder without a lock. A remark names each unreadable file."""
    documents, remarks = {}, []
    for field, empty in Roster().documents():
        try:
            raw = look(os.path.join(config, empty.format.file))[0]
        except OSError as error:
            message = f"the file can't be read ({error.strerror})"
            remarks.append(Remark(FIX, empty.format.file, message, "correct its owner or its mode"))
            raw = b""
        documents[field] = document_of(field, raw, ())
    return Roster(**documents), remarks


def outlook(place: Place, router: Router, settings: Settings, layout: Layout) -> Outlook:
    """Examines the folders, without the servers. Changes nothing."""
    roster, names = router.roster, sorted(os.listdir(place.config))
    dots = sieve_scripts.keeps_dots(_text(os.path.join(place.config, DOVECOT)))
    remarks = [*place.project.remarks, *differences(router, settings), *known_files.remarks(names)]
    if not dots:
        remarks += sieve_scripts.of_folder(place.config, names)
    accounts = roster.accounts.counted()
    mail = MailReport(0, list(accounts), [])
    if place.mail:
        folder = near(place.mail)
        mail = _examine_mail(folder, roster, settings)
        remarks += mail.remarks
        remarks += sieve_scripts.of_mailboxes(names, folder, accounts, dots=dots)
    else:
        hint = "name it with --mail if it exists"
        remarks.append(Remark(NOTE, "mail", "there is no mail folder", hint))
    queued: dict[str, int] = {}
    if place.state:
        state = state_folder.examine(near(place.state), layout)
        queued, remarks = state.queued, [*remarks, *state.remarks]
    served = {**counts(roster), "sieve_scripts": len(scripts_among(names).files)}
    keys = signing_keys.examine(place.config, settings)
    served["dkim_keys"] = keys.number
    remarks += keys.remarks
    return Outlook(served, mail.mailboxes, mail.missing, queued, remarks)


def listening(settings: Settings) -> str:
    """The services and their ports, as text."""
    return listed(endpoints(settings))


def in_order(remarks: list[Remark]) -> list[Remark]:
    """The remarks by kind, errors first, without duplicates."""
    return sorted(dict.fromkeys(remarks), key=lambda remark: KINDS.index(remark.kind))


def counts(roster: Roster) -> dict[str, int]:
    """The number of valid entries of each kind."""
    domains = {split(key)[1] for d in (roster.accounts, roster.virtual) for key in d.counted()}
    rules = (roster.regexp.get(key) for key in roster.regexp.counted())
    return {
        "accounts": len(roster.accounts.counted()),
        "domains": len(domains - {""}),
        "aliases": len(roster.virtual.counted()),
        "patterns": sum(1 for rule in rules if rule is not None and rule.kind == "match"),
        "quotas": len(roster.quotas.counted()),
        "masters": len(roster.masters.counted()),
        "restrictions": len(roster.send_access.counted()) + len(roster.receive_access.counted()),
        "sender_rights": len(roster.sender_logins.counted()),
        "local_aliases": len(roster.local_aliases.counted()),
        "relays": len(roster.relaymap.counted()),
        "relay_logins": len(roster.sasl_passwords.counted()),
    }


def _examine_mail(mail: str, roster: Roster, settings: Settings) -> MailReport:
    accounts = roster.accounts
    if mail_folder.is_maildir(mail):
        message = "this folder is itself a mailbox, not a folder with the mailboxes of the accounts"
        remark = Remark(FIX, mail, message, "name the right folder: --mail DIR")
        return MailReport(0, list(accounts.counted()), [remark])
    boxes = mail_folder.scan(mail)
    elsewhere = {key for key, account in accounts.items() if _lies_elsewhere(account)}
    report = mail_folder.compare(mail, boxes.folders, accounts.counted(), elsewhere)
    foreign = mail_owner.foreign(mail, settings.vmail_uid, settings.vmail_gid)
    remarks = [*boxes.remarks, *report.remarks, *(Remark(FIX, *fault) for fault in foreign)]
    if boxes.folders:
        remarks += sieve_scripts.nested(mail, sorted(boxes.folders))
    return report._replace(remarks=remarks)


def _lies_elsewhere(account: Account) -> bool:
    return bool(account.extra) and any(name in _OWN_PLACE for name, _ in account.fields())


def _text(path: str) -> str:
    try:
        return read(path).decode("utf-8", "replace")
    except OSError:
        return ""  # `check` reports it


#: The variables with paths of certificates and keys.
_CERTIFICATES = ("SSL_CERT_PATH", "SSL_KEY_PATH", "SSL_ALT_CERT_PATH", "SSL_ALT_KEY_PATH")


def of_paths(honoured: Mapping[str, str], settings: Settings, fault: str) -> Iterator[Remark]:
    """Reports paths of settings that do not exist, and the fault of the folders, "" for none."""
    if fault:
        yield Remark(FIX, "the folders", fault)
    for variable in _CERTIFICATES:
        path = honoured.get(variable, "")
        if path and not os.path.exists(path):
            message = f"{printable(path)} isn't on this machine"
            hint = "set the path that the file has on the machine of the server"
            yield Remark(OTHER_WAY, variable, message, hint)
    path = settings.tls_certificate
    is_derived = "SSL_TYPE" in honoured and "SSL_CERT_PATH" not in honoured
    if path and is_derived and not os.path.exists(path):
        message = f"its certificate {printable(path)} isn't on this machine"
        yield Remark(OTHER_WAY, "SSL_TYPE", message, "copy it to this path, or remove the variable")
