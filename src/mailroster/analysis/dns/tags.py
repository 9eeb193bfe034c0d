"""Records that are lists of tags: `v=DKIM1; k=rsa; p=…` (RFC 6376, 3.2; DMARC, MTA-STS and TLS-RPT
have the same form)."""

from collections.abc import Iterable


def tags_of(text: str) -> dict[str, str] | None:
    """The tags of a list, their names in lower case; None if it is not such a list, or has a tag
    twice."""
    tags: dict[str, str] = {}
    for part in text.split(";"):
        name, equals, value = part.partition("=")
        name = name.strip().lower()
        if not part.strip():
            continue
        if not equals or not name or name in tags:
            return None
        tags[name] = value.strip()
    return tags


def versioned(texts: Iterable[str], version: str) -> list[str]:
    """The texts that begin with `v=VERSION`, in any case and with blanks around the `=`."""
    return [text for text in texts if is_version(text, version)]


def is_version(text: str, version: str) -> bool:
    first = text.partition(";")[0]
    return "".join(first.split()).lower() == f"v={version.lower()}"


def mail_uris(text: str) -> list[str]:
    """The addresses of the `mailto:` URIs of a list, without the limit of size behind a `!`
    (RFC 7489, 6.2)."""
    uris = (uri.strip() for uri in text.split(","))
    return [
        uri[len("mailto:") :].partition("!")[0] for uri in uris if uri.lower().startswith("mailto:")
    ]
