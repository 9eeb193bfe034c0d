"""The status of a server: its processes, the entries that are served, and those that wait."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from mailroster.app import expire
from mailroster.app.certificate import Certificate, certificates_in_use
from mailroster.app.home import Home
from mailroster.app.server_findings import waiting
from mailroster.base.findings import Finding, Refused
from mailroster.publish.live_tables import aliases_without_row
from mailroster.publish.reconcile import outlook
from mailroster.servers import in_force, running, signer
from mailroster.servers.health import silent
from mailroster.servers.overrides import ignored
from mailroster.servers.spam_filter import without_redis
from mailroster.system.stability import Settling


class Published(NamedTuple):
    """The entries that are served, and how they differ from the config folder."""

    live: Mapping[str, int]  # file -> entries
    skipped: Mapping[str, int]  # file -> lines with errors
    waiting: tuple[Finding, ...]  # about changes that are not in force
    in_step: bool  # exactly the lines of the files are served


#: Of a state folder in which no server was ever started.
NOTHING = Published({}, {}, (), in_step=False)


class BlockCount(NamedTuple):
    """The number of blocked clients, and of accounts that are closed to unknown clients. Both are
    None if they can't be read; `why` says why."""

    clients: int | None
    accounts: int | None
    why: str = ""


class Status(NamedTuple):
    """`pids`: the process ID of each part that has to run, None if it does not. `published` is None
    if no server was ever started. `ignored` are settings of the servers that have no effect.
    `blocked` is None if no client is ever blocked."""

    pids: dict[str, int | None]
    published: Published | None
    ignored: list[str]
    certificates: list[Certificate]
    blocked: BlockCount | None


def status(home: Home) -> Status:
    layout = home.layout
    pids = {
        ("watch" if layout.kind == "host" else "up"): running.up_pid(layout),
        "postfix": running.postfix_pid(layout),
        "dovecot": running.dovecot_pid(layout),
        "policy": running.policy_pid(layout),
        **option_pids(home),
    }
    certificates = certificates_in_use(home.settings, layout, home.warn)
    without = (finding.message for finding in without_redis(home.settings))
    notes = [*ignored(home.settings), *without]
    return Status(pids, _published(home, certificates), notes, certificates, _blocked(home))


def option_pids(home: Home) -> dict[str, int | None]:
    """The processes of the options that are on, name -> pid, None for one that does not run."""
    settings, layout = home.settings, home.layout
    pids = {
        signer.process_name(kind): running.signer_pid(layout, kind)
        for kind in signer.expected(settings, layout)
    }
    if settings.enable_srs and layout.kind != "host":
        pids["postsrsd"] = running.srs_pid(layout)
    if settings.enable_rspamd and settings.rspamd_process:
        pids["rspamd"] = running.filter_pid(layout)
    return pids


def _blocked(home: Home) -> BlockCount | None:
    if not home.settings.block_guessing or home.layout.kind == "host":
        return None
    from mailroster.app.blocks import blocks  # only where the option is on

    try:
        current = blocks(home)
    except Refused as error:
        return BlockCount(None, None, str(error))
    return BlockCount(len(current.clients), len(current.accounts))


def _published(home: Home, certificates: Iterable[Certificate]) -> Published | None:
    tables = home.tables()
    if not tables.exist():
        return None
    served = tables.copies.roster()
    store, layout = home.store(), home.layout
    forecast = outlook(store, tables, Settling(home.settings.settle_seconds))
    live = {d.format.file: sum(1 for _ in d.items()) for _, d in served.documents()}
    expired = expire.waiting(store, layout)
    refused = [each.refusal for each in certificates if each.refusal]
    pending = (*forecast.pending, *waiting(home.settings, layout), *expired, *refused)
    skipped = Counter(forecast.skipped)
    if forecast.in_step:
        skipped += Counter(aliases_without_row(layout, live))
    return Published(live, skipped, pending, forecast.in_step and not pending and not skipped)


def silent_servers(home: Home) -> list[str]:
    """The services that don't greet a client, as `SMTP on 127.0.0.1:25`."""
    return silent(in_force.ports(home.settings, home.layout))


def are_running(home: Home) -> bool:
    """Whether both Postfix and Dovecot run."""
    layout = home.layout
    return running.postfix_pid(layout) is not None and running.dovecot_pid(layout) is not None
