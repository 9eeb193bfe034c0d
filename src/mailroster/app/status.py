"""What runs, what is served, and what waits."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from mailroster.app import expire
from mailroster.app.home import Home
from mailroster.app.server_findings import waiting
from mailroster.base.findings import Finding
from mailroster.publish.reconcile import outlook
from mailroster.servers import in_force, running
from mailroster.servers.health import silent
from mailroster.servers.overrides import ignored
from mailroster.system.stability import Settling


class Published(NamedTuple):
    """What is served, and how that differs from what the folder says."""

    live: Mapping[str, int]  # file -> entries that are served
    skipped: Mapping[str, int]  # file -> lines with errors
    held: tuple[Finding, ...]
    in_step: bool  # whether every line of every file is served, and nothing else


class Status(NamedTuple):
    """`pids`: the process of each part, None if it does not run. `published` is None if no server
    was ever started. `ignored`: settings of the servers that have no effect."""

    pids: dict[str, int | None]
    published: Published | None
    ignored: list[str]


def status(home: Home) -> Status:
    layout = home.layout
    pids = {
        ("watch" if layout.kind == "host" else "up"): running.up_pid(layout),
        "postfix": running.postfix_pid(layout),
        "dovecot": running.dovecot_pid(layout),
        "policy": running.policy_pid(layout),
    }
    return Status(pids, _published(home), ignored(home.settings))


def _published(home: Home) -> Published | None:
    tables = home.tables()
    if not tables.exist():
        return None
    served = tables.copies.roster()
    store, layout = home.store(), home.layout
    foreseen = outlook(store, tables, Settling(home.settings.settle_seconds))
    live = {d.format.file: sum(1 for _ in d.items()) for _, d in served.documents()}
    late = expire.waiting(store, layout)
    held = (*foreseen.held, *waiting(home.settings, layout), *late)
    skipped = Counter(foreseen.skipped)
    if foreseen.in_step:
        skipped += Counter(tables.without_row(live))
    return Published(live, skipped, held, foreseen.in_step and not held and not skipped)


def silent_servers(home: Home) -> list[str]:
    """The services that don't greet a client that connects, as `SMTP on 127.0.0.1:25`."""
    return silent(in_force.ports(home.settings, home.layout))


def are_running(home: Home) -> bool:
    """Whether both Postfix and Dovecot run."""
    layout = home.layout
    return running.postfix_pid(layout) is not None and running.dovecot_pid(layout) is not None
