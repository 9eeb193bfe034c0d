"""The protocols that a password opens, by the names that Dovecot has for them."""

from mailroster.base.findings import ParseError

#: In the order in which they are written. `smtp` is submission, `sieve` is ManageSieve.
SERVICES = ("imap", "smtp", "pop3", "sieve")
#: Stands for no protocol at all.
NONE = "none"


def services_of(text: str) -> tuple[str, ...]:
    """The protocols of `imap,smtp` or `none`, each once. Raises ParseError."""
    words = text.lower().replace(",", " ").split()
    if words == [NONE]:
        return ()
    for word in words or [""]:
        if word not in SERVICES:
            hint = f"write some of {','.join(SERVICES)}, or {NONE}"
            raise ParseError("malformed-field", "a word is not a protocol", hint)
    return tuple(service for service in SERVICES if service in words)


def services_text(services: tuple[str, ...]) -> str:
    """The text from which `services_of` reads some protocols."""
    return ",".join(services) or NONE
