"""Rows: text -> what it says, text -> findings; and never a secret in a finding."""

from collections.abc import Callable

import pytest

from mailroster.analysis.left_out import left_out
from mailroster.base.address import Address
from mailroster.edits.rows import AccountRow, Rows, csv, folder, jsonl
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.quotas import QUOTAS
from mailroster.roster.formats.virtual import VIRTUAL, Alias
from mailroster.roster.roster import Roster

H = "{SHA512-CRYPT}$6$abc$def"
A, B = Address("a@x.com"), Address("b@x.com")


def said(rows: Rows) -> list[AccountRow | Alias]:
    assert rows.findings == []
    return [row.entry for row in rows.rows]


def faults(rows: Rows) -> list[tuple[int, str]]:
    return [(finding.where.line, finding.code) for finding in rows.findings]


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("", []),
        ("\n\n", []),
        ("address,password\n", []),
        ("address,password\na@x.com,pw\n", [AccountRow(A, "pw")]),
        ("\ufeffaddress;hash\r\na@x.com;" + H + "\r\n", [AccountRow(A, hash=H)]),
        ("Address\tQuota\tExtra\nA@X.com\t05g\tfail\n", [AccountRow(A, quota="5G", extra="fail")]),
        ('quota,address,password\n,a@x.com," p,w""\t "\n', [AccountRow(A, ' p,w"\t ')]),
        ("address,password,quota\na@x.com\n,,\n\n b@x.com ,", [AccountRow(A), AccountRow(B)]),
        ("alias,recipients\nInfo@x.com,\"a@x.com, B@x.com\nc\"\n",
         [Alias("info@x.com", ("a@x.com", "B@x.com", "c"))]),
        ("address,alias,recipients\na@x.com,,\n,@x.com,a@x.com\n,info,a\n",
         [AccountRow(A), Alias("@x.com", ("a@x.com",)), Alias("info", ("a",))]),
    ],
    ids=repr,
)  # fmt: skip
def test_a_csv_file_says(text: str, entries: list[AccountRow | Alias]) -> None:
    assert said(csv.read(text, "people.csv")) == entries


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("", []),
        ("\ufeff\n \r\n", []),
        ('{"address": "a@x.com", "password":" \\u00e4 ","quota":null}\r\n', [AccountRow(A, " ä ")]),
        ('{"address":"A@x.com","hash":"' + H + '","extra":"fail"}',
         [AccountRow(A, hash=H, extra="fail")]),
        ('{"alias":"info@x.com","recipients":["a@x.com","B@x.com"]}',
         [Alias("info@x.com", ("a@x.com", "B@x.com"))]),
        ('{"alias":"info@x.com","recipients":"a@x.com b@x.com"}',
         [Alias("info@x.com", ("a@x.com", "b@x.com"))]),
    ],
    ids=repr,
)  # fmt: skip
def test_json_lines_say(text: str, entries: list[AccountRow | Alias]) -> None:
    assert said(jsonl.read(text, "people.jsonl")) == entries


SECRET = "hunter2"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("a..b@x.com,,,,,,", "malformed-address"),
        (f"{SECRET},,,,,,", "malformed-address"),
        (f"p@{SECRET}_,,,,,,", "malformed-address"),
        (f"a@x.com:{SECRET},,,,,,", "malformed-address"),
        (f"a@x.com {SECRET},,,,,,", "malformed-address"),
        (f"a@x.com,pw,{{PLAIN}}{SECRET},,,,", "malformed-row"),
        (f"a@x.com,,{SECRET},,,,", "malformed-hash"),
        (f"a@x.com,,{{PLAIN}}x {SECRET},,,,", "malformed-hash"),
        (f"a@x.com,,,{SECRET},,,", "malformed-quota"),
        ("a@x.com,,,99999999T,,,", "quota-too-large"),
        (f'a@x.com,,,,"{SECRET}\nb@x.com|{{PLAIN}}x",,', "control-character"),
        (f"a@x.com,,,,{SECRET}\x1b,,", "control-character"),
        (f"a@x.com,,,,{SECRET}\u3000x,,", "odd-blank"),
        ("a@x.com,\udcff,,,,,", "not-utf-8"),
        (f"a@x.com,,,,,,{SECRET}", "malformed-row"),
        ("a@x.com,,,,,info,b@x.com", "malformed-row"),
        (f",{SECRET},,,,,", "malformed-row"),
        (f",{SECRET},,,,info,b@x.com", "malformed-row"),
        (",,,,,info,", "no-recipient"),
        (f",,,,,info,a@x.com|{SECRET}@", "malformed-address"),
        (",,,,,info@,a", "malformed-address"),
        (",,,,,info,@x.com @y.com", "domain-among-recipients"),
        (f"a@x.com,,,,,,,{SECRET}", "malformed-row"),
        (f'a@x.com,"{SECRET}"x,,,,,', "malformed-row"),
        ("ok@x.com,,,,,,", "duplicate-row"),
    ],
    ids=repr,
)
def test_a_bad_row_of_csv_is_named_shows_no_secret_and_hides_no_other(line: str, code: str) -> None:
    text = f"{','.join(COLUMNS)}\nok@x.com,pw,,,,,\n{line}\nend@x.com,pw,,,,,\n"
    rows = csv.read(text, "people.csv")
    assert faults(rows) == [(3, code)]
    assert str(rows.findings[0]).startswith("people.csv:3: error: ")
    assert SECRET not in str(rows.findings[0])
    assert str(rows.findings[0]).isprintable()
    assert [row.entry.address for row in rows.rows if isinstance(row.entry, AccountRow)] == [
        "ok@x.com", "end@x.com",
    ]  # fmt: skip


COLUMNS = ("address", "password", "hash", "quota", "extra", "alias", "recipients")


@pytest.mark.parametrize(
    "head",
    [
        f"a@x.com,{SECRET}", SECRET, "adress,password", "password,recipients", "address,passwort",
        "address,password,Address", "alias,,recipients", '"address', '"address"x,password',
        "\udcff\udcfea\0d\0", "address,\udcff",
    ],
)  # fmt: skip
def test_a_header_that_makes_no_sense_ends_it(head: str) -> None:
    rows = csv.read(f"{head}\nb@x.com,pw\n", "people.csv")
    assert rows.rows == []
    assert [finding.where.line for finding in rows.findings] == [1]
    assert SECRET not in str(rows.findings[0])
    assert str(rows.findings[0]).isprintable()


def test_a_quote_that_is_never_closed_is_told_where_it_opens() -> None:
    rows = csv.read('address,password\na@x.com,pw\nb@x.com,"pw\nc@x.com,pw\n', "people.csv")
    assert faults(rows) == [(3, "malformed-row")]
    assert len(rows.rows) == 1


def test_rows_over_several_lines_are_counted_by_their_first() -> None:
    text = 'alias,recipients\na,"b\nc"\n\nbad@,x\nd,"e\n'
    assert faults(csv.read(text, "people.csv")) == [(5, "malformed-address"), (6, "malformed-row")]


def test_of_two_rows_with_one_key_the_second_names_the_first() -> None:
    rows = csv.read("address,alias,recipients\na@x.com\n,a@x.com,b\nA@X.com\n", "people.csv")
    assert faults(rows) == [(4, "duplicate-row")]
    assert "line 2" in rows.findings[0].message
    assert len(rows.rows) == 2, "an account and an alias are two things"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (f'{{"address":"a@x.com","password":"{SECRET}"', "malformed-row"),
        (f'"{SECRET}"', "malformed-row"),
        (f'["{SECRET}"]', "malformed-row"),
        (f'[{{"password":"{SECRET}"}}]', "malformed-row"),
        ("[" * 100_000, "malformed-row"),
        ("9" * 5000, "malformed-row"),
        ("{}", "malformed-row"),
        ('{"address":"a@x.com","password":12345}', "malformed-row"),
        ('{"address":"a@x.com","quota":0}', "malformed-row"),
        ('{"address":["a@x.com"]}', "malformed-row"),
        ('{"alias":"a","recipients":["b",1]}', "malformed-row"),
        ('{"alias":"a","recipients":{"b":"c"}}', "malformed-row"),
        ('{"alias":"a","recipients":[]}', "no-recipient"),
        ('{"address":"a@x.com","pasword":"x"}', "unknown-column"),
        ('{"address":"a@x.com","address":"b@x.com"}', "unknown-column"),
        ('{"address":"a@x.com","password":"\\ud800"}', "not-utf-8"),
        ('{"address":"a@x.com","password":"\udcff"}', "not-utf-8"),
        ('{"address":"OK@x.com"}', "duplicate-row"),
    ],
    ids=lambda text: text[:40],
)
def test_a_bad_json_line_is_named_shows_no_secret_and_hides_no_other(line: str, code: str) -> None:
    text = f'{{"address":"ok@x.com"}}\n{line}\n{{"address":"end@x.com"}}'
    rows = jsonl.read(text, "people.jsonl")
    assert faults(rows) == [(2, code)]
    assert SECRET not in str(rows.findings[0])
    assert str(rows.findings[0]).isprintable()
    assert len(rows.rows) == 2


def test_a_folder_is_read_as_everywhere_and_its_bad_lines_are_named() -> None:
    roster = Roster(
        accounts=Document(ACCOUNTS, f"# x\nA@x.com|{H}|nologin\nbad\nb@x.com|{H}\na@x.com|{H}\n"),
        quotas=Document(QUOTAS, "a@x.com:5g\nb@x.com:5GB\nnobody@x.com:1G\n"),
        virtual=Document(VIRTUAL, "i a@x.com,\n  b@x.com\nj\nk\n a@x.com\n"),
    )
    rows = folder.read(roster, "old", left_out(roster))
    assert [row.entry for row in rows.rows] == [
        AccountRow(A, "", H, "5G", "nologin"),
        AccountRow(B, "", H),
        Alias("i", ("a@x.com", "b@x.com")),
        Alias("k", ("a@x.com",)),
    ]
    assert [str(row.where) for row in rows.rows] == [
        "old/postfix-accounts.cf:2", "old/postfix-accounts.cf:4",
        "old/postfix-virtual.cf:1", "old/postfix-virtual.cf:4",
    ]  # fmt: skip
    assert sorted((str(f.where), f.severity, f.code) for f in rows.findings) == [
        ("old/dovecot-quotas.cf:2", "error", "malformed-quota"),
        ("old/dovecot-quotas.cf:3", "warning", "quota-without-account"),
        ("old/postfix-accounts.cf:3", "error", "missing-password"),
        ("old/postfix-accounts.cf:5", "warning", "duplicate-entry"),
        ("old/postfix-virtual.cf:3", "error", "no-recipient"),
    ]


@pytest.mark.parametrize("write", [csv.write, jsonl.write])
def test_hashes_are_written_only_if_asked_for(write: Callable[..., str]) -> None:
    entries = [AccountRow(A, "", H, "5G", "fail=y"), Alias("i", ("a@x.com", "b"))]
    assert H in write(entries, secrets=True)
    assert "hash" not in write(entries, secrets=False)
    assert "fail=y" in write(entries, secrets=False)
