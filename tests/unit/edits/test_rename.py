"""Another address for an account: every line that names it, and no other byte."""

import pytest

from mailroster.base.address import Address
from mailroster.base.findings import Refused
from mailroster.edits.rename import rename_account
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.access import RECEIVE_ACCESS, SEND_ACCESS
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.local_aliases import LOCAL_ALIASES
from mailroster.roster.formats.quotas import QUOTAS
from mailroster.roster.formats.virtual import VIRTUAL
from mailroster.roster.roster import Roster

H = "{SHA512-CRYPT}$6$abc$def"
ORIGIN = "mail.example.test"
OLD, NEW = Address("old@a.com"), Address("new@b.com")


def roster(
    accounts: str = f"old@a.com|{H}\n", quotas: str = "", virtual: str = "", send: str = ""
) -> Roster:
    return Roster(
        accounts=Document(ACCOUNTS, accounts),
        quotas=Document(QUOTAS, quotas),
        virtual=Document(VIRTUAL, virtual),
        send_access=Document(SEND_ACCESS, send),
        receive_access=Document(RECEIVE_ACCESS, send),
    )


def renamed(before: Roster, *, alias: bool = False, old: Address = OLD) -> Roster:
    return rename_account(before, old, NEW, ORIGIN, alias=alias)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"old@a.com|{H}\n", f"new@b.com|{H}\n"),
        (f"# x\r\n  Old@A.com  | {H} | nologin \r\n", f"# x\r\n  new@b.com  | {H} | nologin \r\n"),
        (f"\ufeffOLD@a.com|{H}", f"\ufeffnew@b.com|{H}"),
        (f"gold@a.com|{H}\nold@a.com|{H}\nold@a.com.au|{H}\n",
         f"gold@a.com|{H}\nnew@b.com|{H}\nold@a.com.au|{H}\n"),
        ("# mailroster: comment old@a.com\nold@a.com|{SHA512-CRYPT}!$6$x|allow_nets=::1/128\n",
         "# mailroster: comment old@a.com\nnew@b.com|{SHA512-CRYPT}!$6$x|allow_nets=::1/128\n"),
        (f"old@a.com|{H}\nold@a.com bad\nOLD@a.com|{H}\n",
         f"new@b.com|{H}\nold@a.com bad\nnew@b.com|{H}\n"),
    ],
    ids=["a plain line", "blanks, case and CRLF", "a byte order mark", "not its neighbours",
         "notes, a lock and extra fields", "every line that claims it"],
)  # fmt: skip
def test_the_line_of_the_account_keeps_all_but_its_address(before: str, after: str) -> None:
    assert renamed(roster(before)).accounts.text == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Old@A.com : 5g\r\nx@a.com:1G", "new@b.com : 5g\r\nx@a.com:1G"),
        ("", ""),
        ("# mailroster: comment left\nnew@b.com:1k\nold@a.com:5G\n", "new@b.com:5G\n"),
        ("new@b.com:1k\n", ""),
    ],
    ids=["in any spelling", "none", "one that was left of the new address goes", "and so here"],
)
def test_the_quota_goes_along(before: str, after: str) -> None:
    assert renamed(roster(quotas=before)).quotas.text == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("info@a.com Old@A.com, x@y.z ,OLD@a.com\n", "info@a.com new@b.com, x@y.z ,new@b.com\n"),
        ("info@a.com x@y.z,\n# mind\n  old+Tag@a.com\n",
         "info@a.com x@y.z,\n# mind\n  new+Tag@b.com\n"),
        ("i@a.com OLD@a.com. old@a.com.\n", "i@a.com new@b.com new@b.com\n"),
        ("i@a.com gold@a.com,old@a.com.au,xold@a.com\n",
         "i@a.com gold@a.com,old@a.com.au,xold@a.com\n"),
        ("@c.com old@a.com\n@d.com @a.com\n", "@c.com new@b.com\n@d.com @a.com\n"),
        ("OLD@a.com old@a.com, far@away.org\n", "new@b.com new@b.com, far@away.org\n"),
        ("old@a.com @else.org\n@a.com @else.org\n", "new@b.com old@else.org\n@a.com @else.org\n"),
        ("Old+Tag@a.com far@away.org\n", "new+Tag@b.com far@away.org\n"),
        ("old+tag@a.com @else.org\n", "new+tag@b.com old+tag@else.org\n"),
        ("two@a.com x@y.z\ntwo@a.com old@a.com\n", "two@a.com x@y.z\ntwo@a.com new@b.com\n"),
        ("bad@a.com old@a.com,@x.com\n", "bad@a.com old@a.com,@x.com\n"),
        ("i@a.com old\n", "i@a.com old\n"),
        ("i@a.com c:old@a.com,old@a.com\n", "i@a.com c:old@a.com,new@b.com\n"),
        ("two@a.com old@a.com,@x.com\ntwo@a.com old@a.com\n",
         "two@a.com old@a.com,@x.com\ntwo@a.com new@b.com\n"),
    ],
    ids=["any spelling", "an extension, and a comment inside", "a dot at its end",
         "not its neighbours", "a catch-all", "a forward of its own",
         "a forward to its name elsewhere", "an alias of an extension", "to its name elsewhere",
         "a line that does not count", "a line that can't be read stays",
         "a bare name is of another domain", "a colon in an address",
         "the line that counts behind one that can't be read"],
)  # fmt: skip
def test_the_aliases_that_lead_to_it_lead_to_the_new_address(before: str, after: str) -> None:
    assert renamed(roster(virtual=before)).virtual.text == after
    with_alias = renamed(roster(virtual=before), alias=True).virtual.text
    assert with_alias == after + "old@a.com new@b.com\n"


def test_a_bare_name_is_the_account_of_the_servers_own_domain() -> None:
    old = Address(f"old@{ORIGIN}")
    before = roster(f"{old}|{H}\n", virtual="info old, x\n")
    assert renamed(before, old=old).virtual.text == "info new@b.com, x\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("postmaster: Old@A.com\n", "postmaster: new@b.com\n"),
        ("root: x@y.z, old+Tag@a.com ,go@a.com\r\n", "root: x@y.z, new+Tag@b.com ,go@a.com\r\n"),
        ("root: x@y.z\nabuse: root, old\n", "root: x@y.z\nabuse: root, old\n"),
        ("old: x@y.z\n", "old: x@y.z\n"),
        ("root : c:old@a.com,old@a.com\n", "root : c:old@a.com,new@b.com\n"),
        ("root\nroot: old@a.com\n", "root\nroot: new@b.com\n"),
        ("root: old@a.com\nroot: old@a.com\n", "root: new@b.com\nroot: new@b.com\n"),
    ],
    ids=["in any spelling", "an extension, between others", "a bare name is of another domain",
         "the name of a local alias is no address", "a colon in an address",
         "a line that can't be read", "a line that does not count"],
)  # fmt: skip
@pytest.mark.parametrize("alias", [False, True])
def test_local_aliases_lead_to_the_new_address(before: str, after: str, alias: bool) -> None:
    some = roster()._replace(local_aliases=Document(LOCAL_ALIASES, before))
    assert renamed(some, alias=alias).local_aliases.text == after


def test_an_alias_that_would_lead_in_a_circle_under_the_new_address_is_refused() -> None:
    # The new address is elsewhere so far, and what is sent there does not return.
    forward = "old@a.com l@a.com\nl@a.com new@b.com\n"
    with pytest.raises(Refused, match="loop"):
        renamed(roster(virtual=forward), alias=False)
    with pytest.raises(Refused, match="loop"):
        renamed(roster(virtual=forward), alias=True)
    # One that could not be followed before does not hinder a rename.
    circle = "l@a.com m@a.com\nm@a.com l@a.com, old@a.com\n"
    assert renamed(roster(virtual=circle)).virtual.text == circle.replace("old@a", "new@b")


def test_international_domains_are_found_in_every_spelling() -> None:
    old = Address("old@xn--mller-kva.com")
    before = roster(f"old@MÜLLER.com|{H}\n", "Old@Müller.com:5G\n", "i@x.com old@müller.com\n")
    after = renamed(before, old=old)
    assert after.accounts.text == f"new@b.com|{H}\n"
    assert after.quotas.text == "new@b.com:5G\n"
    assert after.virtual.text == "i@x.com new@b.com\n"


NOTED = "# mailroster: until 2099-01-01\n"


@pytest.mark.parametrize(
    ("alias", "before", "after"),
    [
        (False, f"{NOTED}Old@A.com\tREJECT no\n", f"{NOTED}new@b.com\tREJECT no\n"),
        (True, f"{NOTED}Old@A.com\tREJECT no\n",
         f"{NOTED}Old@A.com\tREJECT no\n{NOTED}new@b.com REJECT no\n"),
        (True, "gold@a.com REJECT\n", "gold@a.com REJECT\n"),
        (False, "new@b.com REJECT was\nold@a.com REJECT\n", "new@b.com REJECT\n"),
        (True, "new@b.com REJECT was\nold@a.com REJECT\n",
         "new@b.com REJECT was\nold@a.com REJECT\n"),
    ],
    ids=["moved without an alias", "kept and doubled with one, with its end", "not its neighbours",
         "what was said of the new address before gives way", "or stands"],
)  # fmt: skip
def test_restrictions_hold_for_every_address_that_it_has_then(
    alias: bool, before: str, after: str
) -> None:
    made = renamed(roster(send=before), alias=alias)
    assert made.send_access.text == after
    assert made.receive_access.text == after


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (roster(f"x@a.com|{H}\n"), "there is no account 'old@a.com'"),
        (roster(f"old@a.com|{H}\nNew@B.com|{H}\n"), "account 'new@b.com' exists already"),
        (roster(virtual="NEW@b.com x@y.z\n"), "'new@b.com' is an alias already"),
        (roster(virtual="new+x@b.com x@y.z\nold+x@a.com x@y.z\n"), "'new\\+x@b.com' is an alias"),
        (roster(f"old@a.com|{H}|userdb_mail=maildir:/srv/%d/%n\n"), "userdb_mail"),
        (roster(f"old@a.com|{H}|userdb_home=/srv/a.com/old\n"), "userdb_home"),
        (roster(f"old@a.com|{H}|userdb_home=/srv/a.com/old/home\n"), "userdb_home"),
    ],
    ids=["nobody", "the new one is an account", "or an alias", "or one of its extensions is",
         "mail where a variable says",
         "mail in a folder of its name", "or below it"],
)  # fmt: skip
def test_refused(before: Roster, words: str) -> None:
    for alias in (False, True):
        with pytest.raises(Refused, match=words):
            renamed(before, alias=alias)


@pytest.mark.parametrize(
    "field",
    [
        "userdb_mail_path=/srv/%{user|domain}/%{user|username}",
        "userdb_mail_path=/srv/a.com/old/Maildir",
        "userdb_mail_path=~/%u",
        "userdb_mail=maildir:~/Maildir:INDEX=/srv/index/%n",
        "userdb_mail=mbox:~/mail:INBOX=/srv/old@a.com",
        "userdb_mail_index_path=/srv/%{user|sha256|hexlify}",
        "userdb_mail_inbox_path=/srv/old/A.com/inbox",
        "userdb_mail_ext_attachment_path=/srv/%Ld",
        "userdb_mail_attachment_dir=/srv/%d/x",
        "userdb_sieve=file:/srv/%u/sieve;active=~/.dovecot.sieve",
        "userdb_sieve_script/personal/path=/srv/sieve/%{user}",
        "userdb_mail=maildir:%h/%1n/m",
    ],
)
def test_a_place_by_the_address_is_refused_in_the_words_of_either_dovecot(field: str) -> None:
    with pytest.raises(Refused, match=field.partition("=")[0]):
        renamed(roster(f"old@a.com|{H}|{field}\n"))


def test_its_own_address_is_no_other() -> None:
    with pytest.raises(Refused, match="has the address"):
        rename_account(roster(), OLD, OLD, ORIGIN)


def test_a_place_that_does_not_follow_the_address_is_kept() -> None:
    line = f"old@a.com|{H}|userdb_mail=mbox:%h/mail:INBOX=~/in%%u userdb_home=/srv/a.com/older"
    line += " userdb_mail_path=%{home}/old userdb_mail_index_path=MEMORY"
    assert renamed(roster(line)).accounts.text == line.replace("old@a.com", "new@b.com", 1)


def test_an_alias_that_a_pattern_would_send_in_a_circle_is_refused() -> None:
    def captured(address: str) -> str | None:
        return "old@a.com" if address == "new@b.com" else None

    with pytest.raises(Refused, match="loop"):
        rename_account(roster(), OLD, NEW, ORIGIN, captured)
