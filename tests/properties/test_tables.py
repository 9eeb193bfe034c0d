"""Laws of compiling: the same roster gives the same tables, and a delta leads to what a full build
gives, whatever was changed."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailroster.base.findings import ParseError
from mailroster.publish.live_tables import in_memory
from mailroster.publish.tables import dovecot, postfix
from mailroster.publish.tables.order import tables_for
from mailroster.publish.tables.table import Changes, Row, Rows, delta, full
from mailroster.roster.documents.compare import changed_keys
from mailroster.roster.documents.document import Document
from mailroster.roster.dovecot.versions import VERSIONS
from mailroster.roster.roster import Roster
from mailroster.routing.change import change
from mailroster.routing.router import Router
from tests.support.texts import DIGEST, FORMATS, HASH, document, formats, raw

ORIGIN = "host.test"

users = st.sampled_from(["a", "b", "any", "a+t", "postmaster", "abuse", "two", "all"])
domains = st.sampled_from(["x.com", "y.org", ORIGIN, "xn--bcher-kva.de", "bücher.de", "X.com"])
#: Some of them often: an account, its quota and an alias for it have to meet.
often = st.sampled_from(["a@x.com", "b@x.com"])
addresses = st.one_of(often, st.builds("{}@{}".format, users, domains))
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
        st.sampled_from(
            ["", "|nologin", "|userdb_home=/h userdb_mail=mbox:~/m", "|fail=1", "|services=imap",
             "|services=none userdb_nice=3"]
        ),
    ),
    "quotas": st.builds("{}:{}".format, addresses, st.sampled_from(["1G", "2g", "0", "bad"])),
    "virtual": st.builds(
        lambda key, some, blank: f"{key} {blank.join(some)}",
        keys, st.lists(targets, max_size=3), blanks,
    ),
    "regexp": st.sampled_from(
        ["/^any@/ a@x.com", "/^b@(.*)/ a@$1", "/(.*)@y.org/ $1", "/^a/ b",
         "/^two@/ a@x.com,far@else.where", "/^all@/ @x.com"]
    ),
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
    "app_passwords": st.builds(
        f"{{}}|{{}}|{{{{SHA256.HEX}}}}{DIGEST[:-1]}{{}}{{}}".format,
        addresses, st.sampled_from(["phone", "Phone", "pc"]), st.sampled_from(["0", "1", "A"]),
        st.sampled_from(["", "|services=imap", "|until=2026-12-31", "|allow_nets=::1", "|bad"]),
    ),
}  # fmt: skip
#: One step of a history: a file, what it loses at a place, and what it gets there. Often it is one
#: of those that decide where mail goes.
fields = st.one_of(
    st.sampled_from(["accounts", "quotas", "virtual", "regexp"]), st.sampled_from(Roster._fields)
)
steps = fields.flatmap(
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
            if rule.startswith("/^two@") and local == "two":
                return "a@x.com,far@else.where"
            if rule.startswith("/^all@") and local == "all":
                return "@x.com"
        return None

    return captured


def step(texts: dict[str, str], edit: tuple[str, int, int, list[str]]) -> dict[str, str]:
    field, place, lost, added = edit
    old = texts[field].split("\n")[:-1]
    new = [*old[:place], *added, *old[place + lost :]]
    return {**texts, field: "".join(f"{line}\n" for line in new)}


texts = st.fixed_dictionaries(
    {
        field: st.builds(
            lambda some, end: "".join(f"{line}{end}" for line in some),
            st.lists(lines[field], max_size=4),
            st.sampled_from(["\n", "\r\n"]),
        )
        for field in lines
    }
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


#: Lines of which each has to do with some of the others, so that most edits change many tables.
RELATED: dict[str, tuple[str, ...]] = {
    "accounts": (
        f"a@x.com|{HASH}", "a@x.com|{PLAIN}other", f"b@x.com|{HASH}|userdb_home=/h",
        f"c@x.com|{HASH}",
        f"d@y.org|{HASH}|fail=1", "e@bücher.de|{PLAIN}!x", f"f@bücher.de|{HASH}|fail=1",
        f"a@{ORIGIN}|{HASH}",
    ),
    "quotas": (
        "a@x.com:1G", "a@x.com:2G", "b@x.com:0", "d@y.org:5M", "f@bücher.de:1G", f"a@{ORIGIN}:3G",
    ),
    "virtual": (
        "info@x.com a@x.com", "info@x.com c@x.com,\n  d@y.org", "info a@x.com",
        f"info@{ORIGIN} b@x.com",
        "list@y.org info@x.com", "press@y.org a+news@x.com", "a@x.com b@x.com",
        "b@x.com b@x.com,far@else.where",
        "@x.com a@x.com", "@y.org @x.com", "@new.test c@x.com", "l@x.com m@x.com",
        "m@x.com a@x.com",
        "post@y.org postmaster", "hi@x.com abuse@y.org", "e@bücher.de a@x.com",
        "p@x.com any@else.where",
        "q@x.com two@y.org", "r@y.org all@y.org", "s@x.com anybody@x.com", "t@x.com d@y.org",
        "u@y.org f@bücher.de",
    ),
    "regexp": (
        "/^any@/ a@x.com", "/^b@(.*)/ a@$1", "/^two@/ a@x.com,far@else.where", "/^all@/ @x.com",
        "/^a/ b",
    ),
    "local_aliases": (
        "postmaster: a@x.com", "root: info@x.com", "abuse: postmaster", "info: b@x.com",
        "mine: root",
    ),
    "sender_logins": ("info@x.com c@x.com", "a@x.com b@x.com", "@x.com a@x.com",
        "@far.test c@x.com"),
    "send_access": ("a@x.com REJECT", "info@x.com REJECT", "x.com OK"),
    "receive_access": ("a@x.com REJECT", "b@x.com OK"),
    "masters": ("m|{PLAIN}x", "m|{PLAIN}y"),
    "relaymap": ("@x.com [r.test]:25", "a@x.com [r.test]:465"),
    "sasl_passwords": ("@x.com u:p", "a@x.com u:q"),
    "app_passwords": (
        f"a@x.com|phone|{{SHA256.HEX}}{DIGEST}", f"a@x.com|pc|{{SHA256.HEX}}{DIGEST}|services=imap",
        f"b@x.com|phone|{{SHA256.HEX}}{DIGEST}|until=2026-12-31",
        f"f@bücher.de|phone|{{SHA256.HEX}}{DIGEST}", f"q@x.com|pc|{{SHA256.HEX}}{DIGEST}",
    ),
}  # fmt: skip


@settings(max_examples=max(1, settings().max_examples // 3))
@given(st.integers(0, 100_000), versions)
def test_so_they_do_where_each_line_has_to_do_with_others(seed: int, version: str) -> None:
    chance = random.Random(seed)
    now = {
        field: [line for line in some if chance.random() < 0.5] for field, some in RELATED.items()
    }
    if chance.random() < 0.6:
        now["regexp"] = []
    end = chance.choice(["\n", "\r\n"])

    def roster() -> Roster:
        return rostered({field: "".join(f"{line}{end}" for line in now[field]) for field in now})

    before = router(roster()).remembering()
    tables: dict[str, Rows] = {table.name: full(table, before) for table in tables_for(version)}
    for _ in range(6):
        field = chance.choice(["accounts", "quotas", "virtual", "virtual", *RELATED])
        line = chance.choice(RELATED[field])
        if line in now[field]:
            now[field].remove(line)
        else:
            now[field].insert(chance.randint(0, len(now[field])), line)
        after = router(roster()).remembering()
        changed = change(before, after)
        for table in tables_for(version):
            for key, row in delta(table, changed).items():
                put(tables[table.name], key, row)
            assert tables[table.name] == full(table, after), (table.name, field, line)
        before = after


def test_the_related_lines_can_all_be_read() -> None:
    assert RELATED.keys() == set(Roster._fields)
    for field, some in RELATED.items():
        document = getattr(rostered(dict.fromkeys(RELATED, "") | {field: "\n".join(some)}), field)
        assert document.faulty() == 0
        assert all(document.format.key(line) for line in some) or document.format.ordered


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
        except ParseError:
            with pytest.raises(ParseError):
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


def difference(before: Rows, after: Rows) -> Changes:
    """The changes from one set of rows to another."""
    changes: Changes = dict.fromkeys(before.keys() - after.keys())
    changes |= {key: row for key, row in after.items() if before.get(key) != row}
    return changes
