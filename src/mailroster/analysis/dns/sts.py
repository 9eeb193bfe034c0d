"""The policy of MTA-STS (RFC 8461, 3.2): a small text file on a web server.

version: STSv1
mode: testing
mx: mail.example.com
max_age: 604800
"""

STS_PATH = "/.well-known/mta-sts.txt"
STS_MODES = ("enforce", "testing", "none")
_MAX_AGE_S = 604800


def policy_lines(host: str) -> tuple[str, ...]:
    """The policy for a server, to begin with."""
    return "version: STSv1", "mode: testing", f"mx: {host}", f"max_age: {_MAX_AGE_S}"


def policy_fields(text: str) -> dict[str, list[str]]:
    """The values of each field of a policy, in order."""
    fields: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip(), []).append(value.strip())
    return fields
