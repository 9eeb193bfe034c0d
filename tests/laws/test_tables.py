"""Laws of compiling: the same roster gives the same tables, and a delta leads to what a full build
gives, whatever was changed."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroster.apply import in_memory, tables_for
from mailroster.changes import change, changed_keys
from mailroster.compile import dovecot, postfix
from mailroster.compile.fields import VERSIONS
from mailroster.document import Document
from mailroster.finding import Fault
from mailroster.resolve import Router
from mailroster.roster import Roster
from mailroster.tables import Row, Rows, delta, difference, full
from tests.laws.texts import FORMATS, HASH, document, formats, raw

ORIGIN = "host.test"

users = st.sampled_from(["a", "b", "any", "a+t", "postmaster", "abuse"])
domains = st.sampled_from(["x.com", "y.org", ORIGIN, "xn--bcher-kva.de", "bücher.de", "X.com"])
addresses = st.builds("{}@{}".format, users, domains)
#: As recipients also what trivial-rewrite(8) makes addresses of.
targets = st.one_of(
    addresses, addresses, users, domains.map("@{}".format), domains.map("b%{}".format),
    domains.map("{}!a".format), st.just("a@x.com."), st.just("far@else.where"),
)  # fmt: skip
keys = st.one_of(addresses, addresses, users, domains.map("@{}".format))
blanks = st.sampled_from([",", ", ", " ", "\t", ",\n  "])

lines: dict[str, st.SearchStrategy[str]] = {
    "accounts": st.builds(
        "{}|{}{}".format,
        addresses,
        st.sampled_from([HASH, "{PLAIN}other"]),
        st.sampled_from(["", "|nologin", "|userdb_home=/h userdb_mail=mbox:~/m", "|fail=1"]),
    ),
    "quotas": st.builds("{}:{}".format, addresses, st.sampled_from(["1G", "2g", "0", "bad"])),
    "virtual": st.builds(
        lambda key, some, blank: f"{key} {blank.join(some)}",
        keys, st.lists(targets, max_size=3), blanks,
    ),
    "regexp": st.sampled_from(["/^any@/ a@x.com", "/^b@(.*)/ a@$1", "/(.*)@y.org/ $1", "/^a/ b"]),
    "masters": st.sampled_from([f"info|{HASH}", f"Info|{HASH}", "root|{PLAIN}x"]),
    "send_access": st.builds("{} {}".format, keys, st.sampled_from(["REJECT", "OK", ""])),
    "receive_access": st.builds("{} REJECT".format, keys),
    "sender_logins": st.builds(
        lambda key, some, blank: f"{key} {blank.join(some)}",
        keys, st.lists(addresses, max_size=3), blanks,
    ),
    "local_aliases": st.builds(
        lambda key, some: f"{key}: {', '.join(some)}",
        users,
        st.lists(st.one_of(addresses, users, st.sampled_from(["|x", "/dev/null"])), max_size=3),
    ),
    "relaymap": st.builds(
        "{} {}".format, keys, st.sampled_from(["[r.test]:25", "[r.test]:465", "", "a, b", ":x"])
    ),
    "sasl_passwords": st.builds("{} {}".format, keys, st.sampled_from(["u:p", "u:p q", "u", ""])),
}  # fmt: skip
#: One step of a history: a file, what it loses at a place, and what it gets there.
steps = st.sampled_from(Roster._fields).flatmap(
    lambda field: st.tuples(
        st.just(field), st.integers(0, 5), st.integers(0, 2), st.lists(lines[field], max_size=2)
    )
)


def rostered(texts: dict[str, str]) -> Roster:
    documents: dict[str, Any] = {
        field: Document(format, texts[field])
        for field, format in zip(Roster._fields, FORMATS, strict=True)
    }
    return Roster(**documents)


def router(roster: Roster) -> Router:
    captured = captures(roster.regexp.text)
    return Router(roster, ORIGIN, captured, postmaster="A@x.com")


def captures(rules: str) -> Callable[[str], str | None]:
    """What pcre would make of an address by the rules above."""

    def captured(address: str) -> str | None:
        local, _, domain = address.lower().rpartition("@")
        for rule in rules.split("\n"):
            if rule.startswith("/^any@/") and local == "any":
                return "a@x.com"
            if rule.startswith("/^b@") and local == "b":
                return f"a@{domain}"
            if rule.startswith("/(.*)@y") and domain == "y.org":
                return local.strip('"')
            if rule.startswith("/^a/") and local.startswith("a"):
                return "b"
        return None

    return captured


def step(texts: dict[str, str], edit: tuple[str, int, int, list[str]]) -> dict[str, str]:
    field, place, lost, come = edit
    old = texts[field].split("\n")[:-1]
    new = [*old[:place], *come, *old[place + lost :]]
    return {**texts, field: "".join(f"{line}\n" for line in new)}


texts = st.fixed_dictionaries(
    {field: st.lists(lines[field], max_size=4).map("\n".join).map("{}\n".format) for field in lines}
)

versions = st.sampled_from(VERSIONS)


@given(texts, st.lists(steps, min_size=1, max_size=5), versions)
def test_deltas_over_a_history_lead_to_what_a_full_build_gives(
    start: dict[str, str], history: list[tuple[str, int, int, list[str]]], version: str
) -> None:
    now = start
    before = router(rostered(now))
    tables: dict[str, Rows] = {table.name: full(table, before) for table in tables_for(version)}
    for edit in history:
        now = step(now, edit)
        after = router(rostered(now))
        changed = change(before, after)
        large = in_memory(changed)
        for table in tables_for(version):
            assert delta(table, large) == delta(table, changed)
            for key, row in delta(table, changed).items():
                put(tables[table.name], key, row)
            assert tables[table.name] == full(table, after), (table.name, edit)
        before = after


def put(rows: Rows, key: str, row: Row | None) -> None:
    if row is None:
        rows.pop(key, None)
    else:
        rows[key] = row


@given(texts)
def test_the_short_way_leads_where_the_long_one_does(files: dict[str, str]) -> None:
    found = router(rostered(files))
    for key in found.roster.virtual.counted():
        try:
            recipients = found.expand(key)
        except Fault:
            with pytest.raises(Fault):
                found.walk(key)
        else:
            assert found.walk(key) == recipients


@given(texts, versions)
def test_compiling_is_deterministic(files: dict[str, str], version: str) -> None:
    for table in tables_for(version):
        one = full(table, router(rostered(files)))
        other = full(table, router(rostered(files)))
        assert one == other
        assert difference(one, other) == {}


#: Those that are about what is not ASCII.
SPELT = {dovecot.SPELLINGS.name, dovecot.SpeltExceptions.name, postfix.SPELLINGS.name}


@given(texts, versions)
def test_every_key_and_value_can_stand_in_a_table(files: dict[str, str], version: str) -> None:
    for table in tables_for(version):
        if table is postfix.REGEXP:
            continue
        for key, row in full(table, router(rostered(files))).items():
            assert not any("A" <= char <= "Z" for char in key)
            fields = [row] if isinstance(row, str) else [field for field in row if field]
            for text in (key, *fields):
                assert text
                assert text.isascii() or table.name in SPELT
                assert text.isprintable()


@given(texts, texts, versions)
def test_the_difference_turns_one_table_into_the_other(
    one: dict[str, str], other: dict[str, str], version: str
) -> None:
    for table in tables_for(version):
        rows, wanted = full(table, router(rostered(one))), full(table, router(rostered(other)))
        for key, row in difference(rows, wanted).items():
            put(rows, key, row)
        assert rows == wanted


@given(formats.filter(lambda format: not format.ordered), raw, st.data())
def test_changed_keys_names_every_key_whose_entry_differs(
    format: Any, content: bytes, data: st.DataObject
) -> None:
    before = document(format, content)
    kept = [line for line in before.lines if data.draw(st.booleans())]
    shuffled = data.draw(st.permutations(kept)) if data.draw(st.booleans()) else kept
    after = document(format, "\n".join(shuffled).encode("utf-8", "surrogateescape"))
    for one, other in ((before, after), (after, before)):
        named = changed_keys(one, other)
        for key in {*before.index, *after.index}:
            assert key in named or one.get(key) == other.get(key), key
