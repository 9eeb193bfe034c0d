"""Lines of access tables that Postfix does not act on."""

WITHOUT_EFFECT = (
    "@x.com", "@", ".x.com", ".", "*@x.com", "a*@x.com", "*", "*.x.com", "192.0.2.1", "192.0",
)  # fmt: skip


UNKNOWN = (
    "DENY", "REJEC", "ACCEPT", "BLOCK", "no", "550", "450", "250 ok", "55 x", "4.7.1 x", "5xx",
    "REJECT,DISCARD", "REJECT; x", "OK, REJECT", "FILTER", "FILTER nonsense", "REDIRECT",
    "REDIRECT nodomain", "REDIRECT a@x.com b@x.com", "BCC", "PREPEND", "PREPEND nohdr",
    "check_sender_access hash:/nowhere", "check_policy_service inet:127.0.0.1:1",
    "reject_rbl_client", "reject_rbl_client zen.example", "reject_nonsense", "sleep 9",
)  # fmt: skip
