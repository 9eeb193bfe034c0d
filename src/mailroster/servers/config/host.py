"""The settings that a host's own Postfix needs to use the tables (postconf(5), master(5)). Pure.

Each of our lists is a parameter of its own, and the first entry of Postfix's own list:

    mailroster_domains = lmdb:/var/lib/mailroster/tables/domains
    virtual_mailbox_domains = $mailroster_domains, lmdb:/etc/postfix/other_domains

So the administrator's entries stay after it, and can be distinguished from ours. `current` is what
main.cf sets now, with our settings or without.
"""

import re
from collections.abc import Mapping, Sequence

from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.servers.config import dkim, rspamd, srs
from mailroster.servers.config.lookups import (
    RECIPIENT_MAPS,
    Lookups,
    login_check,
    lookups,
    policy,
    quota_status,
    recipient_questions,
    sender_questions,
)
from mailroster.servers.config.postfix import CHAIN_FILES, relay_tls, submission_options
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

#: Classes of restrictions, for what our policy service can't decide. They never answer OK, which
#: would end the administrator's own restrictions.
QUOTA_CLASS, SENDER_CLASS = "mailroster_quota_status", "mailroster_sender_match"
#: The class for clients that have logged in.
LOGIN_CLASS = "mailroster_login_check"
_OWN_ENTRY = re.compile(r"(?:(?<=[\s,])|^)!?(?:\$\{?)?mailroster_\w+\}?")
_CLASSES = "smtpd_restriction_classes"
_HELO = "smtpd_helo_restrictions"
_OWN_CERTIFICATES = "mailroster_certificates"
#: The cleanup service of submissions, and the prefix of our parameters.
CLEANUP, _PREFIX = "mailroster-cleanup", "mailroster_"
#: The parameters with our signer, and with the milters of submissions.
MILTER, SUBMISSION_MILTERS = "mailroster_dkim", "mailroster_milters"
_MAPS, _OWN_MAIL = "mailroster_milter_maps", "mailroster_own_mail"
#: The lists of Postfix with an entry for the signer, and that entry.
_SIGNED = {dkim.NON_SMTPD: MILTER, dkim.MILTER_MAPS: _MAPS, dkim.FILTER_CLASSES: _OWN_MAIL}
#: The class with the questions to our policy service about a recipient, and the lists for SRS.
RECIPIENT_CLASS = "mailroster_recipient_check"
_SRS_SENDERS, _SRS_RECIPIENTS = "mailroster_srs_senders", "mailroster_srs_recipients"
_SRS_CLASSES = "mailroster_srs_classes"
SENDER_CLASSES, SENDER_MAPS = "sender_canonical_classes", "sender_canonical_maps"
#: The parameters of Postfix with an entry for SRS, and that entry.
_REWRITTEN = {
    SENDER_MAPS: _SRS_SENDERS,
    "recipient_canonical_maps": _SRS_RECIPIENTS,
    SENDER_CLASSES: _SRS_CLASSES,
}
_SENDERS = "  -o smtpd_sender_restrictions=$mailroster_submission_restrictions"
#: The services for submissions, with the names that an existing one may have in master.cf.
_SUBMISSIONS = {
    "submission/inet": ("submission", "587"),
    "submissions/inet": ("submissions", "smtps", "465"),
}


def parameters(
    settings: Settings,
    layout: Layout,
    current: Mapping[str, str],
    default_destination: str,
    *,
    submits: bool,
    hides: bool,
    signers: Sequence[str] = (),
    networks: Sequence[str] = (),
    own_domains: Sequence[str] = (),
) -> dict[str, str]:
    """Settings of main.cf by name: our own parameters, then Postfix's.

    `default_destination`: Postfix's default of mydestination. `submits`: the result of `submits`.
    `hides`: whether a service of ours removes the client from submitted mail. `signers`: the kinds
    of keys with which OpenDKIM signs; `networks`: those whose clients get a signature without a
    login. `own_domains`: domains of the administrator whose senders are not rewritten.
    """
    tables = lookups(settings, layout)
    classes = _classes(settings, layout, current)
    submission = _submission_restrictions(settings, layout, tables)
    # Without a service where users log in, Postfix warns of the restrictions for them.
    senders = tables.senders[:1] if submits else submission
    recipients = _recipient_restrictions(settings, layout, current, tables)
    lists = _lists(tables, senders, recipients, submits=submits)
    result = dict(classes)
    if submits:
        result["mailroster_submission_restrictions"] = ", ".join(submission)
    result |= {name: ", ".join(values) for name, values in lists.values()}
    if settings.reject_forged_senders:
        result["mailroster_forged_senders"] = (
            f"permit_mynetworks, permit_sasl_authenticated, {forged_senders(layout)}"
        )
    if hides:
        # In one line, as postconf prints them.
        result |= {name: " ".join(text.split()) for name, text in hidden_headers(_PREFIX).items()}
        result |= submission_checks(current, _PREFIX)
    if settings.names_certificate():
        result[_OWN_CERTIFICATES] = ", ".join(layout.active_certificates(settings))
        result[CHAIN_FILES] = f"${_OWN_CERTIFICATES}"
    result |= _signed(layout, current, signers, networks)
    result |= _filtered(settings, layout, current)
    result |= _rewritten(settings, layout, current, own_domains)
    for name, (own_list, _) in lists.items():
        result[name] = _joined(f"${own_list}", without_own(current.get(name, "")))
    if value := _joined(*classes, without_own(current.get(_CLASSES, ""))):
        result[_CLASSES] = value
    # Last in a list of the client, since an OK there ends the list.
    own_helo = "$mailroster_forged_senders" if settings.reject_forged_senders else ""
    if value := _joined(without_own(current.get(_HELO, "")), own_helo):
        result[_HELO] = value
    return result | _values(settings, layout, current, default_destination)


def _signed(
    layout: Layout, current: Mapping[str, str], signers: Sequence[str], networks: Sequence[str]
) -> dict[str, str]:
    """The milters that sign submissions, mail of the machine itself and of trusted networks. Mail
    from other servers passes only the milters of the administrator."""
    own: dict[str, str] = {}
    if signers:
        others = without_own(current.get("smtpd_milters", ""))
        own = {
            MILTER: dkim.milter(layout, signers),
            SUBMISSION_MILTERS: dkim.with_milter(others, MILTER),
            _OWN_MAIL: dkim.OWN_MAIL,
        }
        if networks:
            own[_MAPS] = dkim.milter_maps(networks, f"${SUBMISSION_MILTERS}")
    result = dict(own)
    for name, entry in _SIGNED.items():
        entries = [f"${entry}"] if entry in own else []
        if value := _joined(without_own(current.get(name, "")), *entries):
            result[name] = value
    return result


def _filtered(settings: Settings, layout: Layout, current: Mapping[str, str]) -> dict[str, str]:
    """The spam filter of mail from other servers, after the milters of the administrator."""
    milters = without_own(current.get(rspamd.MILTERS, ""))
    if not settings.enable_rspamd:
        return {rspamd.MILTERS: milters} if milters else {}
    return {
        rspamd.MILTER: rspamd.milter(layout),
        rspamd.MILTERS: dkim.with_milter(milters, rspamd.MILTER),
    }


def _rewritten(
    settings: Settings, layout: Layout, current: Mapping[str, str], own_domains: Sequence[str]
) -> dict[str, str]:
    """SRS. A sender of the administrator's own table is not rewritten any further, so the own
    table is first; a recipient that was rewritten by us is in no other table."""
    theirs = {name: without_own(current.get(name, "")) for name in _REWRITTEN}
    if not settings.enable_srs:
        return {name: value for name, value in theirs.items() if value}
    own = {
        _SRS_SENDERS: srs.senders(settings, layout, own_domains),
        _SRS_RECIPIENTS: srs.recipients(settings, layout),
    }
    lists = {name: _joined(value, f"${_REWRITTEN[name]}") for name, value in theirs.items()}
    if theirs[SENDER_CLASSES]:  # `plan` has seen that it has the right value
        lists[SENDER_CLASSES] = theirs[SENDER_CLASSES]
    else:
        own[_SRS_CLASSES] = srs.ENVELOPE
    return own | lists


def rewrites_headers(current: Mapping[str, str]) -> bool:
    """Whether the administrator's settings rewrite more than the envelope sender, which SRS does
    not allow: Postfix has one list of tables for all kinds of senders."""
    classes = without_own(current.get(SENDER_CLASSES, ""))
    has_maps = bool(without_own(current.get(SENDER_MAPS, "")))
    return classes != srs.ENVELOPE if classes else has_maps


def _classes(settings: Settings, layout: Layout, current: Mapping[str, str]) -> dict[str, str]:
    """Classes of restrictions by name, in the order of smtpd_restriction_classes."""
    classes = {LOGIN_CLASS: login_check(layout)}
    if settings.spoof_protection:
        classes[SENDER_CLASS] = "reject_authenticated_sender_login_mismatch"
    if settings.enable_quotas:
        classes[QUOTA_CLASS] = quota_status(layout)
    check = _recipient_check(settings, layout, current)
    if settings.enable_srs:
        classes[srs.BOUNCES] = srs.bounces("DUNNO")
        if check:
            classes[RECIPIENT_CLASS] = check
    return classes


def _submission_restrictions(settings: Settings, layout: Layout, tables: Lookups) -> list[str]:
    # Before any restriction that permits, and only for clients that have logged in.
    restrictions = [f"check_sasl_access static:{LOGIN_CLASS}", *tables.senders]
    if settings.spoof_protection:
        context = f"{sender_questions(settings)}/{SENDER_CLASS}"
        restrictions.append(policy(layout, context, SENDER_CLASS))
    return restrictions


def _recipient_restrictions(
    settings: Settings, layout: Layout, current: Mapping[str, str], tables: Lookups
) -> list[str]:
    check = _recipient_check(settings, layout, current)
    if settings.enable_srs:
        check = (
            srs.unless_rewritten(settings, layout, RECIPIENT_CLASS)
            if check
            else srs.accepted(settings, layout)
        )
    return [*tables.recipients, *([check] if check else [])]


def _recipient_check(settings: Settings, layout: Layout, current: Mapping[str, str]) -> str:
    """The questions to our policy service about a recipient, "" for none."""
    # It can decide whether a recipient exists only if all tables are ours.
    exists = not any(without_own(current.get(name, "")) for name in RECIPIENT_MAPS)
    questions = recipient_questions(settings, exists=exists)
    otherwise = QUOTA_CLASS if settings.enable_quotas else "DUNNO"
    return policy(layout, f"{questions}/{otherwise}", otherwise) if questions else ""


def _lists(
    tables: Lookups, senders: list[str], recipients: list[str], *, submits: bool
) -> dict[str, tuple[str, list[str]]]:
    """The lists of Postfix with entries of ours: our parameter in each, and the entries."""
    return {
        "virtual_mailbox_domains": ("mailroster_domains", tables.domains),
        "virtual_mailbox_maps": ("mailroster_mailboxes", tables.mailboxes),
        "virtual_alias_maps": ("mailroster_aliases", tables.aliases),
        "smtpd_sender_login_maps": ("mailroster_sender_logins", tables.sender_logins),
        "smtpd_sender_restrictions": ("mailroster_sender_restrictions", senders),
        "smtpd_recipient_restrictions": ("mailroster_recipient_restrictions", recipients),
        "smtpd_data_restrictions": ("mailroster_data_restrictions", [DATA_RESTRICTIONS]),
        # Not where users submit to a service of the administrator: it would apply to them, too.
        "smtpd_discard_ehlo_keywords": (
            "mailroster_not_offered", [NOT_OFFERED] if submits else [],
        ),
        "transport_maps": ("mailroster_transports", tables.transports),
        "sender_dependent_default_transport_maps": ("mailroster_relays", tables.relays),
        "smtpd_command_filter": ("mailroster_commands", tables.commands),
    }  # fmt: skip


def _values(
    settings: Settings, layout: Layout, current: Mapping[str, str], default_destination: str
) -> dict[str, str]:
    """Parameters of Postfix that are no lists of ours."""
    destination = without_own(current.get("mydestination", default_destination))
    aliases = without_own(current.get("virtual_alias_maps", ""))
    values = {name: current.get(name, value) for name, value in SAFE.items()} | {
        # A served domain is never one of the machine's own, even if it is listed there.
        "mydestination": _joined("!$mailroster_domains", destination),
        # The default would be the keys of our tables, and everything that a pattern matches.
        "virtual_alias_domains": current.get("virtual_alias_domains", aliases),
        "virtual_transport": f"lmtp:unix:{layout.from_postfix(layout.lmtp)}",
        "recipient_delimiter": settings.recipient_delimiter,
    }
    if "-" in settings.recipient_delimiter:
        values["owner_request_special"] = "no"
    return values | {
        "smtputf8_enable": "no",  # Dovecot's LMTP lacks it: such mail would bounce
        "smtpd_sasl_type": "dovecot",
        "smtpd_sasl_path": layout.from_postfix(layout.auth),
    }


def stale(current: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """Parameters of ours that are no longer used, and lists in which only ours was."""
    removed = [name for name in current if name.startswith(_PREFIX) and name not in wanted]
    if current.get(CHAIN_FILES) == f"${_OWN_CERTIFICATES}" and CHAIN_FILES not in wanted:
        removed.append(CHAIN_FILES)
    return removed + [
        name
        for name in (_CLASSES, _HELO, rspamd.MILTERS, *_SIGNED, *_REWRITTEN)
        if current.get(name) and name not in wanted
    ]


def submits(current: Mapping[str, str], services: set[str]) -> bool:
    """Whether users submit mail only to services of ours, and no other service has logins.
    `services` are those of master.cf, as `smtp/inet`, without ours."""
    exists = any(f"{name}/inet" in services for names in _SUBMISSIONS.values() for name in names)
    return not exists and current.get("smtpd_sasl_auth_enable", "no") != "yes"


def own_submissions(existing: set[str]) -> list[str]:
    """The services of the administrator to which users submit mail."""
    names = (f"{name}/inet" for names in _SUBMISSIONS.values() for name in names)
    return [name for name in names if name in existing]


def services(
    settings: Settings,
    layout: Layout,
    existing: set[str],
    *,
    submits: bool,
    signs: bool = False,
) -> dict[str, str]:
    """Our entries of master.cf by service and type: for the relays, and for submissions unless
    master.cf has such services. `existing`: the services of master.cf without ours; `submits`: see
    above. `signs`: OpenDKIM signs what users submit."""
    senders = [_SENDERS] if submits else []
    logins = lookups(settings, layout).relay_logins
    with_login = ["  -o smtp_sasl_auth_enable=yes"]
    with_login += [f"  -o {{ {name} = {value} }}" for name, value in logins.items()]
    options = submission_options(settings, CLEANUP, SUBMISSION_MILTERS if signs else "")
    entries = {
        f"{RELAYED}/unix": [
            f"{RELAYED} unix - - n - - smtp", *with_login, relay_tls(settings),
        ],
        f"{RELAYED_TLS}/unix": [
            f"{RELAYED_TLS} unix - - n - - smtp", *with_login, "  -o smtp_tls_wrappermode=yes",
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
        if any(f"{name}/inet" in existing for name in names):
            del entries[service]
    if settings.hide_client and entries.keys() & _SUBMISSIONS.keys():
        entries[f"{CLEANUP}/unix"] = [cleanup_service(CLEANUP, _PREFIX)]
    return {service: "\n".join(lines).rstrip("\n") for service, lines in entries.items()}


def without_own(value: str) -> str:
    """A list without the entries that we have added at its beginning."""
    return _OWN_ENTRY.sub("", value).strip(" \t\n,")


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)
