"""Completes changes of the mail folder that were interrupted: renames of mailboxes, and deletions
of the mailboxes of deleted accounts."""

from collections.abc import Callable, Collection, Sequence

from mailroster.base.address import Address, split
from mailroster.base.findings import Refused, TryAgain
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.roster.roster import Roster
from mailroster.servers.mailbox_moves import Mover, complete_moves
from mailroster.servers.mailboxes import MailFolder, mail_folder
from mailroster.servers.move_journal import MoveJournal


def mover_of(settings: Settings, layout: Layout) -> Mover:
    """The mover for the mailboxes of an instance."""
    return Mover(settings.config, mail_folder(settings), layout)


def finish_moves(
    settings: Settings,
    layout: Layout,
    folder_roster: Callable[[], Roster],
    live_roster: Callable[[], Roster | None],
) -> None:
    """Completes or rolls back the renames of mailboxes, unless another process is at work on one.

    `folder_roster` reads the config folder, `live_roster` the roster that is served, None for none.
    Raises Refused.
    """
    try:
        with MoveJournal(settings.config, 0) as journal:
            complete_moves(journal, mover_of(settings, layout), folder_roster, live_roster)
    except TryAgain:
        pass
    except (Refused, OSError) as error:
        raise Refused(f"the rename of a mail folder is not complete: {error}") from error


def finish_deletions(
    settings: Settings, folder: Roster, live: Roster, domains: Sequence[str] = ()
) -> int:
    """Deletes the mailboxes of deleted accounts that are neither in the config folder nor served,
    and returns their number. `domains`: search only these, if any is named.

    Raises TryAgain, Refused and OSError.
    """
    known, served = folder.accounts.__contains__, live.accounts.__contains__
    return mail_folder(settings).finish_deletions(known, served, domains)


def delete_mailboxes(mail: MailFolder, addresses: Sequence[Address]) -> None:
    """Deletes mailboxes whose deletion was interrupted, before their accounts are added again."""
    if not addresses:
        return
    mail.set_aside(addresses)
    mail.withdraw(addresses)
    mail.purge(domains_of(addresses))


def domains_of(addresses: Collection[Address]) -> list[str]:
    return sorted({split(address)[1] for address in addresses})
