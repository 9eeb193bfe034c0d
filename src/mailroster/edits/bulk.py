"""The edit that adds many accounts and aliases at once.

The rules are those of `add_account`, `add_alias` and the like, one account after the other and then
the aliases; but each file is changed once, and the routes of all aliases are checked at the end.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from mailroster.base.address import Address, fold, split
from mailroster.base.findings import ERROR, WARNING, Finding, ParseError, Refused
from mailroster.edits.rows import AccountRow, Row, Rows
from mailroster.roster.documents import notes
from mailroster.roster.documents.document import Document
from mailroster.roster.formats import accounts, app_passwords, credentials, quotas, virtual
from mailroster.roster.formats.accounts import Account
from mailroster.roster.formats.quotas import Quota
from mailroster.roster.formats.virtual import Alias
from mailroster.roster.roster import Roster
from mailroster.routing.change import dependents
from mailroster.routing.router import NotFollowed, Router

E = TypeVar("E")

DONE = ADDED, CHANGED, UNCHANGED = "added", "changed", "unchanged"


class MergeResult(NamedTuple):
    """The result of adding rows to a roster."""

    roster: Roster
    rows: list[Row]  # the added ones
    findings: list[Finding]  # about the bad ones, and warnings
    counts: Mapping[tuple[str, str], int]  # ("account" or "alias", ADDED …) -> rows


class BadRows(Refused):
    """Some rows are bad, so none is added."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        bad = sum(finding.severity == ERROR for finding in findings)
        super().__init__(f"{bad} bad row{'' if bad == 1 else 's'}; nothing was changed")
        self.findings = findings


def add_rows(
    roster: Roster,
    source: Rows,
    router_of: Callable[[Roster], Router],
    *,
    update: bool = False,
    skip_bad: bool = False,
) -> MergeResult:
    """Adds the accounts, quotas and aliases of rows, whose passwords are hashes already.

    An entry that exists is an error, unless `update` is set: then it gets the values of its row,
    and keeps those that the row leaves out. Raises BadRows with all findings. Bad rows can be
    skipped, but not those that would break an alias that was there before.
    """
    rows, findings = source.rows, [*source.findings]
    while True:
        merged = _merge(roster, rows, update=update)
        loops: list[Finding] = []
        if merged.roster.virtual.text != roster.virtual.text:
            loops = _unreasonable(router_of(roster), router_of(merged.roster), merged.rows)
        findings += [*merged.findings, *loops]
        bad = {finding.where for finding in loops}
        rows = [row for row in merged.rows if row.where not in bad]
        if not skip_bad or len(rows) == len(merged.rows):
            break
    findings = sorted([*findings, *_redirected(merged.roster, rows)])
    if loops or (not skip_bad and any(finding.severity == ERROR for finding in findings)):
        raise BadRows(findings)
    return merged._replace(findings=findings)


class _Changes:
    """The changes to the lines of one document."""

    def __init__(self) -> None:
        self.replaced: dict[int, str | None] = {}
        self.appended: list[str] = []

    def put(self, position: int | None, line: str | None) -> None:
        """Replaces the line at a position, or removes it; without a position, appends it."""
        if position is None:
            assert line is not None, "there is a line to append"
            self.appended.append(line)
        else:
            self.replaced[position] = line

    def __len__(self) -> int:
        return len(self.replaced) + len(self.appended)

    def applied_to(self, document: Document[E]) -> Document[E]:
        return document.edited(self.replaced, self.appended) if self else document


def _merge(roster: Roster, rows: Iterable[Row], *, update: bool) -> MergeResult:
    """Adds the rows; whether Postfix can follow the aliases is not checked."""
    merging = _Merging(roster, update)
    good, findings = [], []
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        try:
            if isinstance(row.entry, Alias):
                result = "alias", merging.add_alias(row.entry)
            else:
                result = "account", merging.add_account(row.entry)
        except ParseError as fault:
            findings.append(fault.at(row.where))
        else:
            good.append(row)
            counts[result] = counts.get(result, 0) + 1
    return MergeResult(merging.result(), good, findings, counts)


class _Merging:
    """A roster and the collected changes to it."""

    def __init__(self, roster: Roster, update: bool) -> None:
        self._roster, self._update = roster, update
        self._accounts, self._quotas, self._virtual = _Changes(), _Changes(), _Changes()
        self._app_passwords = _Changes()

    def result(self) -> Roster:
        return self._roster._replace(
            accounts=self._accounts.applied_to(self._roster.accounts),
            quotas=self._quotas.applied_to(self._roster.quotas),
            virtual=self._virtual.applied_to(self._roster.virtual),
            app_passwords=self._app_passwords.applied_to(self._roster.app_passwords),
        )

    def add_account(self, row: AccountRow) -> str:
        """Adds or updates an account; ADDED, CHANGED or UNCHANGED. Raises ParseError before any
        change."""
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
            self._set_quota(row)
            self._remove_app_passwords_of_former_owner(row.address)
            for entry in row.parsed_app_passwords():
                self._app_passwords.put(None, app_passwords.line(entry))
            return ADDED
        if not self._update:
            message = f"account {row.address!r} exists already"
            raise ParseError(
                "exists-already", message, "change it with --update, or leave the row out"
            )
        stays_locked = row.hash and credentials.is_locked(old.password)
        hash = credentials.locked(row.hash) if stays_locked else row.hash
        new = Account(row.address, hash or old.password, row.extra or old.extra)
        changed = self._set_quota(row)
        changed = self._set_app_passwords(row) or changed
        if new != old:
            position = document.position(row.address)
            assert position is not None, "an entry that counts has a line"
            line = document.line(position)
            extra = new.extra if new.extra != old.extra else None
            self._accounts.put(position, accounts.changed_line(line, new.password, extra))
        return CHANGED if changed or new != old else UNCHANGED

    def _set_quota(self, row: AccountRow) -> bool:
        """Sets the quota of an account, and returns whether it changes."""
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

    def _set_app_passwords(self, row: AccountRow) -> bool:
        """Adds the app passwords of a row, and replaces those with the same label; returns whether
        one changes. The account keeps its others."""
        document, changed = self._roster.app_passwords, False
        for entry in row.parsed_app_passwords() if row.app_passwords else ():
            if document.get(entry.key) != entry:
                self._app_passwords.put(document.position(entry.key), app_passwords.line(entry))
                changed = True
        return changed

    def _remove_app_passwords_of_former_owner(self, address: Address) -> None:
        """As `edits.accounts.add_account` does."""
        document = self._roster.app_passwords
        for key in document.keys_mentioning(*split(address)):
            for position in document.positions(key):
                for line in notes.removing(document, position):
                    self._app_passwords.put(line, None)

    def add_alias(self, alias: Alias) -> str:
        """Adds or updates an alias; ADDED, CHANGED or UNCHANGED. Raises ParseError before any
        change."""
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
    """Findings about aliases that Postfix can't follow to their end: those of the rows, and those
    that it could follow before."""
    old, new = before.roster.virtual, after.roster.virtual
    places = {row.entry.key: row.where for row in rows if isinstance(row.entry, Alias)}
    changed = {key for key in places if new.get(key) != old.get(key)}
    before, after = before.remembering(), after.remembering()
    findings = []
    for key in sorted(changed | dependents(after, changed)):
        fault = _fault(after, key)
        if fault and (key in changed or not _fault(before, key)):
            where = places.get(key) or new.location(new.position(key))
            findings.append(fault.at(where))
    return findings


def _fault(router: Router, key: str) -> ParseError | None:
    fault = router.fault_of(key)
    return None if isinstance(fault, NotFollowed) else fault


def _redirected(roster: Roster, rows: Iterable[Row]) -> list[Finding]:
    """A warning for each alias of the rows that redirects all mail of a mailbox."""
    findings = []
    for where, entry in rows:
        if (
            isinstance(entry, Alias)
            and entry.key in roster.accounts
            and entry.key not in map(fold, entry.recipients)
        ):
            message = f"the mailbox {entry.key!r} gets no mail from now on: the alias redirects it"
            hint = f"add {entry.key!r} to the recipients to keep a copy"
            findings.append(Finding(where, WARNING, "alias-on-mailbox", message, hint))
    return findings
