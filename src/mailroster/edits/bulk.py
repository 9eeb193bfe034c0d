"""The verb for many rows at once: what `add_account`, `add_alias` and the like do one by one.

The same rules hold as for the single commands, as if the accounts came first and then the aliases;
but each file is changed once, and loops and limits of aliases are judged once, for the whole.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from mailroster.base.address import fold
from mailroster.base.findings import ERROR, WARNING, Finding, ParseError, Refused
from mailroster.edits.rows import AccountRow, Row, Rows
from mailroster.roster.documents.document import Document
from mailroster.roster.formats import accounts, credentials, quotas, virtual
from mailroster.roster.formats.accounts import Account
from mailroster.roster.formats.quotas import Quota
from mailroster.roster.formats.virtual import Alias
from mailroster.roster.roster import Roster
from mailroster.routing.change import dependents
from mailroster.routing.router import NotFollowed, Router

E = TypeVar("E")

DONE = ADDED, CHANGED, UNCHANGED = "added", "changed", "unchanged"


class Merged(NamedTuple):
    """What rows make of a roster."""

    roster: Roster
    rows: list[Row]  # those that are in it
    findings: list[Finding]  # of those that are not, and warnings
    counts: Mapping[tuple[str, str], int]  # ("account" or "alias", ADDED …) -> rows


class BadRows(Refused):
    """Some rows can't be taken, and so none is."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        bad = sum(finding.severity == ERROR for finding in findings)
        super().__init__(f"{bad} bad row{'s' * (bad != 1)}; nothing was changed")
        self.findings = findings


def add_rows(
    roster: Roster,
    given: Rows,
    route: Callable[[Roster], Router],
    *,
    update: bool = False,
    skip_bad: bool = False,
) -> Merged:
    """With the accounts, quotas and aliases of some rows, whose passwords have become hashes.

    What exists already is a fault, unless it is to be updated: then it gets what its row says, and
    keeps what the row doesn't say. Raises BadRows with everything that is wrong; bad rows may be
    skipped, but not what would harm an alias that was there before.
    """
    rows, findings = given.rows, [*given.findings]
    while True:
        merged = _merge(roster, rows, update=update)
        loops: list[Finding] = []
        if merged.roster.virtual.text != roster.virtual.text:
            loops = _unreasonable(route(roster), route(merged.roster), merged.rows)
        findings += [*merged.findings, *loops]
        bad = {finding.where for finding in loops}
        rows = [row for row in merged.rows if row.where not in bad]
        if not skip_bad or len(rows) == len(merged.rows):
            break
    findings = sorted([*findings, *_taken_over(merged.roster, rows)])
    if loops or (not skip_bad and any(finding.severity == ERROR for finding in findings)):
        raise BadRows(findings)
    return merged._replace(findings=findings)


class _Changes:
    """What becomes of the lines of one document."""

    def __init__(self) -> None:
        self.replaced: dict[int, str | None] = {}
        self.appended: list[str] = []

    def put(self, position: int | None, line: str) -> None:
        if position is None:
            self.appended.append(line)
        else:
            self.replaced[position] = line

    def __len__(self) -> int:
        return len(self.replaced) + len(self.appended)

    def made(self, document: Document[E]) -> Document[E]:
        return document.edited(self.replaced, self.appended) if self else document


def _merge(roster: Roster, rows: Iterable[Row], *, update: bool) -> Merged:
    """The rows in their files; whether Postfix can follow the aliases is not judged."""
    merging = _Merging(roster, update)
    good, findings = [], []
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        try:
            if isinstance(row.entry, Alias):
                done = "alias", merging.alias(row.entry)
            else:
                done = "account", merging.account(row.entry)
        except ParseError as fault:
            findings.append(fault.at(row.where))
        else:
            good.append(row)
            counts[done] = counts.get(done, 0) + 1
    return Merged(merging.made(), good, findings, counts)


class _Merging:
    """A roster and the changes to it that have come together so far."""

    def __init__(self, roster: Roster, update: bool) -> None:
        self._roster, self._update = roster, update
        self._accounts, self._quotas, self._virtual = _Changes(), _Changes(), _Changes()

    def made(self) -> Roster:
        return self._roster._replace(
            accounts=self._accounts.made(self._roster.accounts),
            quotas=self._quotas.made(self._roster.quotas),
            virtual=self._virtual.made(self._roster.virtual),
        )

    def account(self, row: AccountRow) -> str:
        """Puts an account in, and says what that changes. Raises ParseError, with nothing done."""
        document = self._roster.accounts
        old = document.get(row.address)
        if old is None:
            if row.address in self._roster.virtual:
                message = f"{row.address!r} is an alias already"
                raise ParseError("exists-already", message, "delete it first")
            if not row.hash:
                message = f"the new account {row.address!r} has no password"
                raise ParseError("no-password", message, "give a password or a hash")
            self._accounts.put(None, accounts.line(Account(row.address, row.hash, row.extra)))
            self._quota(row)
            return ADDED
        if not self._update:
            message = f"account {row.address!r} exists already"
            raise ParseError(
                "exists-already", message, "change it with --update, or leave the row out"
            )
        lasting = row.hash and credentials.is_locked(old.password)
        hash = credentials.locked(row.hash) if lasting else row.hash
        new = Account(row.address, hash or old.password, row.extra or old.extra)
        changed = self._quota(row)
        if new != old:
            position = document.position(row.address)
            assert position is not None, "it counts"
            line = document.line(position)
            extra = new.extra if new.extra != old.extra else None
            self._accounts.put(position, accounts.changed_line(line, new.password, extra))
        return CHANGED if changed or new != old else UNCHANGED

    def _quota(self, row: AccountRow) -> bool:
        """Puts the quota of an account in, and says whether that changes anything."""
        document = self._roster.quotas
        old = document.get(row.address)
        quota = Quota(row.address, row.quota)
        if not row.quota or quota == old:
            return False
        position = document.position(row.address)
        line = quotas.line(quota)
        if position is not None:
            line = quotas.changed_line(document.line(position), row.quota)
        self._quotas.put(position, line)
        return True

    def alias(self, alias: Alias) -> str:
        """Puts an alias in, and says what that changes. Raises ParseError, with nothing done."""
        document = self._roster.virtual
        old = document.get(alias.key)
        if old is not None and not self._update:
            message = f"alias {alias.key!r} exists already"
            raise ParseError(
                "exists-already", message, "change it with --update, or leave the row out"
            )
        if old == alias:
            return UNCHANGED
        self._virtual.put(document.position(alias.key), virtual.line(*alias))
        return ADDED if old is None else CHANGED


def _unreasonable(before: Router, after: Router, rows: Iterable[Row]) -> list[Finding]:
    """The aliases that Postfix can't follow to their end: those of the rows, and those that were
    there before and could be followed then.
    """
    old, new = before.roster.virtual, after.roster.virtual
    places = {row.entry.key: row.where for row in rows if isinstance(row.entry, Alias)}
    changed = {key for key in places if new.get(key) != old.get(key)}
    before, after = before.remembering(), after.remembering()
    found = []
    for key in sorted(changed | dependents(after, changed)):
        fault = _fault(after, key)
        if fault and (key in changed or not _fault(before, key)):
            where = places.get(key) or new.location(new.position(key))
            found.append(fault.at(where))
    return found


def _fault(router: Router, key: str) -> ParseError | None:
    try:
        router.follow(key)
    except NotFollowed:
        return None
    except ParseError as fault:
        return fault
    return None


def _taken_over(roster: Roster, rows: Iterable[Row]) -> list[Finding]:
    """A warning for each alias of the rows that takes the mail of a mailbox away."""
    found = []
    for where, entry in rows:
        if (
            isinstance(entry, Alias)
            and entry.key in roster.accounts
            and entry.key not in map(fold, entry.recipients)
        ):
            message = f"{entry.key!r} has a mailbox, which gets no mail from now on"
            hint = "add it to the recipients to keep it"
            found.append(Finding(where, WARNING, "alias-on-mailbox", message, hint))
    return found
