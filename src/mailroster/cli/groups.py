"""The groups of commands in `setup help`."""

from typing import NamedTuple


class Group(NamedTuple):
    """The commands that begin with one of `words`, by default with the name of the group."""

    name: str
    summary: str
    words: tuple[str, ...] = ()


#: All groups under their headings, the most used first.
HEADINGS = {
    "Entries of the files, as in 'setup email add'": (
        Group("email", "accounts"),
        Group("alias", "addresses that lead to others, catch-alls"),
        Group("quota", "limits of mailboxes"),
        Group("regexp", "aliases by pattern"),
        Group("sender", "rights to send as another address"),
        Group("relay", "servers through which mail leaves"),
        Group("dovecot-master", "users who may log in as any account"),
        Group("sieve", "Sieve scripts"),
        Group("overlay", "local changes of a read-only folder"),
    ),
    "Questions and changes, as in 'setup check'": (
        Group("inspect", "routes and mistakes", ("explain", "map", "check", "dns", "diff")),
        Group("history", "earlier changes", ("log", "undo")),
        Group("bulk", "many entries at once", ("import", "export")),
    ),
    "Servers, as in 'setup up'": (
        Group(
            "server",
            "a mail server, its DKIM keys",
            ("up", "filter", "status", "health", "apply", "adopt", "config", "dkim", "block"),
        ),
        Group("host", "the host's own servers", ("tables", "watch", "integrate")),
        Group("debug", "shell and logs of a server"),
        Group("shell", "this program", ("completion", "version")),
    ),
}
GROUPS = {group.name: group for groups in HEADINGS.values() for group in groups}
