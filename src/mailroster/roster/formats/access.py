"""`postfix-send-access.cf`, `postfix-receive-access.cf`: who may not send, who may not receive.

    restriction = key action

    john.doe@example.com   REJECT

access(5): a line that starts with a blank continues the one before. The key is `user@domain`, a
domain with its subdomains, `user@`, `<>` (the sender of a bounce), or an address literal. Keys of
other forms match no address. Postfix replies to an unknown action with 451, and ignores actions
that lack their argument. Both are errors here, so they never get into Postfix's table.
"""

import re
from typing import NamedTuple

from mailroster.base import address
from mailroster.base.findings import ParseError
from mailroster.roster.formats.lookup_table import LookupTable

#: Actions with an optional text.
_OPTIONAL_TEXT = frozenset((
    "DEFER", "DEFER_IF_PERMIT", "DEFER_IF_REJECT", "DISCARD", "DUNNO", "HOLD", "INFO", "OK",
    "REJECT", "RELAY", "WARN",
))  # fmt: skip
#: Actions with an argument: its form, and an example. Without it Postfix accepts the mail.
_WITH_ARGUMENT = {
    "BCC": (re.compile(r"[^\s@]+@[^\s@]+"), "BCC user@example.com"),
    "FILTER": (re.compile(r"[^\s:]+:\S*"), "FILTER transport:destination"),
    "PREPEND": (re.compile(r"[!-9;-~]+:.*"), "PREPEND Header-Name: text"),
    "REDIRECT": (re.compile(r"[^\s@]+@[^\s@]+"), "REDIRECT user@example.com"),
}
#: Restrictions of postconf(5) without an argument. Those with one (`check_…`, `reject_rbl_client`)
#: can name files and servers, and stop all mail if these are missing.
_RESTRICTIONS = frozenset((
    "defer", "defer_if_permit", "defer_if_reject", "defer_unauth_destination", "permit",
    "permit_auth_destination", "permit_inet_interfaces", "permit_mynetworks",
    "permit_sasl_authenticated", "permit_tls_all_clientcerts", "permit_tls_clientcerts", "reject",
    "reject_authenticated_sender_login_mismatch", "reject_invalid_helo_hostname",
    "reject_known_sender_login_mismatch", "reject_multi_recipient_bounce",
    "reject_non_fqdn_helo_hostname", "reject_non_fqdn_recipient", "reject_non_fqdn_sender",
    "reject_plaintext_session", "reject_sender_login_mismatch", "reject_unauth_destination",
    "reject_unauth_pipelining", "reject_unauthenticated_sender_login_mismatch",
    "reject_unknown_client_hostname", "reject_unknown_helo_hostname",
    "reject_unknown_recipient_domain", "reject_unknown_reverse_client_hostname",
    "reject_unknown_sender_domain", "reject_unlisted_recipient", "reject_unlisted_sender",
    "reject_unverified_recipient", "reject_unverified_sender", "warn_if_reject",
))  # fmt: skip
#: An ASCII domain; that of a foreign sender may have underscores.
_FOREIGN = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_REPLY_CODE = re.compile(r"[45][0-9]{2}")


class Restriction(NamedTuple):
    key: str
    action: str


class Access(LookupTable[Restriction]):
    def __init__(self, file: str) -> None:
        self.file = file

    def key(self, line: str) -> str:
        word = super().key(line)
        if "@" in word or word.isascii():
            return word
        try:
            return address.access(word)
        except ParseError:
            return word

    def parse(self, line: str) -> Restriction:
        key, action = self.words(line)
        if not action:
            raise ParseError("missing-action", f"{key!r} has no action", "write ADDRESS REJECT")
        _check_key(key)
        _check_action(action)
        return Restriction(self.key(line), action)


def _check_key(key: str) -> None:
    """Raises ParseError for a key that matches no sender and no recipient."""
    local, at, domain = key.rpartition("@")
    if key == "<>" or _is_literal(key) or (local and _is_literal(domain)):
        return
    if at and not local:
        raise _without_effect(key, f"write {domain or 'example.com'!r} for the whole domain")
    if key[0] == "." and not at:
        raise _without_effect(key, f"write {key[1:]!r}, which includes all domains below it")
    if "*" in key:
        hint = f"write {domain!r} for the whole domain" if local == "*" else "write the address"
        raise _without_effect(key, hint)
    if not at and re.fullmatch(r"[0-9.]+", key):
        raise _without_effect(
            key, "write an address or a domain; the file is not checked against clients"
        )
    if at:
        address.alias(f"{local}@example.com")
    if domain and not _FOREIGN.fullmatch(domain):
        address.fold_domain(domain)


def _is_literal(domain: str) -> bool:
    """Whether a domain is an address literal: `[192.0.2.1]` (RFC 5321, section 4.1.3)."""
    return re.fullmatch(r"\[[0-9A-Za-z.:]+\]", domain) is not None


def _without_effect(key: str, hint: str) -> ParseError:
    return ParseError("key-without-effect", f"{key!r} matches no address", hint)


def _check_action(action: str) -> None:
    """Raises ParseError for an action that Postfix does not have."""
    word, *rest = action.split(None, 1)
    text = "".join(rest)
    name = word.upper()
    if name in _OPTIONAL_TEXT:
        return
    if name in _WITH_ARGUMENT:
        form, example = _WITH_ARGUMENT[name]
        if not form.fullmatch(text):
            message = f"{name} has no argument that Postfix can use, so the mail passes"
            raise ParseError("unknown-action", message, f"write {example}")
        return
    if word.isascii() and word.isdigit() and not text:
        if _REPLY_CODE.fullmatch(word):
            message = f"with a number alone, as {word!r}, the mail passes"
            raise ParseError("unknown-action", message, f"write {word} and a text, or REJECT")
        return
    if _REPLY_CODE.fullmatch(word):
        return
    names = action.replace(",", " ").split()
    if action[0] == "," or not _RESTRICTIONS.issuperset(name.lower() for name in names):
        message = (
            f"Postfix has no action {action!r}, or it can't be used here; it would reply with 451"
        )
        raise ParseError(
            "unknown-action", message, "write REJECT to refuse the mail, OK to accept it"
        )


SEND_ACCESS = Access("postfix-send-access.cf")
RECEIVE_ACCESS = Access("postfix-receive-access.cf")
