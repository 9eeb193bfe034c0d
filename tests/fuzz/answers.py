"""What must hold of what we make of other programs' output, whatever they print."""

import asyncio
import functools

from mailroster.base.client_network import network
from mailroster.base.layout import Layout
from mailroster.base.settings import Sources, load
from mailroster.daemons import login_reports
from mailroster.daemons.blocker import Blocker
from mailroster.daemons.login_reports import LoginReport
from mailroster.roster.formats.regexp import REGEXP
from mailroster.servers import doveadm_quota, dovecot_auth, patterns, sessions

_TABLE = "/proc/self/fd/3"
_USERS = {"a@x.com", "b@x.com", "", "info"}


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def postmap_warnings(raw: bytes) -> None:
    """postmap's stderr."""
    for finding in patterns.findings_of(_text(raw), _TABLE):
        assert finding.where.file == REGEXP.file
        assert finding.where.line >= 0
        assert str(finding).isprintable()
        assert _TABLE not in finding.message or raw.count(_TABLE.encode()) > 1


def postmap_results(raw: bytes) -> None:
    """postmap's stdout: nobody gets an answer who did not ask."""
    found = patterns.results_of(_text(raw), ["a@x.com", "b@x.com"])
    assert set(found) <= {"a@x.com", "b@x.com"}
    assert not any("\n" in result for result in found.values())


def doveadm_usages(raw: bytes) -> None:
    """`doveadm -f tab quota get -A`."""
    for usage in doveadm_quota.usages_of(_text(raw)).values():
        assert all(type(number) is int and number >= 0 for number in usage)


def anvil(raw: bytes) -> None:
    """anvil's `CONNECT-DUMP`: what is killed is a process, and somebody's session."""
    text = raw.decode("utf-8", "replace")
    for pid in sessions.pids_of(text, _USERS):
        assert 1 < pid < 1 << 22  # PID_MAX_LIMIT; 0 and below would be whole groups
        assert str(pid) in text


def auth_answers(raw: bytes) -> None:
    """Dovecot's auth: each answer is one of three, to a question by number."""
    for number, known in dovecot_auth.replies_in(raw).items():
        assert number >= 0
        assert known.outcome in (dovecot_auth.FOUND, dovecot_auth.NOT_FOUND, dovecot_auth.FAILED)
        assert str(number).encode() in raw


def login_report(raw: bytes) -> None:
    """A report of a login: its texts can be shown, and have a limit."""
    report = login_reports.parsed(raw)
    if report is not None:
        _is_counted(report)


def _is_counted(report: LoginReport) -> None:
    assert report.login
    assert isinstance(report.success, bool)
    for text in report:
        assert isinstance(text, bool) or (text.isprintable() and len(text) < 1000)
    _blocker().take(report)


@functools.cache
def _blocker() -> Blocker:
    settings = load(Sources({"home": "/s"}, {}, lambda path: b"", lambda path: False))
    return Blocker(settings, Layout("/s"))


_KEY = "0123456789abcdef" * 3


class _Writer:
    """Collects what is written to a connection."""

    def __init__(self) -> None:
        self.written = b""
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    async def drain(self) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True


def login_requests(raw: bytes) -> None:
    """What a client sends to the port for reports of logins; `KEY` stands for Dovecot's key. Only
    requests with the key are answered with 200, and only these have a report."""
    reports = list[LoginReport]()
    writer = _Writer()

    async def connect() -> None:
        reader = asyncio.StreamReader(limit=8 << 10)
        reader.feed_data(raw.replace(b"KEY", _KEY.encode()))
        reader.feed_eof()
        listener = login_reports._Listener(_KEY, reports.append)
        await listener.serve(reader, writer)  # type: ignore[arg-type]

    _loop().run_until_complete(connect())
    assert writer.is_closed
    accepted = writer.written.count(login_reports._ACCEPTED)
    refused = writer.written.count(login_reports._REFUSED)
    assert writer.written == (
        login_reports._ACCEPTED * accepted + login_reports._REFUSED * refused
    ), "a refusal is the last answer"
    assert refused <= 1
    assert len(reports) <= accepted <= raw.count(b"KEY")
    for report in reports:
        _is_counted(report)


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def client(raw: bytes) -> None:
    """The address of a client: the network that stands for it is the same for all of it."""
    try:
        found = network(_text(raw))
    except ValueError:
        return
    assert found.isascii()
    address, slash, prefix = found.partition("/")
    assert (":" in address) == bool(slash)
    assert prefix in ("", "64")
    assert network(address) == found
