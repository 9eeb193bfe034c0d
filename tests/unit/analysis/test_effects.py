"""What a change does, in words: rosters before and after → lines."""

import pytest

from mailroster.analysis.effects.effect import MIRROR, Effect
from mailroster.analysis.effects.routes import affected_keys
from mailroster.analysis.effects.sentences import LINES_MAX, names, sentences
from mailroster.routing.change import change
from mailroster.servers.patterns import prefetch_addresses
from tests.support.foreseen import between, roster, router

H, H2 = "{SHA512-CRYPT}$6$one$s3cret", "{SHA512-CRYPT}$6$two$s3cret"
THREE = f"bob@a.test|{H}\njane@a.test|{H}\nqa@a.test|{H}\n"
FIELDED = f"bob@a.test|{H}|userdb_quota_storage_size=7M\njane@a.test|{H}|nologin\n"
D = f"{{SHA256.HEX}}{'0123456789abcdef' * 4}"
PHONE, BOX = f"bob@a.test|phone|{D}\n", f"bob@a.test|box|{D}\n"
Texts = dict[str, str]


def told(before: Texts, after: Texts) -> list[str]:
    return sentences(between(roster(**before), roster(**after)))


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        pytest.param({}, {"accounts": "# nobody\n"}, [], id="a comment does nothing"),
        pytest.param(
            {"accounts": THREE}, {"accounts": THREE.replace("bob", "BOB")}, [],
            id="another spelling does nothing",
        ),
        pytest.param(
            {}, {"accounts": f"bob@a.test|{H}\n"},
            ["account bob@a.test is added", "mail for a.test is now accepted"],
            id="the first account of a domain",
        ),
        pytest.param(
            {"accounts": THREE}, {"accounts": "# none\n"},
            [
                "3 accounts are removed, with login and mail: bob@a.test, jane@a.test and "
                "qa@a.test",
                "mail for a.test is no longer accepted",
            ],
            id="the last accounts of a domain",
        ),
        pytest.param(
            {"accounts": THREE}, {"accounts": THREE.replace("one", "two", 1)},
            ["bob@a.test gets a new password"],
            id="a password",
        ),
        pytest.param(
            {"accounts": THREE}, {"accounts": THREE.replace("}$", "}!$", 1)},
            ["bob@a.test is locked: no login"],
            id="a lock, which is no other password",
        ),
        pytest.param(
            {"accounts": THREE.replace("}$", "}!$")}, {"accounts": THREE},
            ["3 accounts are unlocked: bob@a.test, jane@a.test and qa@a.test"],
            id="locks that go",
        ),
        pytest.param(
            {"accounts": f"bob@a.test|{H}\n"}, {"accounts": "bob@a.test|{SHA512-CRYPT}!\n"},
            ["bob@a.test is locked: no login", "bob@a.test gets a new password"],
            id="a lock with no hash behind it",
        ),
        pytest.param(
            {"accounts": f"bob@a.test|{H}|nologin allow_nets=10.0.0.0/8 reason=s3cret\n"},
            {"accounts": f"bob@a.test|{H}|allow_nets=10.0.0.0/9 userdb_nice=3\n"},
            ["extra fields of bob@a.test: userdb_nice added, nologin and reason "
             "removed, allow_nets changed"],
            id="extra fields, by their names",
        ),
        pytest.param(
            {"accounts": THREE, "quotas": "bob@a.test:5G\njane@a.test:1G\n"},
            {"accounts": THREE, "quotas": "bob@a.test:1G\nqa@a.test:0\nno@a.test:1G\n"},
            [
                "bob@a.test quota 5G -> 1G",
                "jane@a.test quota 1G -> the default",
                "qa@a.test quota the default -> no limit",
            ],
            id="quotas, but not of nobody's",
        ),
        pytest.param(
            {"accounts": FIELDED, "quotas": "bob@a.test:5G\njane@a.test:1G\n"},
            {"accounts": FIELDED, "quotas": "bob@a.test:1G\njane@a.test:2G\n"},
            ["jane@a.test quota 1G -> 2G"],
            id="no quota beside an extra field that sets it",
        ),
        pytest.param(
            {"accounts": THREE, "virtual": "info@a.test bob@a.test,jane@a.test\n"},
            {"accounts": THREE, "virtual": "info@a.test jane@a.test,x@far.test\n"},
            [
                "bob@a.test no longer receives mail to info@a.test",
                "x@far.test (elsewhere) now receives mail to info@a.test",
                "bob@a.test may no longer send as info@a.test",
            ],
            id="recipients of an alias",
        ),
        pytest.param(
            {"accounts": THREE, "virtual": "one@a.test two@a.test\ntwo@a.test bob@a.test\n"},
            {"accounts": THREE, "virtual": "one@a.test two@a.test\ntwo@a.test qa@a.test\n"},
            [
                "bob@a.test no longer receives mail to one@a.test and two@a.test",
                "qa@a.test now receives mail to one@a.test and two@a.test",
                "bob@a.test may no longer send as one@a.test and two@a.test",
                "qa@a.test may now send as one@a.test and two@a.test",
            ],
            id="an alias that leads to the one that changes",
        ),
        pytest.param(
            {"accounts": THREE,
             "virtual": "".join(f"l{n}@a.test bob@a.test\n" for n in range(5))},
            {"accounts": THREE.partition("\n")[2]},
            [
                "account bob@a.test is removed: no login, no mail",
                "5 aliases lose their last recipient and are removed: l0@a.test, l1@a.test, "
                "l2@a.test and 2 more",
            ],
            id="an account with its aliases",
        ),
        pytest.param(
            {"accounts": THREE, "virtual": "info@a.test bob@a.test\n"},
            {"accounts": THREE.partition("\n")[2], "virtual": "info@a.test bob@a.test\n"},
            [
                "account bob@a.test is removed: no login, no mail",
                "info@a.test now leads nowhere; it led to bob@a.test",
                "bob@a.test may no longer send as info@a.test",
            ],
            id="an account without its aliases",
        ),
        pytest.param(
            {"accounts": THREE, "virtual": "info@a.test bob@a.test\n"},
            {"accounts": THREE, "virtual": "info@a.test info2@a.test\ninfo2@a.test info@a.test\n"},
            [
                "info@a.test now leads nowhere; it led to bob@a.test",
                "bob@a.test may no longer send as info@a.test",
                "alias info2@a.test is added; it leads nowhere",
            ],
            id="a loop",
        ),
        pytest.param(
            {"accounts": THREE}, {"accounts": THREE, "virtual": "bob@a.test qa@a.test\n"},
            [
                "mail to bob@a.test now goes to qa@a.test, not to its mailbox",
                "qa@a.test may now send as bob@a.test",
            ],
            id="an alias that takes the mail of a mailbox",
        ),
        pytest.param(
            {"accounts": THREE, "virtual": "bob@a.test qa@a.test\n"}, {"accounts": THREE},
            [
                "qa@a.test may no longer send as bob@a.test",
                "mail to bob@a.test now goes to its own mailbox, no longer to qa@a.test",
            ],
            id="and gives it back",
        ),
        pytest.param(
            {"accounts": THREE},
            {"accounts": THREE, "virtual": "bob@a.test bob@a.test, x@far.test\n"},
            ["x@far.test (elsewhere) now receives mail to bob@a.test"],
            id="an alias that keeps a copy",
        ),
        pytest.param(
            {"accounts": THREE}, {"accounts": THREE, "regexp": "/^(bob|b.)@a/ qa@a.test\n"},
            [
                "mail to bob@a.test now goes to qa@a.test, not to its mailbox",
                "pattern /^(bob|b.)@a/ is added; it leads to qa@a.test",
            ],
            id="a pattern that takes the mail of a mailbox",
        ),
        pytest.param(
            {"accounts": THREE, "regexp": "/^test/ qa@a.test\n/^t(.*)@/ $1@b.test\n"},
            {"accounts": THREE, "regexp": "/^t(.*)@/ $1@b.test\n/^test/ qa@a.test\n"},
            ["postfix-regexp.cf: the order of the patterns changes"],
            id="patterns in another order",
        ),
        pytest.param(
            {"accounts": THREE, "regexp": "/^test/ qa@a.test\n"},
            {"accounts": THREE.replace("qa", "qx"), "regexp": "/^test/ qa@a.test\n"},
            [
                "account qa@a.test is removed: no login, no mail",
                "/^test/ now leads nowhere; it led to qa@a.test",
                "account qx@a.test is added",
            ],
            id="a pattern whose mailbox goes",
        ),
        pytest.param(
            {"accounts": THREE, "virtual": "@a.test qa@a.test\n"},
            {"accounts": THREE, "virtual": "\x1b[2J@a.test qa@a.test\n"},
            ["alias @a.test is removed; it led to qa@a.test"],
            id="a line that can't be read",
        ),
        pytest.param(
            {"accounts": THREE, "virtual": "@a.test qa@a.test\n"},
            {"accounts": THREE + f"new@a.test|{H}\n", "virtual": "@a.test qa@a.test\n"},
            ["account new@a.test is added; its mail went to qa@a.test before"],
            id="an account that a catch-all served",
        ),
        pytest.param(
            {"accounts": THREE}, {"accounts": THREE, "virtual": "@a.test qa@a.test\n"},
            ["alias @a.test is added; it leads to qa@a.test"],
            id="a catch-all",
        ),
        pytest.param(
            {"accounts": THREE},
            {"accounts": THREE, "virtual": "@b.test @a.test\n"},
            ["alias @b.test is added; it leads to @a.test", "mail for b.test is now accepted"],
            id="a domain that leads to another",
        ),
        pytest.param(
            {"accounts": THREE, "virtual": "@b.test @a.test\n"},
            {"accounts": THREE + f"new@a.test|{H}\n", "virtual": "@b.test @a.test\n"},
            [
                "account new@a.test is added",
                "new@b.test now leads to new@a.test; it led nowhere",
            ],
            id="an address in a domain that leads to another",
        ),
        pytest.param(
            {"accounts": THREE, "virtual": "info@a.test x@b.test\n"},
            {"accounts": THREE + f"new@b.test|{H}\n", "virtual": "info@a.test x@b.test\n"},
            [
                "info@a.test now leads nowhere; it led to x@b.test (elsewhere)",
                "account new@b.test is added",
                "mail for b.test is now accepted",
            ],
            id="a domain that was on another server",
        ),
        pytest.param(
            {"send_access": "bob@a.test REJECT\nc.test 550 no\n", "receive_access": "d@x REJECT\n"},
            {"send_access": "b.test REJECT\nc.test 450 no\nd.test DISCARD\n"},
            [
                "mail from b.test is refused",
                "mail from bob@a.test is accepted again",
                "mail from c.test gets the action 450 no instead of 550 no",
                "mail from d.test gets the action DISCARD",
                "mail to d@x is accepted again",
            ],
            id="restrictions",
        ),
        pytest.param(
            {"masters": f"one|{H}\ntwo|{H}\n"}, {"masters": f"two|{H2}\nthree|{H}\n"},
            [
                "master one is removed",
                "master three is added: it may log in as any account",
                "master two gets a new password",
            ],
            id="masters",
        ),
        pytest.param(
            {"accounts": THREE, "app_passwords": f"{PHONE}{BOX}bob@a.test|pc|{D}\n"},
            {
                "accounts": THREE,
                "app_passwords": f"{PHONE}{BOX.strip()}|services=imap\n"
                f"qa@a.test|pc|{D}\n",
            },
            [
                "app password 'pc' of bob@a.test is removed: no login with it",
                "app password 'box' of bob@a.test changes",
                "app password 'pc' of qa@a.test is added",
            ],
            id="app passwords",
        ),
        pytest.param(
            {"accounts": THREE, "app_passwords": PHONE},
            {"accounts": THREE.replace("bob", "tom")},
            ["account bob@a.test is removed: no login, no mail", "account tom@a.test is added"],
            id="an account is removed with its app passwords",
        ),
    ],
)  # fmt: skip
def test_a_change_is_told(before: Texts, after: Texts, lines: list[str]) -> None:
    found = told(before, after)
    assert found == lines
    assert "s3cret" not in repr(between(roster(**before), roster(**after)))


def test_no_change_has_no_effect() -> None:
    texts = {"accounts": THREE, "virtual": "info@a.test bob@a.test\n", "regexp": "/x/ y@a.test\n"}
    assert told(texts, texts) == []


def test_many_lines_of_a_kind_are_counted() -> None:
    many = "".join(f"l{n:03}@a.test bob@a.test\n" for n in range(100))
    found = told({"accounts": THREE}, {"accounts": THREE, "virtual": many})
    assert len(found) == LINES_MAX + 1
    assert found[-1] == "and 90 more like these"


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ("", "@a.test [r.test]:587\n", ["mail from @a.test is relayed through [r.test]:587"]),
        ("@a.test [r.test]:587\n", "", ["mail from @a.test is sent like all other mail"]),
        ("", "@a.test\n", ["mail from @a.test is never relayed"]),
        (
            "@a.test [r.test]:25\n", "@a.test [s.test]:25 [t.test]:25\n",
            [
                "mail from @a.test is relayed through [s.test]:25 and [t.test]:25, no longer "
                "through [r.test]:25"
            ],
        ),
        ("@a.test [r.test]:25\n", "# ours\n@A.test   [r.test]:25\n", []),
    ],
)  # fmt: skip
def test_relays(before: str, after: str, found: list[str]) -> None:
    assert told({"relaymap": before}, {"relaymap": after}) == found


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ("", "@a.test joe:hush\n", "the login at the relay of @a.test is joe"),
        ("@a.test joe:hush\n", "@a.test joe:hash\n",
         "the login of joe at the relay of @a.test has a new password"),
        ("[r.test]:25 joe:hush\n", "", "the login at [r.test]:25 is removed"),
    ],
)  # fmt: skip
def test_logins_at_relays(before: str, after: str, found: str) -> None:
    assert told({"sasl_passwords": before}, {"sasl_passwords": after}) == [found]


def test_many_recipients_of_one_alias_are_one_line() -> None:
    many = ", ".join(f"u{n:03}@far.test" for n in range(100))
    found = told(
        {"accounts": THREE, "virtual": "all@a.test bob@a.test\n"},
        {"accounts": THREE, "virtual": f"all@a.test bob@a.test, {many}\n"},
    )
    assert found == [
        "u000@far.test (elsewhere), u001@far.test (elsewhere), u002@far.test (elsewhere) and 97 "
        "more now receive mail to all@a.test"
    ]


@pytest.mark.parametrize(
    ("some", "text"),
    [
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (["a", "b", "c", "d"], "a, b, c and d"),
        (["a"] * 5, "a, a, a and 2 more"),
        (["a"] * 2000, "a, a, a and 1,997 more"),
    ],
)
def test_names_are_abridged(some: list[str], text: str) -> None:
    assert names(some) == text


def test_a_quota_below_what_is_used_is_told() -> None:
    effect = Effect("quota-changed", "bob@a.test", ("5G",), ("1G",))
    over = "bob@a.test quota 5G -> 1G; it holds 2.0G, so it gets no more mail"
    assert sentences([effect], {"bob@a.test": 2 << 30}) == [over]
    assert sentences([effect], {"bob@a.test": 1 << 20}) == ["bob@a.test quota 5G -> 1G"]


def test_every_kind_has_words_and_a_mirror() -> None:
    for kind, mirror in MIRROR.items():
        assert MIRROR[mirror] == kind
        size = "" if kind == "not-examined" else "G"
        effect = Effect(kind, "a@a.test", (f"7{size}",), (f"5{size}",))
        assert sentences([effect]) != []
        assert sentences([effect] * 2) != []


def test_of_many_addresses_that_a_pattern_may_concern_the_rest_is_counted() -> None:
    accounts = "".join(f"u{n}@a.test|{H}\n" for n in range(20))
    old, new = (
        roster(accounts=accounts),
        roster(accounts=accounts, regexp="/^u(3|19)@/ u1@a.test\n"),
    )
    found = affected_keys(change(router(old), router(new)), prefetch_addresses, most=15)
    assert (found.keys, found.left_out) == (("u3@a.test",), 5)


def test_a_change_of_one_address_looks_at_no_other() -> None:
    accounts = "".join(f"u{n}@a.test|{H}\n" for n in range(1000))
    virtual = "".join(f"l{n}@a.test u{n}@a.test\n" for n in range(1000))
    old = roster(accounts=accounts, virtual=virtual, regexp="/^test/ u1@a.test\n")
    new = old._replace(virtual=old.virtual.append("more@a.test u7@a.test"))
    assert affected_keys(change(router(old), router(new)), prefetch_addresses).keys == (
        "more@a.test",
    )
