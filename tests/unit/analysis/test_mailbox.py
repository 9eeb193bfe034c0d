"""Where the mail of an account is, by its extra fields."""

import pytest

from mailroster.analysis.mailbox import place_of
from mailroster.base.address import Address
from mailroster.roster.formats.accounts import Account

HOME = "/var/mail/x.com/a/home"

#: Extra fields -> the place on 2.3 and on 2.4; None = only Dovecot can tell.
TABLE: list[tuple[str, str | None, str | None]] = [
    ("", "/var/mail/x.com/a", "/var/mail/x.com/a"),
    ("nologin userdb_quota_rule=*:storage=1M", "/var/mail/x.com/a", "/var/mail/x.com/a"),
    ("userdb_home=/var/mail/h", "/var/mail/x.com/a", "/var/mail/x.com/a"),
    ("userdb_mail=maildir:~/Maildir", f"{HOME}/Maildir", f"{HOME}/Maildir"),
    ("userdb_mail_path=~/Maildir", f"{HOME}/Maildir", f"{HOME}/Maildir"),
    ("userdb_mail_path=~/m userdb_home=/var/mail/h/%n", "/var/mail/h/a/m", "/var/mail/h/a/m"),
    ("userdb_mail=maildir:/var/mail/%d/%n/M", "/var/mail/x.com/a/M", "/var/mail/x.com/a/M"),
    ("userdb_mail_path=/var/mail/%{user|domain}/m", "/var/mail/x.com/m", "/var/mail/x.com/m"),
    ("userdb_mail=maildir:%h/m", f"{HOME}/m", f"{HOME}/m"),
    (
        "userdb_mail=mbox:~/mail:INBOX=~/inbox",
        f"mbox:{HOME}/mail:INBOX={HOME}/inbox",
        f"mbox:{HOME}/mail:INBOX={HOME}/inbox",
    ),
    (
        "userdb_mail=maildir:~/m:LAYOUT=fs",
        f"maildir:{HOME}/m:LAYOUT=fs",
        f"maildir:{HOME}/m:LAYOUT=fs",
    ),
    (
        "userdb_mail_driver=sdbox userdb_mail_path=~/dbox",
        f"sdbox:{HOME}/dbox",
        f"sdbox:{HOME}/dbox",
    ),
    ("userdb_mail_driver=sdbox", None, "sdbox:/var/mail/x.com/a"),
    ("userdb_mail=~/m", f"auto:{HOME}/m", f"auto:{HOME}/m"),
    ("userdb_mail=maildir:/etc/x", None, None),
    ("userdb_mail=maildir:~/%{sha256:user}", None, None),
    ("userdb_mail=maildir:~/a userdb_mail_path=~/b", f"{HOME}/a", f"{HOME}/b"),
]


@pytest.mark.parametrize(("extra", "old", "new"), TABLE)
def test_the_place_of_a_mailbox(extra: str, old: str | None, new: str | None) -> None:
    account = Account(Address("a@x.com"), "{PLAIN}x", extra)
    either = old if old == new else None
    for version, place in (("2.3", old), ("2.4", new), ("", either)):
        found = place_of(account, "/var/mail", version)
        assert (found and str(found)) == place, version
