"""The extra fields of an account: which can be served, and why the others can't.

tests/servers/test_extra_fields.py goes through every kind on a real Dovecot.
"""

import pytest

from mailroster.address import account
from mailroster.document import Document
from mailroster.finding import Fault
from mailroster.formats.accounts import ACCOUNTS, Account
from mailroster.formats.extra_fields import MAX_BYTES

HASH = "{SHA512-CRYPT}$6$abc$def"


@pytest.mark.parametrize(
    "extra",
    [
        "nologin",
        "allow_nets=10.0.0.0/8,192.168.0.0/16",
        "proxy host=10.0.0.1 port=143",
        "proxy host=%d",
        "proxy_maybe=y host=10.0.0.%n",
        "userdb_mail=mbox:~/mail:INBOX=~/inbox",
        "userdb_mail=maildir:/var/mail/%d/%n",
        "userdb_mail=/var/mail/%d/%n",
        "userdb_home=/srv/mail/%n",
        "userdb_home=%h/x",
        "userdb_home=",
        "userdb_quota_rule=*:storage=7M",
        "userdb_quota_rule=*:bytes=1000:messages=+5",
        "userdb_quota_rule2=Trash:ignore",
        "userdb_quota_rule2=Trash:storage=+10%%%%",
        "userdb_uid=5000 userdb_gid=5000",
        "userdb_nice=19",
        "k8s.io/name=a:b|c=d",
        "x=%% y=%Lu z=%2.1n q=%{sha256:user}",
        f"x={'y' * (MAX_BYTES - 3)}",
    ],
)
def test_a_field_that_dovecot_can_serve_is_taken(extra: str) -> None:
    assert ACCOUNTS.parse(f"a@x.com|{HASH}|{extra}").extra == extra


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("=secret", "'' is no name"),
        ("userdb_=secret", "'userdb_' is no name"),
        (":secret", "':secret' is no name"),
        ("userdb_home=~/secret", "'userdb_home' is no absolute path"),
        ("userdb_mail", "'userdb_mail' is no place of mail"),
        ("userdb_mail=secret:/x", "'userdb_mail' is no place of mail"),
        ("userdb_nice=-1", "'userdb_nice' is no niceness"),
        ("userdb_nice=20", "'userdb_nice' is no niceness"),
        ("userdb_quota_rule=5G", "'userdb_quota_rule' is no quota rule"),
        ("userdb_quota_rule2=Trash:storage=10%%", "'userdb_quota_rule2' is no quota rule"),
        ("x=%z", "'x' has a % that begins no variable"),
        ("x=%0999u", "'x' has a % that begins no variable"),
        ("x=%%%", "'x' has a % that begins no variable"),
        (f"x={'y' * (MAX_BYTES - 2)}", f"longer than {MAX_BYTES} octets"),
        ("x=" + 17 * "%u", f"longer than {MAX_BYTES} octets"),
    ],
)
def test_what_can_not_be_served_is_malformed(extra: str, said: str) -> None:
    with pytest.raises(Fault) as found:
        ACCOUNTS.parse(f"a@x.com|{HASH}|nodelay {extra}")
    assert found.value.code == "malformed-field"
    assert said in found.value.what


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("user=b@x.com", "'user' makes one account another"),
        ("user:protected=b@x.com", "'user:protected' makes one account another"),
        ("userdb_user=b@x.com", "'userdb_user' makes one account another"),
        ("master_user=b@x.com", "'master_user' makes one account another"),
        ("password={PLAIN}secret", "'password' contradicts the password"),
        ("nopassword", "'nopassword' contradicts the password"),
        ("userdb_uid=0", "'userdb_uid' gives the mail to root"),
        ("userdb_gid=root", "'userdb_gid' gives the mail to root"),
        ("userdb_chroot=/srv", "'userdb_chroot' gives a mailbox rights"),
        ("proxy", "'proxy' without host= stops"),
        ("proxy host=", "'proxy' without host= stops"),
        ("proxy host=%h", "'proxy' without host= stops"),
        ("proxy=y host=10.0.0.1 host=", "'proxy' without host= stops"),
    ],
)
def test_what_would_do_harm_is_unsafe(extra: str, said: str) -> None:
    with pytest.raises(Fault) as found:
        ACCOUNTS.parse(f"a@x.com|{HASH}|{extra}")
    assert found.value.code == "unsafe-field"
    assert said in found.value.what


@pytest.mark.parametrize("field", ["password", "password_noscheme", "userdb_quota_rule", "x%"])
def test_no_finding_shows_the_value_of_a_field(field: str) -> None:
    findings = Document(ACCOUNTS, f"a@x.com|{HASH}|{field}=%{{secret}}\n").findings()
    assert len(findings) == 1
    assert "secret" not in str(findings[0])


def test_the_line_of_a_bad_field_is_skipped_and_the_others_count() -> None:
    document = Document(ACCOUNTS, f"a@x.com|{HASH}|user=b@x.com\nb@x.com|{HASH}|x=1\n")
    assert list(document.items()) == [("b@x.com", Account(account("b@x.com"), HASH, "x=1"))]
    assert [(f.where.line, f.severity, f.code) for f in document.findings()] == [
        (1, "error", "unsafe-field")
    ]
