"""The mail folder: where a mailbox lies, and its deletion.

Every path is made from a checked address and proved to lie below the mail folder before anything
is touched.
"""

import os

from mailroster.address import Address
from mailroster.compile.dovecot import maildir
from mailroster.finding import Busy, Refused


def folder(mail: str, address: Address) -> str:
    """The folder of one mailbox: MAIL/DOMAIN/USER."""
    return os.path.join(mail, maildir(address))


def prove_below(mail: str, folder: str) -> None:
    """Raises Refused unless a folder is really two levels below the mail folder, links and all."""
    root = os.path.realpath(mail)
    if os.path.islink(folder) or os.path.dirname(os.path.dirname(os.path.realpath(folder))) != root:
        raise Refused(f"{folder} leads out of the mail folder {mail}; its mail is not touched")


def delete(mail: str, folder: str) -> None:
    """Deletes a mailbox; one that does not exist is no error."""
    if not os.path.lexists(folder):
        return
    prove_below(mail, folder)
    import shutil

    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise Busy(f"{error.filename}: {error.strerror}; not all of the mail is deleted") from error
