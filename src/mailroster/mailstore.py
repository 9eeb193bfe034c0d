"""The mail folder: where a mailbox lies, and its deletion.

Every path is made from a checked address and proved to lie below the mail folder before anything
is touched.
"""

import os

from mailroster.address import Address
from mailroster.compile.dovecot import maildir
from mailroster.finding import Busy, Refused

#: A lock of the list of a mailbox's messages; in it stands who has it, PID:HOST.
UIDLIST_LOCK = "dovecot-uidlist.lock"
#: The folders of the messages themselves (maildir(5)).
_MESSAGES = {"cur", "new", "tmp"}


def folder(mail: str, address: Address) -> str:
    """The folder of one mailbox: MAIL/DOMAIN/USER."""
    return os.path.join(mail, maildir(address))


def prove_below(mail: str, folder: str) -> None:
    """Raises Refused unless a folder is really two levels below the mail folder, links and all."""
    root = os.path.realpath(mail)
    if os.path.islink(folder) or os.path.dirname(os.path.dirname(os.path.realpath(folder))) != root:
        raise Refused(f"{folder} leads out of the mail folder {mail}; its mail is not touched")


def unlock(mail: str) -> int:
    """Removes the locks that a killed Dovecot has left, of which none may run; how many.

    Dovecot waits for the process with the number in a lock, whoever has that number by now: as soon
    as that is another one, as it is in a container that was started again, nobody sees new mail.
    """
    count = 0
    for path, folders, files in os.walk(mail):
        folders[:] = [name for name in folders if name not in _MESSAGES]
        if UIDLIST_LOCK in files:
            os.unlink(os.path.join(path, UIDLIST_LOCK))
            count += 1
    return count


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
