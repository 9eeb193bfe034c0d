"""What would be served from the folders of a docker-mailserver, all put together."""

import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from mailroster.app.adopt import known_files, mail_folder, sieve_scripts, state_folder
from mailroster.app.adopt.differences import differences
from mailroster.app.adopt.locate import Place, near
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

#: Where an account's mail lies, if it says so itself (Dovecot: userdb extra fields).
_OWN_PLACE = ("userdb_mail", "userdb_home", "mail", "home")
_NO_FOLDER = "no mail folder is to be found"


class Outlook(NamedTuple):
    """What was found. `mailboxes` counts accounts whose mail is there; `missing` names those
    without a folder, which is made with their first mail."""

    served: dict[str, int]
    mailboxes: int
    missing: list[str]
    queued: dict[str, int]
    remarks: list[Remark]


def roster_of(config: str) -> tuple[Roster, list[Remark]]:
    """The files of a config folder as they stand, without a lock; and which can't be read."""
    documents, found = {}, []
    for field, empty in Roster().documents():
        try:
            raw = look(os.path.join(config, empty.format.file))[0]
        except OSError as error:
            message = f"the file can't be read ({error.strerror})"
            found.append(Remark(FIX, empty.format.file, message, "fix its owner or its mode"))
            raw = b""
        documents[field] = document_of(field, raw, ())
    return Roster(**documents), found


def outlook(place: Place, router: Router, settings: Settings, layout: Layout) -> Outlook:
    """All that can be told of a place without a server. Changes nothing."""
    roster, names = router.roster, sorted(os.listdir(place.config))
    dots = sieve_scripts.keeps_dots(_text(os.path.join(place.config, DOVECOT)))
    remarks = [*place.project.remarks, *differences(router, settings), *known_files.remarks(names)]
    if not dots:
        remarks += sieve_scripts.of_folder(place.config, names)
    mailboxes, missing = 0, list(roster.accounts.counted())
    if place.mail:
        mail = near(place.mail)
        mailboxes, missing, found = _mail(mail, roster, settings)
        remarks += found
        accounts = roster.accounts.counted()
        remarks += sieve_scripts.of_mailboxes(names, mail, accounts, dots=dots)
    else:
        remarks.append(Remark(NOTE, "mail", _NO_FOLDER, "name it with --mail if there is one"))
    queued: dict[str, int] = {}
    if place.state:
        state = state_folder.looked_at(near(place.state), layout)
        queued, remarks = state.queued, [*remarks, *state.remarks]
    served = {**counts(roster), "sieve_scripts": len(scripts_among(names).files)}
    return Outlook(served, mailboxes, missing, queued, in_order(remarks))


def listening(settings: Settings) -> str:
    """The services that would listen, with their ports."""
    return listed(endpoints(settings))


def in_order(remarks: list[Remark]) -> list[Remark]:
    """What has to be fixed first; of one kind as they were found, each once."""
    return sorted(dict.fromkeys(remarks), key=lambda remark: KINDS.index(remark.kind))


def counts(roster: Roster) -> dict[str, int]:
    """How many entries of each kind count."""
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


def _mail(mail: str, roster: Roster, settings: Settings) -> tuple[int, list[str], list[Remark]]:
    if mail_folder.is_maildir(mail):
        message = "the folder is one mailbox, and not one for each account"
        return (
            0,
            list(roster.accounts.counted()),
            [Remark(FIX, mail, message, "name another: --mail")],
        )
    found = mail_folder.listed(mail)
    accounts = roster.accounts
    elsewhere = {key for key, account in accounts.items() if _lies_elsewhere(account)}
    number, missing, remarks = mail_folder.compared(
        mail, found.folders, accounts.counted(), elsewhere
    )
    remarks = [*found.remarks, *remarks]
    foreign = mail_owner.foreign(mail, settings.vmail_uid, settings.vmail_gid)
    remarks += [Remark(FIX, *found) for found in foreign]
    if found.folders:
        remarks += sieve_scripts.nested(mail, sorted(found.folders))
    return number, missing, remarks


def _lies_elsewhere(account: Account) -> bool:
    return bool(account.extra) and any(name in _OWN_PLACE for name, _ in account.fields())


def _text(path: str) -> str:
    try:
        return read(path).decode("utf-8", "replace")
    except OSError:
        return ""  # `check` tells


def of_paths(honoured: Mapping[str, str], settings: Settings, trouble: str) -> Iterator[Remark]:
    """What is to be said of paths that settings name; `trouble` is what a start would refuse."""
    if trouble:
        yield Remark(FIX, "the folders", trouble)
    for variable in ("SSL_CERT_PATH", "SSL_KEY_PATH"):
        path = honoured.get(variable, "")
        if path and not os.path.exists(path):
            message = f"{printable(path)} isn't on this machine"
            yield Remark(
                OTHER_WAY, variable, message, "name it as it is called where the server runs"
            )
    path = settings.tls_certificate
    is_derived = "SSL_TYPE" in honoured and "SSL_CERT_PATH" not in honoured
    if path and is_derived and not os.path.exists(path):
        message = f"its certificate {printable(path)} isn't on this machine"
        yield Remark(OTHER_WAY, "SSL_TYPE", message, "put it there, or leave the variable out")
