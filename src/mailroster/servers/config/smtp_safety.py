"""Settings that protect Postfix from clients, and hide the clients of its users (postconf(5)). Pure
text.

A private Postfix and a host's own have the same values.
"""

from collections.abc import Mapping

from mailroster.base.layout import Layout

#: Only CRLF.CRLF ends a message, TLS is 1.2 or newer, and no cipher is anonymous or weak. Postfix
#: 3.7 has weaker defaults. Clients of mynetworks are no exception.
SAFE: Mapping[str, str] = {
    "smtpd_forbid_bare_newline": "normalize",
    "smtpd_forbid_bare_newline_exclusions": "",
    "smtpd_forbid_unauth_pipelining": "yes",
    "smtpd_tls_protocols": ">=TLSv1.2",
    "smtpd_tls_mandatory_protocols": ">=TLSv1.2",
    "smtpd_tls_exclude_ciphers": "aNULL, eNULL, EXPORT, LOW, DES, 3DES, RC4, MD5",
}
#: The clients that each SMTP port serves at once, at 2 MB each, and how many of them may have one
#: address: other servers open up to 20 connections. postscreen(8) is no help against idle clients:
#: it passes them on, and its test delays honest ones.
SMTPD_PROCESSES, CONNECTIONS_OF_ONE_CLIENT = 300, 20
#: Values of these settings that let a client hide a second message in the first.
UNSAFE: Mapping[str, tuple[str, ...]] = {
    "smtpd_forbid_bare_newline": ("no", "note"),
    "smtpd_forbid_unauth_pipelining": ("no",),
}
#: A client that sends the message before the answer to DATA may hide a second message.
DATA_RESTRICTIONS = "reject_unauth_pipelining"
#: A delivery notice would tell a stranger whether and where an address is delivered.
NOT_OFFERED = "silent-discard, dsn"

#: The cleanup service of submissions, and its parameters by their names in cleanup(8).
CLEANUP = "submission-cleanup"
HIDDEN_HEADERS, HIDDEN_MIME_HEADERS = "hidden_headers", "hidden_mime_headers"
CHECKS = ("header_checks", "mime_header_checks", "nested_header_checks")
SUBMISSION_CHECKS = tuple(f"submission_{name}" for name in CHECKS)
#: Headers that contain the name of a program or the address of its user.
_REVEALING = (
    "User-Agent", "X-Mailer", "X-Newsreader", "X-Enigmail", "X-MimeOLE", "X-Originating-[-0-9A-Z]+",
    "X-[-0-9A-Z]*(User-?Agent|-IP)", "X-Forwarded-For",
    "X-(Client|Sender|Source|Remote|Real)-(Host-)?(Addr|Address|Host)",
    "X-Received", "X-PHP-(Originating-)?Script", "X-(Authenticated-)?Sender",
    "X-Get-Message-Sender-Via",
)  # fmt: skip
_OWN_RECEIVED = r"\n\tby $myhostname \([^()]*\) with ESMTPS?A id \w+(\n\tfor <[^\n]*>)?"
_DATE = r"([A-Z]+,\s+)?\d{1,2}\s+[A-Z]{3}\s+\d{4}\s+[0-9:]{4,8}\s+[-+0-9A-Z]{1,5}"


def hidden_headers(prefix: str = "") -> dict[str, str]:
    """Tables (pcre_table(5)) that remove the client from the headers of a submitted message.

    Each Received header stays valid (RFC 5321), so that the next servers can still detect a loop.
    The one of our own smtpd(8) loses only the client; one that the client has added keeps only its
    date; one without a date is removed. A parameter needs `$` written twice.
    """
    client = "REPLACE Received: from authenticated-user ($myhostname [127.0.0.1])"
    rules = (
        rf"/^Received: from .*?({_OWN_RECEIVED}; {_DATE} \([-+0-9A-Z]+\))$$/ {client}$$1",
        rf"/^Received\s*:.*;\s*({_DATE})\b[^;]*$$/ {client} by $myhostname; $$1",
        r"/^Received\s*:/ IGNORE",
        rf"/^({'|'.join(_REVEALING)})\s*:/ IGNORE",
    )
    return {
        f"{prefix}{HIDDEN_HEADERS}": _inline(*rules),
        # Apple's programs add their names to this header.
        f"{prefix}{HIDDEN_MIME_HEADERS}": _inline(
            r"/^MIME-Version\s*:.*\(/ REPLACE MIME-Version: 1.0"
        ),
    }


def _inline(*rules: str) -> str:
    return "pcre:{" + "".join(f"\n    {{{rule}}}" for rule in rules) + " }"


def submission_checks(current: Mapping[str, str], prefix: str = "") -> dict[str, str]:
    """The parameters of the cleanup service of submissions in place of CHECKS.

    `current` are the settings of main.cf; its tables are first, so that a rule of the administrator
    takes precedence. The nested headers, of attached messages, stay unchanged.
    """
    header_checks = current.get("header_checks", "")
    own = {"header_checks": HIDDEN_HEADERS, "mime_header_checks": HIDDEN_MIME_HEADERS}
    checks = {}
    for name in CHECKS:
        tables = [current.get(name, header_checks), f"${prefix}{own[name]}" if name in own else ""]
        checks[f"{prefix}submission_{name}"] = ", ".join(filter(None, tables))
    return checks


def cleanup_service(name: str, prefix: str = "") -> str:
    """The entry of master.cf for the cleanup service of submissions."""
    options = (f"  -o {check}=${prefix}submission_{check}" for check in CHECKS)
    return "\n".join((f"{name} unix n - n - 0 cleanup", *options))


def forged_senders(layout: Layout) -> str:
    """A restriction that refuses senders of a served domain, for clients without a login.

    access(5) by itself would also refuse subdomains, which other servers may serve. So the table
    gets only the domain, and its answer becomes the refusal. A domain that is not ASCII counts as
    served: the table contains the A-labels, and Dovecot can't deliver such mail.
    """
    domain = "pcre:{{/@[^@]*[^@[:ascii:]][^@]*$$/ $myhostname} {/@([^@]+)$$/ $$1}}"
    served = f"unionmap:{{lmdb:{layout.table('domains')}, inline:{{{{$myhostname=served}}}}}}"
    refusal = "static:{REJECT 5.7.1 a sender of this domain has to log in}"
    return f"check_sender_access pipemap:{{{domain}, {served}, {refusal}}}"
