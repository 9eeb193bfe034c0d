"""The records in replies of name servers."""

import dns.message
import dns.rcode
import dns.rrset
import pytest

from mailroster.base.dns import ANSWERED, NO_NAME, Answer
from mailroster.system.dns_messages import ALIASES_MAX, is_referral, name_text, read_records


def reply(*rows: tuple[str, str, str, str], rcode: str = "NOERROR") -> dns.message.Message:
    """A reply with records: name, class, type, value."""
    message = dns.message.make_response(dns.message.make_query("x.com.", "MX"))
    message.set_rcode(dns.rcode.from_text(rcode))
    message.answer = [dns.rrset.from_text(name, 60, *rest) for name, *rest in rows]
    return dns.message.from_wire(message.to_wire())


@pytest.mark.parametrize(
    ("kind", "value", "fields"),
    [
        ("A", "192.0.2.1", ("192.0.2.1",)), ("AAAA", "2001:DB8::1", ("2001:db8::1",)),
        ("MX", "10 Mail.X.com.", ("10", "mail.x.com")), ("MX", "0 .", ("0", ".")),
        ("TXT", '"a" "b\\255"', ("ab\\xff",)), ("CNAME", "Y.com.", ("y.com",)),
        ("SRV", "1 2 993 Mail.x.com.", ("1", "2", "993", "mail.x.com")),
        ("CAA", '0 issue "ca.org"', ("0", "issue", "ca.org")),
        ("TLSA", "3 1 1 " + "AB" * 32, ("3", "1", "1", "ab" * 32)), ("PTR", "A.x.", ("a.x",)),
        ("NS", "Ns.x.", ("ns.x",)),
    ],
)  # fmt: skip
def test_the_fields_of_each_type(kind: str, value: str, fields: tuple[str, ...]) -> None:
    answer, aliases = read_records(reply(("x.com.", "IN", kind, value)), "x.com", kind)
    assert (answer, aliases) == (Answer(ANSWERED, (fields,)), [])


@pytest.mark.parametrize("kind", ["AAAA", "SRV", "CNAME"])
def test_records_of_another_class_do_not_count(kind: str) -> None:
    """A hostile server may send one: its fields are others, and its address is none."""
    raw = reply(("x.com.", "CLASS64000", kind, r"\# 3 016100"))
    assert read_records(raw, "x.com", kind) == (Answer(ANSWERED), [])


def test_aliases_are_followed_within_a_reply() -> None:
    rows = [("x.com.", "IN", "CNAME", "Y.com."), ("y.com.", "IN", "CNAME", "z.com.")]
    found = read_records(reply(*rows, ("z.com.", "IN", "MX", "1 a.")), "x.com", "MX")
    assert found == (Answer(ANSWERED, (("1", "a"),)), ["y.com", "z.com"])
    assert read_records(reply(*rows), "x.com", "MX") == (Answer(ANSWERED), ["y.com", "z.com"])
    found = read_records(reply(*rows, rcode="NXDOMAIN"), "x.com", "MX")
    assert found == (Answer(NO_NAME), ["y.com", "z.com"])


def test_a_loop_of_aliases_ends() -> None:
    rows = [("x.com.", "IN", "CNAME", "y.com."), ("y.com.", "IN", "CNAME", "x.com.")]
    answer, aliases = read_records(reply(*rows), "x.com", "MX")
    assert (answer, len(aliases)) == (Answer(ANSWERED), ALIASES_MAX)


def test_at_most_two_hundred_records_are_read() -> None:
    rows = [("x.com.", "IN", "A", f"10.0.{number // 200}.{number % 200}") for number in range(300)]
    message = dns.message.make_response(dns.message.make_query("x.com.", "A"))
    message.answer = [dns.rrset.from_text("x.com.", 60, "IN", "A", *(row[3] for row in rows))]
    assert len(read_records(message, "x.com", "A")[0].records) == 200


def test_the_root_is_a_dot() -> None:
    assert name_text(dns.name.root) == "."


def test_a_referral_names_servers_without_an_answer_of_its_own() -> None:
    message = reply()
    assert not is_referral(message)
    message.authority = [dns.rrset.from_text("x.com.", 60, "IN", "NS", "ns.x.com.")]
    assert is_referral(message)
    message.flags |= dns.flags.AA
    assert not is_referral(message)
    message = reply(("x.com.", "IN", "MX", "1 a."))
    message.authority = [dns.rrset.from_text("x.com.", 60, "IN", "NS", "ns.x.com.")]
    assert not is_referral(message)
