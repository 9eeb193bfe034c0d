"""What a Postfix that somebody else configures needs, to serve from the tables (postconf(5),
master(5)). Pure.

Each of our lists is a parameter of its own, named first in the list of Postfix that it belongs to:

    mailroster_domains = lmdb:/var/lib/mailroster/tables/domains
    virtual_mailbox_domains = $mailroster_domains, lmdb:/etc/postfix/other_domains

so that what the administrator has set stays behind it, and can be told from ours.
"""

import re
from collections.abc import Mapping

from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.servers.config.lookups import (
    RECIPIENT_MAPS,
    login_check,
    lookups,
    policy,
    quota_status,
    recipient_questions,
    sender_questions,
)
from mailroster.servers.config.postfix import relay_tls, submission_options
from mailroster.servers.config.relays import RELAYED, RELAYED_TLS
from mailroster.servers.config.smtp_safety import (
    DATA_RESTRICTIONS,
    NOT_OFFERED,
    SAFE,
    cleanup_service,
    forged_senders,
    hidden_headers,
    submission_checks,
)

#: Classes of restrictions, for what our policy service can't tell. It never says OK here, which
#: would be the end of the administrator's own restrictions.
QUOTA_CLASS, SENDER_CLASS = "mailroster_quota_status", "mailroster_sender_match"
#: The class for who has logged in.
LOGIN_CLASS = "mailroster_login_check"
_OURS = re.compile(r"(?:(?<=[\s,])|^)!?(?:\$\{?)?mailroster_\w+\}?")
_CLASSES = "smtpd_restriction_classes"
_HELO = "smtpd_helo_restrictions"
#: The cleanup service of submissions, and what the names of our parameters begin with.
CLEANUP, _PREFIX = "mailroster-cleanup", "mailroster_"
_SENDERS = "  -o smtpd_sender_restrictions=$mailroster_submission_restrictions"
#: By service of master.cf: the names under which one may have it already.
_SUBMISSIONS = {
    "submission/inet": ("submission", "587"),
    "submissions/inet": ("submissions", "smtps", "465"),
}


def parameters(
    settings: Settings,
    layout: Layout,
    had: Mapping[str, str],
    default_destination: str,
    *,
    submits: bool,
    hides: bool,
) -> dict[str, str]:
    """Settings of main.cf by name. `had` is what main.cf sets now, with ours in it or without;
    `default_destination` is Postfix's own mydestination. `submits` as below; `hides` is whether a
    service of ours takes the client out of submitted mail."""
    s, found = settings, lookups(settings, layout)
    recipients, classes = [*found.recipients], [LOGIN_CLASS]
    ours: dict[str, str] = {LOGIN_CLASS: login_check(layout)}
    # Before any restriction that permits, and not for clients that have not logged in.
    senders = [f"check_sasl_access static:{LOGIN_CLASS}", *found.senders]
    if s.spoof_protection:
        classes.append(SENDER_CLASS)
        ours[SENDER_CLASS] = "reject_authenticated_sender_login_mismatch"
        senders.append(policy(layout, f"{sender_questions(s)}/{SENDER_CLASS}", SENDER_CLASS))
    if submits:
        ours["mailroster_submission_restrictions"] = ", ".join(senders)
        senders = found.senders[:1]  # Postfix complains of others where nobody logs in
    if s.enable_quotas:
        classes.append(QUOTA_CLASS)
        ours[QUOTA_CLASS] = quota_status(layout)
    # Whether a recipient exists is for tables that we know; the administrator may have others.
    exists = not any(without_ours(had.get(name, "")) for name in RECIPIENT_MAPS)
    if questions := recipient_questions(s, exists=exists):
        otherwise = QUOTA_CLASS if s.enable_quotas else "DUNNO"
        recipients.append(policy(layout, f"{questions}/{otherwise}", otherwise))
    lists = {
        "virtual_mailbox_domains": ("mailroster_domains", found.domains),
        "virtual_mailbox_maps": ("mailroster_mailboxes", found.mailboxes),
        "virtual_alias_maps": ("mailroster_aliases", found.aliases),
        "smtpd_sender_login_maps": ("mailroster_sender_logins", found.sender_logins),
        "smtpd_sender_restrictions": ("mailroster_sender_restrictions", senders),
        "smtpd_recipient_restrictions": ("mailroster_recipient_restrictions", recipients),
        "smtpd_data_restrictions": ("mailroster_data_restrictions", [DATA_RESTRICTIONS]),
        # Where users submit to a service of the administrator, this would concern them too.
        "smtpd_discard_ehlo_keywords": (
            "mailroster_not_offered", [NOT_OFFERED] if submits else [],
        ),
        "transport_maps": ("mailroster_transports", found.transports),
        "sender_dependent_default_transport_maps": ("mailroster_relays", found.relays),
        "smtpd_command_filter": ("mailroster_commands", found.commands),
    }  # fmt: skip
    ours |= {name: ", ".join(values) for name, values in lists.values()}
    theirs = {parameter: without_ours(had.get(parameter, "")) for parameter in lists}
    said = {parameter: _listed(f"${lists[parameter][0]}", theirs[parameter]) for parameter in lists}
    if kept := _listed(*classes, without_ours(had.get(_CLASSES, ""))):
        said[_CLASSES] = kept
    helo = without_ours(had.get(_HELO, ""))
    if s.reject_forged_senders:
        # Last in a list of the client, since an OK here is the end of a list.
        ours["mailroster_forged_senders"] = (
            f"permit_mynetworks, permit_sasl_authenticated, {forged_senders(layout)}"
        )
        helo = _listed(helo, "$mailroster_forged_senders")
    if helo:
        said[_HELO] = helo
    if hides:
        for name, tables in hidden_headers(_PREFIX).items():
            ours[name] = " ".join(tables.split())  # as postconf shows it
        ours |= submission_checks(had, _PREFIX)
    said |= {name: had.get(name, value) for name, value in SAFE.items()}
    local = without_ours(had.get("mydestination", default_destination))
    # A domain that is served is none of the machine's own, even if it is listed there.
    said["mydestination"] = _listed("!$mailroster_domains", local)
    # By default these would be the keys of our tables, and whatever a pattern matches.
    said["virtual_alias_domains"] = had.get("virtual_alias_domains", theirs["virtual_alias_maps"])
    said["virtual_transport"] = f"lmtp:unix:{layout.from_postfix(layout.lmtp)}"
    said["recipient_delimiter"] = s.recipient_delimiter
    if "-" in s.recipient_delimiter:
        said["owner_request_special"] = "no"
    said["smtputf8_enable"] = "no"  # which Dovecot's LMTP lacks: such mail would bounce
    said["smtpd_sasl_type"] = "dovecot"
    said["smtpd_sasl_path"] = layout.from_postfix(layout.auth)
    return {**ours, **said}


def stale(had: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """Parameters of ours that nothing names any more, and lists in which only ours was."""
    removed = [name for name in had if name.startswith(_PREFIX) and name not in wanted]
    return removed + [name for name in (_CLASSES, _HELO) if had.get(name) and name not in wanted]


def submits(had: Mapping[str, str], services: set[str]) -> bool:
    """Whether mail is submitted to services of ours alone, so that nobody logs in elsewhere. `had`
    is what main.cf sets, `services` are those of master.cf, as `smtp/inet`, but for ours."""
    taken = any(f"{name}/inet" in services for names in _SUBMISSIONS.values() for name in names)
    return not taken and had.get("smtpd_sasl_auth_enable", "no") != "yes"


def services(settings: Settings, layout: Layout, had: set[str], *, submits: bool) -> dict[str, str]:
    """Entries of master.cf by service and type. `had` are those there now, but for ours; `submits`
    as above.

    The ways to the relays, and what is submitted, unless there are services for that.
    """
    senders = [_SENDERS] if submits else []
    logins = lookups(settings, layout).relay_logins
    logged_in = ["  -o smtp_sasl_auth_enable=yes"]
    logged_in += [f"  -o {{ {name} = {value} }}" for name, value in logins.items()]
    options = submission_options(settings, CLEANUP)
    found = {
        f"{RELAYED}/unix": [
            f"{RELAYED} unix - - n - - smtp", *logged_in, relay_tls(settings),
        ],
        f"{RELAYED_TLS}/unix": [
            f"{RELAYED_TLS} unix - - n - - smtp", *logged_in, "  -o smtp_tls_wrappermode=yes",
            relay_tls(settings, at_least="encrypt"),
        ],
        "submission/inet": [
            "submission inet n - n - - smtpd", "  -o syslog_name=postfix/submission",
            "  -o smtpd_tls_security_level=encrypt", *senders, options,
        ],
        "submissions/inet": [
            "submissions inet n - n - - smtpd", "  -o syslog_name=postfix/submissions",
            "  -o smtpd_tls_wrappermode=yes", *senders, options,
        ],
    }  # fmt: skip
    for service, names in _SUBMISSIONS.items():
        if any(f"{name}/inet" in had for name in names):
            del found[service]
    if settings.hide_client and found.keys() & _SUBMISSIONS.keys():
        found[f"{CLEANUP}/unix"] = [cleanup_service(CLEANUP, _PREFIX)]
    return {service: "\n".join(lines).rstrip("\n") for service, lines in found.items()}


def without_ours(value: str) -> str:
    """A list without what we have put in front of it."""
    return _OURS.sub("", value).strip(" \t\n,")


def _listed(*parts: str) -> str:
    return ", ".join(part for part in parts if part)
