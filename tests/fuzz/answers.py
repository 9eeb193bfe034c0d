"""What must hold of what we make of other programs' output, whatever they print."""

from mailroster.daemons import login_reports
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
        assert report.login
        assert isinstance(report.success, bool)
        for text in (report.login, report.service, report.remote, report.app):
            assert text.isprintable()
            assert len(text) < 1000
