"""A mail folder as Dovecot leaves it: everything in it belongs to the mail's user."""

import os
from pathlib import Path

from mailroster.servers.mail_user import MailUser
from mailroster.servers.mailboxes import MailFolder

#: The mail's user where no setting says another.
MAIL_USER = MailUser(5000, 5000)


def give_to_mail_user(mail: Path) -> Path:
    """A mail folder once all of it belongs to the mail's user, links not followed."""
    for folder, folders, files in os.walk(mail):
        for name in (*folders, *files):
            os.lchown(os.path.join(folder, name), *MAIL_USER)
    os.lchown(mail, *MAIL_USER)
    return mail


def mail_folder(path: Path) -> MailFolder:
    return MailFolder(str(path), MAIL_USER)
