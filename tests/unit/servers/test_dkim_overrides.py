"""Milters of a `postfix-main.cf`: the signer stays, as the last, where mail is signed."""

import pytest

from mailroster.base.layout import Layout
from mailroster.base.settings import Sources, load
from mailroster.servers.config import dkim, overrides, postfix

SETTINGS = load(Sources({"home": "/srv/mail"}, {}, lambda path: b"", lambda path: False))


def main_cf(text: str, *signers: str) -> dict[str, str]:
    base = postfix.main_cf(SETTINGS, Layout(SETTINGS.state), signers)
    lines = overrides.main_cf(base, text).split("\n")
    pairs = (line.partition(" =") for line in lines if line[:1] not in (" ", "#"))
    return {name: value.strip() for name, _, value in pairs}


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("smtpd_milters = inet:a:1\n", "submission_milters", "inet:a:1, $dkim_milter"),
        ("smtpd_milters = inet:a:1\n", "smtpd_milters", "inet:a:1"),
        ("smtpd_milters = $dkim_milter\n", "submission_milters", "$dkim_milter"),
        ("non_smtpd_milters = inet:a:1\n", "non_smtpd_milters", "inet:a:1, $dkim_milter"),
        ("non_smtpd_milters =\n", "non_smtpd_milters", ""),
        ("mynetworks = 10.0.0.0/8 hash:/x\n", "smtpd_milter_maps",
         "cidr:{ { 10.0.0.0/8 $submission_milters } }"),
        ("biff = no\n", "submission_milters", "$dkim_milter"),
    ],
)  # fmt: skip
def test_the_signer_is_kept(text: str, name: str, expected: str) -> None:
    assert main_cf(text, dkim.RSA)[name] == expected


def test_without_a_key_nothing_is_added() -> None:
    found = main_cf("smtpd_milters = inet:a:1\nmynetworks = 10.0.0.0/8\n")
    assert [name for name in found if "milter" in name] == ["smtpd_milters"]


def test_each_kind_of_keys_has_a_milter_that_refuses_for_now() -> None:
    milters = main_cf("", *dkim.KINDS)["dkim_milter"]
    assert milters.count("default_action=tempfail") == milters.count("unix:") == 2
