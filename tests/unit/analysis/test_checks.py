"""The rules of `check`: what each finds, and what it lets pass. Real pcre where pcre is asked."""

import random
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from mailroster.analysis.checks import RULES, check, regexps
from mailroster.analysis.checks.domains import is_misspelling
from mailroster.analysis.checks.pattern_shape import Pattern
from mailroster.analysis.checks.secrets import SCHEMES
from mailroster.analysis.checks.subject import Subject
from mailroster.analysis.checks.suppressions import suppress
from mailroster.base.findings import ERROR, INFO, WARNING, Finding
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.regexp import REGEXP
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router
from mailroster.servers.patterns import PatternMatcher, captors
from mailroster.system.programs import run

ORIGIN = "mail.x.com"
H = "{SHA512-CRYPT}$6$abc$def"
FILES = {document.format.file: field for field, document in Roster().documents()}
SEVERITIES = {ERROR, WARNING, INFO}


def roster(**texts: str) -> Roster:
    """A roster of some texts, by field."""
    empty = dict(Roster().documents())
    documents: dict[str, Any] = {
        field: Document(empty[field].format, text) for field, text in texts.items()
    }
    return Roster(**documents)


def accounts(*addresses: str) -> str:
    return "".join(f"{address}|{H}\n" for address in addresses)


def found(texts: Mapping[str, str], modes: Mapping[str, int] = {}) -> list[Finding]:
    """What `check` finds in some texts, by field; Postfix is asked about the patterns."""
    given = roster(**texts)
    captures = PatternMatcher(given.regexp)
    taken = captors(given.regexp, list(given.accounts.keys()))
    return check(Subject(Router(given, ORIGIN, captures), taken, modes))


def codes(**texts: str) -> list[str]:
    """Code and line of each finding."""
    return [f"{finding.code}:{finding.where.line}" for finding in found(texts)]


TWO = accounts("a@x.com", "b@x.com")


class Case(NamedTuple):
    """Texts of files, and what is found in them."""

    expected: str
    accounts: str = TWO
    virtual: str = ""
    regexp: str = ""
    quotas: str = ""
    send_access: str = ""
    receive_access: str = ""
    sender_logins: str = ""
    local_aliases: str = ""
    app_passwords: str = ""


ALIASES = {
    "an alias to an account": Case("", virtual="i@x.com a@x.com\n"),
    "an alias to nobody": Case("dangling-alias:1", virtual="i@x.com nobody@x.com\n"),
    "one of two recipients is nobody": Case("dangling-alias:1", virtual="i@x.com a@x.com,c@x.com"),
    "a recipient elsewhere": Case("", virtual="i@x.com nobody@y.org\n"),
    "a plus-address of an account": Case("", virtual="i@x.com a+tag@x.com\n"),
    "a plus-address of nobody": Case("dangling-alias:1", virtual="i@x.com c+tag@x.com\n"),
    "upper case": Case("", virtual="I@X.com A@X.COM\n"),
    "nobody whom a catch-all takes": Case("catch-all:1", virtual="@x.com a@x.com\ni@x.com c@x.com"),
    "nobody whom a rule takes": Case("", virtual="i@x.com c@x.com", regexp=r"/^c@x\.com$/ a@x.com"),
    "a chain, told where it breaks": Case(
        "dangling-alias:2", virtual="i@x.com j@x.com\nj@x.com c@x.com\n"
    ),
    "an alias to itself without a mailbox": Case(
        "dangling-alias:1", virtual="i@x.com i@x.com, a@x.com\n"
    ),
    "an alias to one that leads to itself alone, without a mailbox": Case(
        "dangling-alias:1 dangling-alias:2", virtual="j@x.com i@x.com\ni@x.com i@x.com\n"
    ),
    "an alias to one that leads to itself and to a mailbox": Case(
        "dangling-alias:2", virtual="j@x.com i@x.com\ni@x.com i@x.com, a@x.com\n"
    ),
    "an unknown bare name as recipient": Case("dangling-alias:1", virtual="i@x.com root\n"),
    "a local alias as recipient": Case("", virtual="i@x.com a\n", local_aliases="a: a@x.com\n"),
    "a local alias that discards": Case(
        "discards-mail:1", virtual="i@x.com trash\n", local_aliases="trash: /dev/null\n"
    ),
    "a domain kept, to a domain of ours": Case("catch-all:1", virtual="@y.org @x.com\n"),
    "a rule to nobody": Case("dangling-alias:1", regexp="/^t[0-9]@x\\.com$/ nobody@x.com\n"),
    "a rule to a quoted address is not judged": Case(
        "", regexp='/^t[0-9]@x\\.com$/ "no.body"@x.com\n'
    ),
    "a rule to what it captured": Case("", regexp="/^t(.)@x\\.com$/ $1@x.com\n"),
    "an alias on a mailbox": Case("alias-shadows-mailbox:1", virtual="a@x.com b@x.com\n"),
    "a mailbox that keeps a copy": Case("", virtual="a@x.com b@x.com, A@x.com\n"),
    "a mailbox that gets it back by another alias": Case(
        "", virtual="a@x.com i@x.com, a@x.com\ni@x.com b@x.com\n"
    ),
    "a mailbox that leads to its own tag, on and on": Case(
        "unreasonable-alias:1", virtual="a@x.com a+x@x.com, a@x.com\n"
    ),
    "an alias on a plus-address": Case("", virtual="a+x@x.com b@x.com\n"),
    "a loop": Case(
        "unreasonable-alias:1 unreasonable-alias:2", virtual="i@x.com j@x.com\nj@x.com i@x.com\n"
    ),
    "1,001 recipients": Case(
        "unreasonable-alias:1",
        virtual="i@x.com " + ",".join(f"r{n}@y.org" for n in range(1001)),
    ),
    "1,001 recipients, and one of them again": Case(
        "unreasonable-alias:1",
        virtual="i@x.com " + ",".join(f"r{n}@y.org" for n in (*range(1001), 0)),
    ),
    "1,000 recipients": Case("", virtual="i@x.com " + ",".join(f"r{n}@y.org" for n in range(1000))),
    "a bare name whose address is an alias": Case(
        "unreachable-alias:1", virtual=f"info a@x.com\ninfo@{ORIGIN} b@x.com\n"
    ),
    "a bare name whose address is an account": Case(
        "unreachable-alias:1", accounts("a@x.com", f"info@{ORIGIN}"), virtual="info a@x.com\n"
    ),
    "a bare name": Case("", virtual="info a@x.com\ninfo@x.com b@x.com\n"),
    "a recipient twice": Case("duplicate-recipient:1", virtual="i@x.com a@x.com, A@X.com\n"),
    "a recipient twice on two lines": Case(
        "duplicate-recipient:1", virtual="i@x.com a@x.com,\n b@x.com\n a@x.com\n"
    ),
    "commas and nothing between": Case("", virtual="i@x.com a@x.com,, b@x.com,\n"),
    "an alias that stands twice": Case(
        "duplicate-entry:2", virtual="i@x.com a@x.com\nI@x.com b@x.com\n"
    ),
}  # fmt: skip

PATTERNS = {
    "a rule that takes a mailbox": Case(
        "regexp-captures-mailbox:1", regexp="/^a@x\\.com$/ b@x.com\n"
    ),
    "a rule that leaves a copy": Case("", regexp="/^(a)@x\\.com$/ $1@x.com, b@x.com\n"),
    "a mailbox with an alias, which comes first": Case(
        "", virtual="a@x.com a@x.com,q@y.org\n", regexp="/^a@x\\.com$/ b@x.com\n"
    ),
    "the second rule takes it": Case(
        "regexp-captures-mailbox:2", regexp="/^c@x\\.com$/ b@x.com\n/^[a]@x\\.com$/ b@x.com\n"
    ),
    "a rule in a block, behind a bad one": Case(
        "malformed-rule:1 regexp-captures-mailbox:4",
        regexp="no rule\n# x\nif /@x\\.com$/\n/^a/ b@x.com\nendif\n",
    ),
    "a rule on two lines": Case("regexp-captures-mailbox:1", regexp="/^a@x\\.com$/\n  b@x.com\n"),
    "no beginning": Case("regexp-unanchored:1", regexp="/test@x\\.com$/ a@x.com\n"),
    "one of two alternatives without": Case(
        "regexp-unanchored:1", regexp="/^t1@x\\.com$|t2@x\\.com$/ a@x.com\n"
    ),
    "alternatives in a group": Case("", regexp="/^(t1|t2)@x\\.com$/ a@x.com\n"),
    "the whole of a domain": Case(
        "", virtual="i@q.x.com a@x.com\n", regexp="/@q\\.x\\.com$/ a@x.com\n"
    ),
    "anything at the beginning": Case("", regexp="/^.*-t@x\\.com$/ a@x.com\n"),
    "a negated rule": Case(
        "regexp-captures-mailbox:1", accounts("a@x.com", "b@y.org"), regexp="!/@x\\.com$/ a@x.com\n"
    ),
    "no end": Case("regexp-open-end:1", regexp="/^t@x\\.com/ a@x.com\n"),
    "no end, inside of a block, behind a block in it": Case(
        "", regexp="if /@x\\.com$/\nif /^n/\n/^n@/ a@x.com\nendif\n/^t/ a@x.com\nendif\n"
    ),
    "a mailbox that has an alias is not asked about": Case(
        "alias-shadows-mailbox:1", virtual="a@x.com b@x.com\n", regexp="/^a@x\\.com$/ b@x.com\n"
    ),
    "no end, inside of a block": Case("", regexp="if /@x\\.com$/\n/^t/ a@x.com\nendif\n"),
    "a user in every domain": Case("regexp-every-domain:1", regexp="/^postmaster@/ a@x.com\n"),
    "some users in every domain": Case(
        "regexp-every-domain:1", regexp="/^(postmaster|abuse)@/ a@x.com\n"
    ),
    "a user in every domain, with a flag": Case(
        "regexp-every-domain:1", regexp="/^postmaster@/i a@x.com\n"
    ),
    "a user with any domain": Case("regexp-every-domain:1", regexp="/^t@(.+)$/ a@x.com\n"),
    "a user with any domain, spelt out": Case(
        "regexp-every-domain:1", regexp="/^t@[^@]+$/ a@x.com\n"
    ),
    "the beginning of a user": Case("regexp-every-domain:1", regexp="/^test[0-9]+/ a@x.com\n"),
    "one branch of two in every domain": Case(
        "regexp-every-domain:1", regexp="/^t@x\\.com$|^abuse@/ a@x.com\n"
    ),
    "a user in every domain, inside of a block": Case(
        "", regexp="if /@x\\.com$/\n/^abuse@/ a@x.com\nendif\n"
    ),
    "a user in some domains": Case("", regexp="/^t@(x\\.com|y\\.org)$/ a@x.com\n"),
    "all but some, in every domain": Case(
        "regexp-captures-mailbox:1", regexp="!/^t@x\\.com$/ a@x.com\n"
    ),
    "a lookahead is not judged": Case("", regexp="/^(?!x)t@/ a@x.com\n"),
    "subdomains of which none is served": Case(
        "regexp-foreign-domain:1", regexp="/^t@([a-z0-9-]+)\\.y\\.org$/ a@x.com\n"
    ),
    "subdomains of which one is served": Case(
        "", virtual="i@sub.y.org a@x.com\n", regexp="/^t@([a-z0-9-]+)\\.y\\.org$/ a@x.com\n"
    ),
    "a domain with a wild part, that is served": Case(
        "", regexp="/^t@([a-z]+\\.)?x\\.com$/ a@x.com\n"
    ),
    "the flag A stands for ^": Case("", regexp="/t@x\\.com$/A a@x.com\n"),
    "a bare dot": Case("regexp-bare-dot:1", regexp="/^t@x.com$/ a@x.com\n"),
    "a bare dot in a name": Case("regexp-bare-dot:1", regexp="/^t.t@x\\.com$/ a@x.com\n"),
    "a bare dot in an if": Case("regexp-bare-dot:1", regexp="if /@x.com$/\n/^t/ a@x.com\nendif\n"),
    "any number of characters": Case("", regexp="/^t.*t@x\\.com$/ a@x.com\n"),
    "a dot in a class": Case("", regexp="/^t[.]t@x[.]com$/ a@x.com\n"),
    "a domain that isn't ours": Case("regexp-foreign-domain:1", regexp="/^t@y\\.org$/ a@x.com\n"),
    "a domain of a catch-all": Case(
        "catch-all:1", virtual="@y.org a@x.com\n", regexp="/^t@y\\.org$/ a@x.com\n"
    ),
    "the server's own domain": Case("", regexp="/^t@mail\\.x\\.com$/ a@x.com"),
    "the beginning of a domain of ours": Case("regexp-open-end:1", regexp="/^t@x\\.co/ a@x.com\n"),
    "the same rule twice": Case(
        "unreachable-rule:2", regexp="/^t@x\\.com$/ a@x.com\n/^t@x\\.com$/ b@x.com\n"
    ),
    "behind a whole domain": Case(
        "unreachable-rule:3",
        accounts("a@y.org"),
        virtual="i@x.com a@y.org\n",
        regexp="/^.*@x\\.com$/ a@y.org\n# x\n/^t@x\\.com$/ a@y.org\n",
    ),
    "behind another domain": Case(
        "", accounts("a@y.org"), virtual="i@x.com a@y.org\n",
        regexp="/@x\\.com$/ a@y.org\n/^t@y\\.org$/ a@y.org\n",
    ),
    "an alternative reaches elsewhere": Case(
        "", accounts("a@y.org"), virtual="i@x.com a@y.org\n",
        regexp="/@x\\.com$/ a@y.org\n/^t@y\\.org$|^t@x\\.com$/ a@y.org\n",
    ),
    "in a block, behind one outside": Case(
        "unreachable-rule:3",
        regexp="/^t@x\\.com$/ a@x.com\nif /^t/\n/^t@x\\.com$/ a@x.com\nendif\n",
    ),
    "outside, behind one in a block": Case(
        "", regexp="if /^t/\n/^t@x\\.com$/ a@x.com\nendif\n/^t@x\\.com$/ a@x.com\n"
    ),
    "in the next block": Case(
        "", regexp="if /^t/\n/^t@/ a@x.com\nendif\nif /x/\n/^t@/ a@x.com\nendif\n"
    ),
    "behind everything": Case(
        "regexp-captures-mailbox:1 regexp-every-domain:1 unreachable-rule:2",
        accounts("b@x.com"),
        regexp="/.*/ a@y.org\n/^t@x\\.com$/ b@x.com\n",
    ),
    "a bad pattern": Case("", regexp="/^(t@x\\.com$/ a@x.com\n"),
}  # fmt: skip

OTHERS = {
    "an alias in the domain of a provider": Case(
        "public-domain:2", virtual="i@x.com a@x.com\nfriend@gmail.com a@x.com\n"
    ),
    "many of them": Case("public-domain:1", virtual="a@gmx.de a@x.com\nb@gmx.de a@x.com\n"),
    "an account in the domain of a provider": Case("public-domain:1", accounts("a@Gmail.com")),
    "a catch-all of a provider": Case("catch-all:1 public-domain:1", virtual="@web.de a@x.com\n"),
    "a provider as a recipient": Case("", virtual="i@x.com friend@gmail.com\n"),
    "a restriction by the name of a user": Case(
        "restriction-of-bare-name:1", send_access="a REJECT\n"
    ),
    "a restriction of a top-level domain": Case("", send_access="top REJECT\n"),
    "a quota": Case("", quotas="a@x.com:1G\n"),
    **{
        f"a quota beside {field}": Case(
            "quota-overridden:1", accounts=f"a@x.com|{H}|{field}\n", quotas="a@x.com:1G\n"
        )
        for field in (
            "userdb_quota_rule=*:storage=1G", "userdb_plugin/quota_rule=*:storage=1G",
            "userdb_quota/user/storage_size=1G", "userdb_quota_storage_size=1G",
        )
    },
    "a quota beside another field": Case(
        "", accounts=f"a@x.com|{H}|userdb_quota_rule2=Trash:storage=+1G\n", quotas="a@x.com:1G\n"
    ),
    "a quota of nobody": Case("quota-without-account:1", quotas="c@x.com:1G\n"),
    "a quota of an alias": Case(
        "quota-without-account:1", virtual="i@x.com a@x.com\n", quotas="i@x.com:1G\n"
    ),
    "restrictions": Case(
        "", virtual="i@x.com a@x.com\n",
        send_access="a@x.com REJECT\ny.org REJECT\nq@y.org REJECT\n",
        receive_access="i@x.com REJECT\ninfo@ REJECT\nx.com REJECT\n",
    ),
    "a restriction of nobody": Case(
        "restriction-without-account:2", send_access="a@x.com REJECT\nc@x.com REJECT\n"
    ),
    "a right to send": Case("", sender_logins="press@x.com a@x.com\n"),
    "an app password": Case("", app_passwords=f"a@x.com|phone|{{SHA256.HEX}}{'ab' * 32}\n"),
    "an app password of nobody": Case(
        "app-password-without-account:1",
        app_passwords=f"c@x.com|phone|{{SHA256.HEX}}{'ab' * 32}\n",
    ),
    "a password that opens nothing": Case(
        "no-app-password:1", f"a@x.com|{H}|services=none\n"
    ),
    "a password that opens nothing beside an app password": Case(
        "", f"a@x.com|{H}|services=none\n",
        app_passwords=f"a@x.com|phone|{{SHA256.HEX}}{'ab' * 32}\n",
    ),
    "a right to send that nobody has": Case(
        "grant-without-account:2", sender_logins="p@x.com a@x.com\n@y.org a@x.com,c@x.com\n"
    ),
    "a locked account": Case("", "a@x.com|{SHA512-CRYPT}!$6$abc$def\n"),
    "locked, its mail goes to a colleague": Case(
        "alias-shadows-mailbox:1",
        "a@x.com|{SHA512-CRYPT}!$6$abc$def\n" + accounts("b@x.com"),
        virtual="a@x.com b@x.com\n",
    ),
    "locked, its mail leaves": Case(
        "locked-forwards:1",
        "a@x.com|{SHA512-CRYPT}!$6$abc$def\n",
        virtual="a@x.com a@x.com, home@y.org\n",
    ),
    "locked by nologin, its mail leaves": Case(
        "locked-forwards:1", f"a@x.com|{H}|nologin\n", virtual="a@x.com a@x.com, home@y.org\n"
    ),
    "not locked, its mail leaves": Case("", virtual="a@x.com a@x.com, home@y.org\n"),
    "an account twice": Case("duplicate-entry:2", accounts("a@x.com", "A@x.com")),
    "a domain one letter off": Case(
        "misspelt-domain:3", accounts("a@example.com", "b@example.com", "c@exmaple.com")
    ),
    "a domain with two accounts": Case(
        "", accounts("a@example.com", "b@example.com", "c@exmaple.com", "d@exmaple.com")
    ),
    "one to one": Case("", accounts("a@example.com", "c@exmaple.com")),
    "a catch-all for a slip of others": Case(
        "catch-all:1",
        accounts("a@example.com", "b@example.com"),
        virtual="@exmaple.com a@example.com",
    ),
    "a recipient one letter off": Case(
        "misspelt-recipient:1",
        accounts("a@example.com", "b@example.com"),
        virtual="i@example.com a@exampel.com\n",
    ),
    "somebody else one letter off": Case(
        "", accounts("a@example.com", "b@example.com"), virtual="i@example.com z@exampel.com\n"
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=name.replace(" ", "-"))
        for name, case in {**ALIASES, **PATTERNS, **OTHERS}.items()
    ],
)
def test_a_rule_finds_what_it_is_about_and_nothing_else(case: Case) -> None:
    texts = case._asdict()
    texts.pop("expected")
    assert codes(**texts) == case.expected.split()


HASHES = {
    "{SHA512-CRYPT}$6$abc$def": "",
    "$6$abc$def": "",
    "$1$abc$def": "weak-scheme",
    "{BLF-CRYPT}$2y$05$abc": "",
    "{BLF-CRYPT}$2b$05$abc": "",
    "{ARGON2ID}$argon2id$v=19$m=1$a$b": "",
    "{argon2id}$argon2id$v=19$m=1$a$b": "",
    "{PBKDF2}$1$a$5000$b": "",
    "{SCRAM-SHA-256}4096,a,b,c": "",
    "{CRYPT}$6$abc$def": "",
    "{CRYPT}$y$j9T$abc$def": "",
    "{CRYPT}$1$abc$def": "weak-scheme",
    "{CRYPT}rqXexS6ZhobKA": "weak-scheme",
    "{SHA512-CRYPT}rqXexS6ZhobKA": "weak-scheme",
    "{SHA512-CRYPT}secret": "impossible-hash",
    "{SHA512-CRYPT}!$6$abc$def": "",
    "{SHA512-CRYPT}!": "",
    "{SHA512-CRYPT}*": "",
    "{SHA512-CRYPT.B64}JDYkYWJj": "",
    "{ARGON2ID}secret": "impossible-hash",
    "$argon2id$v=19$m=1$a$b": "impossible-hash",
    "{SHA512-CRYPT}$argon2id$v=19$m=1$a$b": "impossible-hash",
    "$bcrypt-sha256$v=2,t=2b,r=12$a$b": "impossible-hash",
    "$pbkdf2-sha256$29000$a$b": "impossible-hash",
    "$P$BRXLWoVTZ": "impossible-hash",
    "{BLF-CRYPT}$6$abc$def": "impossible-hash",
    "$y$j9T$abc$def": "",
    "{SHA512-CRYPT}!$argon2id$v=19$m=1$a$b": "impossible-hash",
    "{PLAIN}secret": "weak-scheme",
    "{plain}!secret": "weak-scheme",
    "{PLAIN.b64}c2VjcmV0": "weak-scheme",
    "{PLAIN.b65}c2VjcmV0": "unknown-scheme",
    "{SHA}abc": "weak-scheme",
    "{SSHA512}abc": "weak-scheme",
    "{MD5}$1$abc": "weak-scheme",
    "{SHA512CRYPT}$6$abc$def": "unknown-scheme",
    "{BCRYPT}$2y$05$abc": "unknown-scheme",
}


@pytest.mark.parametrize(("hash", "code"), HASHES.items(), ids=lambda word: word or "fine")
@pytest.mark.parametrize("field", ["accounts", "masters"])
def test_a_hash_is_judged_by_its_scheme(hash: str, code: str, field: str) -> None:
    findings = found({field: f"a@x.com|{hash}\n"})
    assert [finding.code for finding in findings] == ([code] if code else [])
    assert all(hash.rpartition("}")[2] not in finding.message for finding in findings)


def test_the_schemes_are_those_of_dovecot() -> None:
    code, out, _ = run(["doveadm", "pw", "-l"])
    assert code == 0
    assert sorted(out.split()) == sorted(SCHEMES)


@pytest.mark.parametrize(
    ("hash", "fits"),
    [
        ("{SHA512-CRYPT}secret", False),
        ("{ARGON2ID}secret", False),
        ("{BCRYPT}$2y$05$abc", False),
        ("{PLAIN.b65}c2VjcmV0", False),
        ("{PLAIN.b64}c2VjcmV0", True),
        ("{plain}secret", True),
    ],
)
def test_dovecot_agrees_about_what_is_no_hash(hash: str, fits: bool) -> None:
    said, _, _ = run(["doveadm", "pw", "-t", hash, "-p", "secret"])
    assert (said == 0) == fits
    judged_so = {finding.code for finding in found({"accounts": f"a@x.com|{hash}\n"})}
    assert bool(judged_so & {"impossible-hash", "unknown-scheme"}) != fits


def test_secrets_that_everybody_can_read() -> None:
    modes = {"postfix-accounts.cf": 0o644, "postfix-virtual.cf": 0o644}
    (finding,) = found({"accounts": accounts("a@x.com")}, modes)
    assert (finding.code, finding.where.line) == ("world-readable-secret", 0)
    assert "0644" in finding.message


@pytest.mark.parametrize(
    ("domain", "other", "slip"),
    [
        ("exmaple.com", "example.com", True),
        ("exampl.com", "example.com", True),
        ("examplee.com", "example.com", True),
        ("exanple.com", "example.com", True),
        ("example.con", "example.com", True),
        ("example.co", "example.com", False),
        ("example.de", "example.dk", False),
        ("mx1.example.com", "mx2.example.com", False),
        ("host.example.com", "host2.example.com", False),
        ("a.com", "b.com", False),
        ("exmapel.com", "example.com", False),
        ("example.com", "example.com", False),
        ("my.example.com", "mx.example.com", False),
        ("", "example.com", False),
        ("xn--bcher-kva.de", "xn--bcher-kvb.de", False),
    ],
)
def test_what_is_a_slip(domain: str, other: str, slip: bool) -> None:
    assert is_misspelling(domain, other) == slip


@pytest.mark.parametrize(
    ("text", "body", "flags", "negated"),
    [
        ("/^a/", "^a", "", False),
        ("!/^a/i", "^a", "i", True),
        ("! |a/b|xs", "a/b", "xs", True),
        ("!!/a/", "a", "", False),
        (r"/a\/b/", r"a\/b", "", False),
    ],
)
def test_a_pattern_has_parts(text: str, body: str, flags: str, negated: bool) -> None:
    assert Pattern.of(text) == (negated, body, flags)


# -- what is allowed


ALLOWED = {
    "above the entry": ("# mailroster: allow dangling-alias\ni@x.com c@x.com\n", ""),
    "two codes": (
        "# mailroster: allow duplicate-recipient dangling-alias\ni@x.com c@x.com,c@x.com\n", ""
    ),
    "on a line of its own for each": (
        "#mailroster: allow duplicate-recipient\n"
        "# mailroster: comment meant so\n"
        "# mailroster: allow dangling-alias\ni@x.com c@x.com,c@x.com\n", ""
    ),
    "an entry of several lines": (
        "# mailroster: allow dangling-alias\ni@x.com\n  c@x.com\n", ""
    ),
    "that entry only": (
        "# mailroster: allow dangling-alias\ni@x.com c@x.com\nj@x.com c@x.com\n", "dangling-alias:3"
    ),
    "another code": (
        "# mailroster: allow catch-all\ni@x.com c@x.com\n", "unused-allow:1 dangling-alias:2"
    ),
    "a code that there isn't": (
        "a@x.com a@x.com\n# mailroster: allow me\ni@x.com a@x.com\n", "unused-allow:2"
    ),
    "no code": ("# mailroster: allow\ni@x.com a@x.com\n", "unused-allow:1"),
    "a blank line between": (
        "i@x.com a@x.com\n# mailroster: allow dangling-alias\n\nj@x.com c@x.com\n",
        "unused-allow:2 dangling-alias:4",
    ),
    "another comment between": (
        "i@x.com a@x.com\n# mailroster: allow dangling-alias\n# why\nj@x.com c@x.com\n",
        "unused-allow:2 dangling-alias:4",
    ),
    "at the end": ("i@x.com a@x.com\n# mailroster: allow dangling-alias\n", "unused-allow:2"),
    "the whole file": (
        "# mailroster: allow dangling-alias\n\ni@x.com c@x.com\nj@x.com c@x.com\n", ""
    ),
    "the whole file, among other comments": (
        "# aliases\n# mailroster: allow dangling-alias\n# as agreed\n \ni@x.com c@x.com\n", ""
    ),
    "the whole file, with CRLF": (
        "# mailroster: allow dangling-alias\r\n\r\ni@x.com c@x.com\r\n", ""
    ),
    "the whole file, for nothing": (
        "# mailroster: allow dangling-alias\n\ni@x.com a@x.com\n", "unused-allow:1"
    ),
    "nothing but a comment": ("# mailroster: allow dangling-alias\n", "unused-allow:1"),
}  # fmt: skip


@pytest.mark.parametrize(("virtual", "expected"), ALLOWED.values(), ids=ALLOWED)
def test_a_comment_allows_a_finding(virtual: str, expected: str) -> None:
    assert codes(accounts=accounts("a@x.com"), virtual=virtual) == expected.split()


def test_what_is_found_on_some_machines_only_is_never_allowed_for_nothing() -> None:
    top = "# mailroster: allow world-readable-secret\n\n"
    texts = {"accounts": top + accounts("a@x.com")}
    assert found(texts) == found(texts, {"postfix-accounts.cf": 0o644}) == []


def test_a_comment_is_about_its_own_file() -> None:
    top = "# mailroster: allow weak-scheme\n\n"
    assert codes(accounts=top + "a@x.com|{PLAIN}a\n", masters="boss|{PLAIN}b\n") == [
        "weak-scheme:1"
    ]


def test_errors_can_be_allowed_too() -> None:
    line = "# mailroster: allow missing-password\nbroken\n"
    assert codes(accounts="\n" + line) == []


def test_findings_of_others_are_allowed_as_ours_are() -> None:
    text = "# mailroster: allow bad-pattern\n/^(t@x\\.com$/ a@x.com\n"
    given = roster(accounts=accounts("a@x.com"), regexp=text)
    theirs = Finding(given.regexp.location(1), ERROR, "bad-pattern", "missing )", "fix it")
    assert theirs.where.line == 2
    assert list(suppress(given, [theirs])) == []


def test_an_empty_folder_has_no_finding() -> None:
    assert found({}) == []
    assert len(RULES) == len(set(RULES))


@pytest.mark.parametrize(
    "case", [case for case in (*ALIASES.values(), *PATTERNS.values(), *OTHERS.values()) if case[0]]
)
def test_every_finding_can_be_shown(case: Case) -> None:
    texts = case._asdict()
    texts.pop("expected")
    findings = found(texts)
    assert {finding.severity for finding in findings} <= SEVERITIES
    assert {finding.where.file for finding in findings} <= FILES.keys()
    assert [len(str(finding).splitlines()) for finding in findings] == [1] * len(
        case.expected.split()
    )


# -- what is said for sure about patterns, against pcre itself

STARTS = (
    "^t",
    "^.*",
    ".*",
    "",
    "^(a|b)",
    "^t[a-z]*",
    "^t@x\\.com$|^u",
    "^(.*)",
    "^t\\.u",
    "(?i)^T",
)
ENDS = (
    "@x\\.com$", "@x.com$", "@(x\\.com|y\\.org)$", "@x\\.com", "@", "@\\Qx.com\\E$",
    "@sub\\.x\\.com$",
)  # fmt: skip
WHOLE = (
    ".", ".*", "^.*$", "@", "^.+@.+$", "x", "", "^$", "^.$", "^", "$", ".$", "^@", "@$", "(.*)",
    "(.*", "^(.+)@(.+)$", "(.*@.*)",
)  # fmt: skip
PROBES = [
    f"{user}@{domain}"
    for user in ("t", "tt", "a", "b", "u", "t.u", "tzu", "x", "T")
    for domain in ("x.com", "y.org", "sub.x.com", "xzcom", "x.com.au", "zx.com")
]  # fmt: skip


def some_rules(chance: random.Random) -> str:
    """Rules of which some stand behind one that takes all that they match."""
    lines: list[str] = []
    depth = 0
    for _ in range(8):
        body = chance.choice(STARTS) + chance.choice(ENDS)
        if chance.random() < 0.15:
            body = chance.choice(WHOLE)
        mark, flags = chance.choice(("", "", "", "!")), chance.choice(("", "", "", "i", "x"))
        kind = chance.random()
        if kind < 0.15:
            lines.append(f"if {mark}/{body}/{flags}")
            depth += 1
        elif kind < 0.3 and depth:
            lines.append("endif")
            depth -= 1
        else:
            lines.append(f"{mark}/{body}/{flags} a@x.com")
    return "\n".join([*lines, *["endif"] * depth, ""])


def test_no_rule_that_is_said_to_be_out_of_reach_is_ever_reached() -> None:
    chance, told, reached = random.Random(1), 0, 0
    for _ in range(60):
        given = roster(regexp=some_rules(chance))
        router = Router(given, ORIGIN, lambda address: None)
        unreachable = {finding.where for finding in regexps.unreachable(Subject(router))}
        taking = {given.regexp.location(at) for at in captors(given.regexp, PROBES).values()}
        assert not unreachable & taking, given.regexp.text
        told, reached = told + len(unreachable), reached + len(taking)
    assert told > 30 and reached > 100


def test_what_is_said_to_match_everything_does() -> None:
    said = [body for body in WHOLE if Pattern.of(f"/{body}/").matches_all()]
    assert said == [
        ".", ".*", "^.*$", "@", "^.+@.+$", "", "^", "$", ".$", "(.*)", "^(.+)@(.+)$"
    ]  # fmt: skip
    for body in said:
        taken = captors(Document(REGEXP, f"/{body}/ a@x.com\n"), PROBES)
        assert len(taken) == len(PROBES), body
