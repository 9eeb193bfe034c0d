"""What a host's own Postfix asks our policy service about recipients."""

import os

import pytest

from mailroster.base.layout import Layout
from mailroster.base.settings import Sources, load
from mailroster.servers.config.host import LOGIN_CLASS, QUOTA_CLASS, parameters, rewrites_headers


def questions(had: dict[str, str], quotas: str = "1") -> str:
    """The context of the question about recipients, "" if there is none."""
    given = {"home": "/srv", "enable_quotas": quotas, "hostname": "mail.test"}
    settings = load(Sources(given, {}, lambda path: b"", os.path.isdir))
    layout = Layout(settings.state, "host")
    wanted = parameters(settings, layout, had, "$myhostname", submits=True, hides=False)
    restrictions = wanted["mailroster_recipient_restrictions"]
    _, found, rest = restrictions.partition("policy_context=")
    return rest.split()[0] if found else ""


@pytest.mark.parametrize(
    ("had", "quotas", "asked"),
    [
        pytest.param({}, "1", "recipient+quota/mailroster_quota_status", id="ours alone"),
        pytest.param({}, "0", "recipient/DUNNO", id="without quotas"),
        pytest.param(
            {"virtual_alias_maps": "$mailroster_aliases"}, "0", "recipient/DUNNO", id="ours again"
        ),
        pytest.param({"virtual_alias_maps": "hash:/x"}, "0", "", id="other aliases"),
        pytest.param(
            {"virtual_alias_maps": "$mailroster_aliases, hash:/x"}, "1",
            "quota/mailroster_quota_status", id="other aliases behind ours",
        ),
        pytest.param({"virtual_mailbox_maps": "hash:/x"}, "0", "", id="other mailboxes"),
        pytest.param({"transport_maps": "hash:/x"}, "0", "", id="other transports"),
        pytest.param(
            {"transport_maps": "$mailroster_transports"}, "0", "recipient/DUNNO", id="ours"
        ),
        pytest.param({"recipient_canonical_maps": "hash:/x"}, "0", "", id="rewritten recipients"),
    ],
)  # fmt: skip
def test_recipients_are_judged_only_where_all_tables_are_ours(
    had: dict[str, str], quotas: str, asked: str
) -> None:
    assert questions(had, quotas) == asked


def with_srs(had: dict[str, str]) -> dict[str, str]:
    settings = load(
        Sources({"home": "/srv", "enable_srs": "1"}, {}, lambda path: b"", os.path.isdir)
    )
    layout = Layout(settings.state, "host")
    return parameters(
        settings, layout, had, "$myhostname", submits=True, hides=False, own_domains=["own.test"]
    )  # fmt: skip


def test_rewritten_recipients_are_not_judged_by_the_service() -> None:
    wanted = with_srs({})
    last = wanted["mailroster_recipient_restrictions"].rpartition("check_recipient_access ")[2]
    assert last == (
        "pcre:{{/^(SRS[01][-+=].+@$myhostname)$$/ mailroster_bounces}, "
        "{/^/ mailroster_recipient_check}}"
    )
    assert "550 5.7.1 This address accepts only bounces" in wanted["mailroster_bounces"]
    assert "policy_context=recipient+quota/" in wanted["mailroster_recipient_check"]
    assert wanted["smtpd_restriction_classes"].endswith(", mailroster_recipient_check")


def test_own_tables_of_senders_are_before_srs() -> None:
    had = {"sender_canonical_maps": "hash:/x", "sender_canonical_classes": "envelope_sender"}
    assert not rewrites_headers(had)
    wanted = with_srs(had)
    assert wanted["sender_canonical_maps"] == "hash:/x, $mailroster_srs_senders"
    assert wanted["sender_canonical_classes"] == "envelope_sender"
    assert "mailroster_srs_classes" not in wanted
    assert "inline:{{own.test=own.test}}" in wanted["mailroster_srs_senders"]
    assert with_srs({})["sender_canonical_classes"] == "$mailroster_srs_classes"
    assert with_srs(wanted) == wanted, "a second time changes nothing"


@pytest.mark.parametrize(
    ("had", "rewrites"),
    [
        ({}, False), ({"sender_canonical_maps": "hash:/x"}, True),
        ({"sender_canonical_maps": "$mailroster_srs_senders"}, False),
        ({"sender_canonical_classes": "header_sender"}, True),
        ({"sender_canonical_classes": "$mailroster_srs_classes"}, False),
    ],
)  # fmt: skip
def test_own_tables_that_rewrite_headers_exclude_srs(had: dict[str, str], rewrites: bool) -> None:
    assert rewrites_headers(had) == rewrites


def test_the_transports_of_the_host_stay_behind_ours() -> None:
    settings = load(Sources({"home": "/srv"}, {}, lambda path: b"", os.path.isdir))
    layout = Layout(settings.state, "host")
    had = {"transport_maps": "hash:/x"}
    wanted = parameters(settings, layout, had, "$myhostname", submits=True, hides=False)
    assert wanted["transport_maps"] == "$mailroster_transports, hash:/x"


@pytest.mark.parametrize("submits", [True, False])
def test_the_login_is_judged_first_and_only_where_somebody_has_logged_in(submits: bool) -> None:
    settings = load(Sources({"home": "/srv"}, {}, lambda path: b"", os.path.isdir))
    layout = Layout(settings.state, "host")
    had = {"smtpd_sender_restrictions": "permit_mynetworks", "smtpd_restriction_classes": "theirs"}
    wanted = parameters(settings, layout, had, "$myhostname", submits=submits, hides=False)
    name = "mailroster_submission_restrictions" if submits else "mailroster_sender_restrictions"
    assert wanted[name].startswith("check_sasl_access static:mailroster_login_check, ")
    assert wanted["smtpd_restriction_classes"] == f"{LOGIN_CLASS}, {QUOTA_CLASS}, theirs"
    assert "policy_context=login }" in wanted["mailroster_login_check"]
    if submits:
        assert "login_check" not in wanted["mailroster_sender_restrictions"]
