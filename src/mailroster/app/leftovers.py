"""What a command that was cut short has left in the mail folder: renamed mailboxes that are not in
their place yet, and mailboxes of deleted accounts."""

from collections.abc import Callable, Collection, Sequence

from mailroster.base.address import Address, split
from mailroster.base.findings import Refused, TryAgain
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.roster.roster import Roster
from mailroster.servers.mailbox_moves import MoveJournal, Mover, settle
from mailroster.servers.mailboxes import MailFolder, mail_folder


def mover_of(settings: Settings, layout: Layout) -> Mover:
    """What moves the mailboxes of an instance."""
    return Mover(settings.config, mail_folder(settings), layout)


def finish_moves(
    settings: Settings,
    layout: Layout,
    folder_roster: Callable[[], Roster],
    live_roster: Callable[[], Roster | None],
) -> None:
    """Completes or takes back the renames of mailboxes, but for one that another process is doing.

    `folder_roster` reads the config folder, `live_roster` what is served, None if nothing is.
    Raises Refused.
    """
    try:
        with MoveJournal(settings.config, 0) as record:
            settle(record, mover_of(settings, layout), folder_roster, live_roster)
    except TryAgain:
        pass
    except (Refused, OSError) as error:
        raise Refused(f"a renamed mail folder is not in its place: {error}") from error


def finish_deletions(
    settings: Settings, says: Roster, serves: Roster, domains: Sequence[str] = ()
) -> int:
    """Deletes the mailboxes of accounts that are neither in the config folder nor served; returns
    their number. `domains`: search only these, if any is named.

    Raises TryAgain, Refused and OSError.
    """
    known, live = says.accounts.__contains__, serves.accounts.__contains__
    return mail_folder(settings).finish_deletions(known, live, domains)


def delete_mailboxes(mail: MailFolder, addresses: Sequence[Address]) -> None:
    """Deletes mailboxes whose deletion was cut short, before their accounts are added again."""
    if not addresses:
        return
    mail.set_aside(addresses)
    mail.withdraw(addresses)
    mail.purge(domains_of(addresses))


def domains_of(addresses: Collection[Address]) -> list[str]:
    return sorted({split(address)[1] for address in addresses})
