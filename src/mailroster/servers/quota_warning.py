"""Sends the mail that warns the owner of a mailbox that is nearly full.

Dovecot runs the result of `script` as root, with the percentage that was crossed and the user
(doc.dovecot.org/2.3, quota warnings). The text is `quota-warning.txt` of the config folder, or
DEFAULT: a first line `Subject: …`, an empty line, and the body, with the placeholders `{address}`,
`{percent}`, `{used}` and `{limit}`. dovecot-lda delivers it without enforcing the quota, as the
mailbox may be full.
"""

import os
import sys
from collections.abc import Mapping, Sequence

import mailroster
from mailroster.base import address
from mailroster.base.findings import ParseError, ServerError, printable
from mailroster.base.sizes import human_size
from mailroster.servers.doveadm_quota import Usage, usage
from mailroster.store.links import ConfigFolder
from mailroster.system.programs import number, run

TEXT = "quota-warning.txt"
DEFAULT = """\
Subject: Your mailbox is {percent} % full

The mailbox {address} has reached {percent} % of what it may hold: {used} of {limit}.
When it is full, mail to it is refused. Please delete what you need no longer,
and empty the folders Trash and Junk.
"""
_LDA = "/usr/lib/dovecot/dovecot-lda"
#: The rest of a longer text is ignored.
_TEXT_MAX_BYTES = 1 << 16


def script(config: ConfigFolder, dovecot_conf: str, sender: str, not_enforced: str) -> str:
    """The script that Dovecot runs: this module with its arguments. `not_enforced`: the option of
    dovecot-lda that disables the quota."""
    import shlex

    package = os.path.dirname(os.path.dirname(os.path.abspath(mailroster.__file__)))
    words = [sys.executable, "-m", __name__, config.path, ":".join(config.linked)]
    words += [dovecot_conf, sender, not_enforced]
    return f"""\
#!/bin/sh
# Written by mailroster: changes made here are lost.
PYTHONPATH={shlex.quote(package)} exec {shlex.join(words)} "$@"
"""


def message(text: str, sender: str, values: Mapping[str, str]) -> bytes:
    """A complete message from a text. Only its first line becomes a header, the subject."""
    from email.message import EmailMessage
    from email.utils import formatdate, make_msgid

    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    text = text.replace("\r\n", "\n").lstrip("\ufeff")
    first, _, rest = text.partition("\n")
    subject, body = DEFAULT.partition("\n")[0], text
    if first[:8].lower() == "subject:":
        subject, body = first, rest.removeprefix("\n")
    else:
        for name, value in values.items():
            subject = subject.replace(f"{{{name}}}", value)
    mail = EmailMessage()
    mail["From"], mail["To"] = sender, values["address"]
    mail["Subject"] = printable(subject[8:].strip())
    mail["Date"] = formatdate(localtime=True)
    mail["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: gets no automatic reply
    mail.set_content(body if body.endswith("\n") else f"{body}\n")
    return mail.as_bytes()


def text_of(config: ConfigFolder) -> str:
    """The text of the folder, or DEFAULT if there is none or it can't be read; the latter is
    reported on stderr, which Dovecot logs."""
    try:
        with config.opened(TEXT) as file:
            raw = file.read(_TEXT_MAX_BYTES) or b""
    except FileNotFoundError:
        return DEFAULT
    except OSError as error:
        print(f"quota-warning: {TEXT} is not used: {error.strerror}", file=sys.stderr)
        return DEFAULT
    return raw.decode("utf-8", "replace") or DEFAULT


def warn(
    config: ConfigFolder,
    dovecot_conf: str,
    sender: str,
    not_enforced: str,
    percent: str,
    user: str,
) -> None:
    """Sends one warning. Raises ParseError if the user can't have a mailbox, ServerError if Dovecot
    does not accept the mail."""
    owner = address.account(user)
    if number(percent) is None:
        raise ServerError(f"{percent!r} is not a percentage")
    use = usage(dovecot_conf, owner) or Usage(0, 0, 0)
    values = {
        "address": owner,
        "percent": percent,
        "used": human_size(use.used),
        "limit": human_size(use.limit),
    }
    mail = message(text_of(config), sender, values).decode("ascii", "surrogateescape")
    argv = [_LDA, "-c", dovecot_conf, "-d", owner, "-f", "", "-e", "-o", not_enforced]
    code, out, err = run(argv, mail)
    if code:
        raise ServerError(f"dovecot-lda: {(err or out).strip() or f'exit code {code}'}")


def main(argv: Sequence[str]) -> int:
    """The program of the script: returns 0, or 1 with the reason on stderr, which Dovecot logs."""
    try:
        config, linked, *rest = argv
        warn(ConfigFolder(config, tuple(filter(None, linked.split(":")))), *rest)
    except (ParseError, ServerError, OSError, TypeError, ValueError) as error:
        print(f"quota-warning: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
