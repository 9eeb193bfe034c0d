"""The extra fields of an account: which can be served, and why the others can't.

tests/integration/test_extra_fields.py goes through every kind on a real Dovecot.
"""

import random
import string

import pytest

from mailroster.base.address import account
from mailroster.base.findings import ParseError
from mailroster.roster.documents.document import Document
from mailroster.roster.dovecot.fields import NOT_SERVED
from mailroster.roster.dovecot.versions import VERSIONS, form
from mailroster.roster.formats import extra_fields, places
from mailroster.roster.formats.accounts import ACCOUNTS, Account
from mailroster.roster.formats.extra_fields import ALLOWED, MAX_BYTES
from tests.support.project import ROOT

HASH = "{SHA512-CRYPT}$6$abc$def"
PAGE = ROOT / "docs/reference/formats" / "postfix-accounts.md"
#: A value that each allowed field may have.
EXAMPLES = {
    "nologin": "", "reason": "on-leave-until-%s", "allow_nets": "10.0.0.0/8,192.168.0.0/16",
    "allow_real_nets": "::1,local", "fail": "yes", "noauthenticate": "y", "nodelay": "yes",
    "delay_until": "1700000000+30", "userdb_uid": "5000", "userdb_gid": "5000",
    "userdb_mail_uid": "5000", "userdb_mail_gid": "5000", "userdb_home": "/var/mail/%d/%Hu",
    "userdb_mail": "mbox:~/mail:INBOX=~/inbox:INDEX=MEMORY:LAYOUT=fs:UTF-8:DIRNAME=d",
    "userdb_mail_driver": "mdbox", "userdb_mail_path": "/var/mail/%{user|domain}/%{user|username}",
    "userdb_mail_inbox_path": "~/inbox", "userdb_mail_index_path": "MEMORY",
    "userdb_mail_index_private_path": "~/private", "userdb_mail_control_path": "%h/control",
    "userdb_mail_alt_path": "/var/mail/alt/%1n/%n", "userdb_mail_volatile_path": "~/volatile",
    "userdb_mailbox_directory_name": "dbox-Mails", "userdb_mailbox_root_directory_name": "m",
    "userdb_mailbox_subscriptions_filename": ".subscriptions",
    "userdb_mailbox_list_layout": "Maildir++", "userdb_mailbox_list_utf8": "yes",
    "userdb_mailbox_list_iter_from_index_dir": "no", "userdb_mailbox_list_drop_noselect": "no",
    "userdb_mail_attachment_dir": "~/attached", "userdb_mail_attachment_min_size": "128k",
    "userdb_mail_ext_attachment_path": "~/attached", "userdb_mail_ext_attachment_min_size": "1M",
    "userdb_quota_rule#": "*:bytes=1000:messages=5", "userdb_quota_grace": "10%%%%",
    "userdb_quota_max_mail_size": "1M", "userdb_quota/user/storage_size": "7M",
    "userdb_quota/user/message_count": "100", "userdb_quota_storage_size": "0",
    "userdb_quota_storage_grace": "10M", "userdb_quota_message_count": "100",
    "userdb_quota_mail_size": "1M", "userdb_namespace/inbox/separator": ".",
    "userdb_namespace/inbox/mailbox/*/auto": "subscribe",
    "userdb_namespace/inbox/mailbox/*/autoexpunge": "30d",
    "userdb_namespace/inbox/mailbox/*/autoexpunge_max_mails": "100",
    "userdb_acl_groups": "staff,sales", "userdb_sieve": "file:~/s;active=~/.a;bindir=~/b",
    "userdb_sieve_script/personal/path": "~/s", "userdb_sieve_script/personal/active_path": "~/a",
    "userdb_sieve_script/personal/bin_path": "~/b", "userdb_nice": "19",
    "userdb_mail_max_userip_connections": "3", "userdb_imap_hibernate_timeout": "30s",
    "userdb_mail_debug": "no",
    "services": "imap,smtp",
}  # fmt: skip


def fault(extra: str) -> ParseError:
    """The fault of a line with some extra fields."""
    with pytest.raises(ParseError) as found:
        ACCOUNTS.parse(f"a@x.com|{HASH}|{extra}")
    return found.value


@pytest.mark.parametrize("name", ALLOWED)
def test_each_allowed_field_has_a_value_a_version_and_a_line_on_its_page(name: str) -> None:
    written = name.replace("#", "2").replace("*", "Trash")
    extra = f"{written}={EXAMPLES[name]}" if EXAMPLES[name] else written
    assert ACCOUNTS.parse(f"a@x.com|{HASH}|{extra}").extra == extra
    assert ALLOWED[name].versions or name in NOT_SERVED
    page = PAGE.read_text()
    shown = name.replace("#", "").replace("*", "NAME")
    assert f"`{shown}`" in page, f"{shown} is not on {PAGE.name}"


@pytest.mark.parametrize(
    "extra",
    [
        "nologin",
        "userdb_mail=maildir:/var/mail/%d/%n",
        "userdb_mail=/var/mail/%d/%n",
        "userdb_mail=maildir:/var/mail/in/%%d/%%u",
        "userdb_mail=maildir:%h/Maildir",
        "userdb_mail=maildir:~/Maildir:CONTROL=~/c:ALT=/var/mail/a/%u:LAYOUT=Maildir++",
        "userdb_mail_path=/var/mail/%{user|domain|upper}/%{user|sha256|hexlify|substr(0,2)}",
        "userdb_home=/srv/mail/%n",
        "userdb_home=",
        "userdb_quota_rule=*:storage=7M",
        "userdb_quota_rule2=Trash:ignore",
        "userdb_quota_rule2=Trash:storage=+10%%%%",
        "userdb_plugin/quota_rule=*:storage=6M",
        "userdb_plugin/sieve=file:~/s",
        "userdb_sieve=~/s",
        "userdb_uid=5000 userdb_gid=5000",
        "reason=%% reason=%Lu reason=%2.1n reason=%{sha256:user}",
        f"reason={'y' * (MAX_BYTES - 8)}",
    ],
)
def test_a_field_that_dovecot_can_serve_is_accepted(extra: str) -> None:
    assert ACCOUNTS.parse(f"a@x.com|{HASH}|{extra}").extra == extra


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("=secret", "'' is not the name"),
        ("userdb_=secret", "'userdb_' is not the name"),
        (":secret", "':secret' is not the name"),
        ("userdb_home=~/secret", "'userdb_home' is not an absolute path"),
        ("userdb_home=%h/secret", "'userdb_home' is not an absolute path"),
        ("userdb_mail", "'userdb_mail' is not a mail location"),
        ("userdb_mail=secret:/x", "'userdb_mail' is not a mail location"),
        ("userdb_mail=maildir:", "'userdb_mail' is not a mail location"),
        ("userdb_mail=maildir:secret", "'userdb_mail' is not a mail location"),
        ("userdb_mail=maildir:~secret/x", "'userdb_mail' is not a mail location"),
        ("userdb_mail=maildir:~/x:NO-FS-VALIDATION", "'userdb_mail' has an option"),
        ("userdb_mail=maildir:~/x:SECRET=/y", "'userdb_mail' has an option"),
        ("userdb_mail=maildir:~/x:DIRNAME=..", "'userdb_mail' is not a file name"),
        ("userdb_mail=maildir:~/x:DIRNAME=a/b", "'userdb_mail' is not a file name"),
        ("userdb_mail=maildir:~/x:INDEX=secret", "'userdb_mail' is not a mail location"),
        ("userdb_mail_driver=imapc", "'userdb_mail_driver' is not a driver"),
        ("userdb_mail_path=secret", "'userdb_mail_path' is not a mail location"),
        ("userdb_sieve=file:secret", "'userdb_sieve' is not a mail location"),
        ("userdb_sieve=file:~/s;secret=1", "'userdb_sieve' has an option"),
        ("userdb_nice=-1", "'userdb_nice' is not a niceness"),
        ("userdb_nice=20", "'userdb_nice' is not a niceness"),
        ("userdb_quota_rule=5G", "'userdb_quota_rule' is not a quota rule"),
        ("userdb_quota_rule=*:storage=50%%%%", "is not a quota rule"),
        ("userdb_quota_rule=?:storage=+1M", "is not a quota rule"),
        ("userdb_quota_rule3=*:messages=-1", "is not a quota rule"),
        ("userdb_quota_rule=*:ignore:storage=1M", "is not a quota rule"),
        ("userdb_quota_rule=*:storage=9999999999999999", "is more than 2^63-1 bytes"),
        ("userdb_quota_rule2=Trash:bytes=+99999999999999999T", "is more than 2^63-1 bytes"),
        ("userdb_quota_storage_size=99999999T", "is more than 2^63-1 bytes"),
        ("userdb_quota_rule2=Trash:storage=10%%", "'userdb_quota_rule2' is not a quota rule"),
        ("allow_nets=secret", "'allow_nets' is not a list of networks"),
        ("delay_until=secret", "'delay_until' is not a time"),
        ("reason=%z", "'reason' has a % that begins no allowed variable"),
        ("reason=%0999u", "'reason' has a % that begins no allowed variable"),
        ("reason=%%%", "'reason' has a % that begins no allowed variable"),
        (f"reason={'y' * (MAX_BYTES - 7)}", f"longer than {MAX_BYTES} octets"),
        ("reason=" + 17 * "%u", f"longer than {MAX_BYTES} octets"),
    ],
)
def test_what_can_not_be_served_is_malformed(extra: str, said: str) -> None:
    found = fault(f"nodelay {extra}")
    assert found.code == "malformed-field"
    assert said in found.message
    assert "secret" not in found.message.replace("'=secret'", "").replace("':secret'", "")


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("user=b@x.com", "'user' changes the identity of the account"),
        ("user:protected=b@x.com", "'user:protected' changes the identity of the account"),
        ("userdb_user=b@x.com", "'userdb_user' changes the identity of the account"),
        ("master_user=b@x.com", "'master_user' changes the identity of the account"),
        ("password={PLAIN}secret", "'password' contradicts the password"),
        ("nopassword", "'nopassword' contradicts the password"),
        ("userdb_uid=0", "'userdb_uid' gives the mail to root"),
        ("userdb_gid=root", "'userdb_gid' gives the mail to root"),
        ("proxy", "'proxy' sends the password"),
        ("proxy_maybe=y host=10.0.0.1", "'proxy_maybe' sends the password"),
        ("host=10.0.0.1", "'host' sends the password"),
        ("userdb_mail=imapc:~/x", "'userdb_mail' gets the mail from another server"),
        ("userdb_sieve=dict:proxy::sieve", "'userdb_sieve' names scripts that are not files"),
    ],
)
def test_what_would_do_harm_is_unsafe(extra: str, said: str) -> None:
    found = fault(extra)
    assert found.code == "unsafe-field"
    assert said in found.message


#: What was refused before there was a list; what runs a program, loads code, or names a socket, a
#: host, a user or a file; and what nothing here knows.
NOT_LISTED = (
    "userdb_system_groups_user=root", "userdb_system_user=root", "userdb_mail_access_groups=shadow",
    "userdb_mail_privileged_group=shadow", "userdb_chroot=/tmp", "userdb_mail_chroot=/tmp",
    "userdb_mail_plugin_dir=/tmp", "userdb_mail_full_filesystem_access=yes",
    "userdb_protocol/imap/mail_plugin_dir=/tmp", "system_groups_user=root", "chroot=/tmp",
    "userdb_uid:protected=0", "userdb_gid:protected=42", "userdb_gid:default=42", "uid=0", "gid=42",
    "userdb_uid+=0", "userdb_UID=0", "userdb_uidgid_file=/etc/shadow", "userdb_first_valid_gid=0",
    "userdb_userdb_import=uid=0", "userdb_userdb_uid=0", "userdb_plugin/uid=0",
    "userdb_sieve_plugins=sieve_extprograms", "userdb_plugin/sieve_plugins=sieve_extprograms",
    "userdb_sieve_extensions=+vnd.dovecot.pipe", "userdb_sieve_global_extensions=+vnd.dovecot.pipe",
    "userdb_sieve_pipe_bin_dir=/bin", "userdb_sieve_filter_bin_dir=/bin",
    "userdb_sieve_execute_bin_dir=/bin", "userdb_sieve_pipe_socket_dir=/run",
    "userdb_sieve_extdata_dict_uri=file:/etc/x", "userdb_sieve_plugin_dir=/tmp",
    "userdb_sieve_before=/etc/x", "userdb_sieve_after=/etc/x", "userdb_sieve_default=/etc/x",
    "userdb_sieve_global=/etc", "userdb_sieve_dir=/etc", "userdb_sieve_user_log=/tmp/x",
    "userdb_sieve_trace_dir=/tmp", "userdb_sieve_spamtest_text_value1=x",
    "userdb_sieve_script/x/path=/etc/x", "userdb_sieve_script/personal/driver=dict",
    "userdb_mail_plugins=quota", "userdb_mail_plugins/acl=yes", "userdb_imapsieve_url=sieve://x",
    "userdb_imapsieve_mailbox1_before=file:/x", "userdb_import_environment=X=1",
    "userdb_quota=fs:User", "userdb_quota=dict:x::proxy:/run/x:q", "userdb_quota_over_script=x",
    "userdb_quota_over_flag=x", "userdb_quota_warning=storage=1%%_/run/x",
    "userdb_quota/user/warning/x/execute=x", "userdb_quota_status_success=OK",
    "userdb_mail_attribute_dict=file:/etc/x", "userdb_mail_attribute/dict_driver=file",
    "userdb_mail_attachment_fs=posix", "userdb_mail_location=maildir:/etc",
    "userdb_mail_home=/etc", "userdb_mail_temp_dir=/etc", "userdb_mail_cache_fields=x",
    "userdb_mailbox_list_index_prefix=/etc/x", "userdb_namespace/inbox/location=mbox:/etc",
    "userdb_namespace/x/location=mbox:/etc", "userdb_namespace/x/mail_path=/etc",
    "userdb_namespace/inbox/mailbox/../auto=no", "userdb_namespace/inbox/list=no",
    "userdb_namespace/inbox/mailbox/a/b/auto=no", "userdb_namespace/inbox/prefix=x",
    "userdb_acl=vfile:/etc/x", "userdb_acl_shared_dict=file:/etc/x", "userdb_acl_user=b@x.com",
    "userdb_acl_globals_only=yes", "userdb_acl_ignore_namespace=*", "userdb_fts=solr",
    "userdb_fts_solr=url=http://x/", "userdb_fts_decoder=decode", "userdb_fts_tika=http://x/",
    "userdb_notify=x", "userdb_push_notification_driver=ox:url=http://x/",
    "userdb_ssl_client_ca_file=/etc/x", "userdb_ssl=no", "ssl=no", "starttls=any", "port=143",
    "destuser=b@x.com", "pass=secret", "pass#=secret", "master=b@x.com", "proxy_refresh=1",
    "proxy_timeout=1", "proxy_mech=PLAIN", "source_ip=10.0.0.1", "k5principals=root@X",
    "auth_debug=yes", "auth_user_info=x", "event_x=1", "event_user=b", "userdb_event_x=1",
    "forward_x=y", "forward_fields=x", "client_id=x", "mech=x", "session=x", "mbox=x", "skip=x",
    "userdb_submission_relay_host=10.0.0.1", "userdb_imap_urlauth_host=x", "userdb_dict=x",
    "userdb_mail_crypt_private_key=x", "userdb_mail_crypt_global_private_key=</etc/x",
    "userdb_zlib_save=gz", "userdb_last_login_dict=file:/x", "userdb_welcome_script=x",
    "userdb_expire_dict=file:/x", "userdb_trash=/etc/x", "userdb_virtual=x",
    "userdb_mail_log_events=x", "userdb_log_path=/etc/x", "userdb_base_dir=/tmp",
    "userdb_auth_socket_path=/tmp/x", "userdb_hostname=x", "userdb_postmaster_address=x@y.com",
    "userdb_sendmail_path=/bin/sh", "userdb_submission_host=10.0.0.1", "userdb_lda_x=y",
    "userdb_dsync_remote_cmd=sh", "userdb_mail_replica=x", "userdb_noreplicate", "userdb_=/x:y",
    "userdb_quota_rule2x=*:storage=1M", "userdb_quota_rule00=*:storage=1M", "userdb_x", "x=1",
    "k8s.io/name=a:b", "#x", "-x", "x:y=z", "x%", "nologin:protected", "NOLOGIN", "userdb_home+=/x",
)  # fmt: skip


@pytest.mark.parametrize("extra", [field for field in NOT_LISTED if field != "userdb_=/x:y"])
def test_a_field_that_is_not_on_the_list_is_unsafe(extra: str) -> None:
    found = fault(f"nodelay {extra} nologin")
    assert found.code == "unsafe-field", found.message
    assert "secret" not in found.message
    assert_not_compiled(extra)


def assert_not_compiled(extra: str) -> None:
    """What is refused would not be written into Dovecot's tables either."""
    name = extra.partition("=")[0]
    for version in VERSIONS:
        assert name not in form(version).fields(extra).written


def test_no_name_by_chance_is_allowed() -> None:
    """Names made of the words of Dovecot's settings, and of characters by chance."""
    chance = random.Random(13)
    words = sorted({word for field in NOT_LISTED for word in field.partition("=")[0].split("_")})
    for number in range(20_000):
        if number % 2:
            letters = chance.choices(string.ascii_lowercase + "_/:#.+%0", k=chance.randint(1, 12))
            name = chance.choice(("", "userdb_", "userdb_plugin/")) + "".join(letters)
        else:
            name = "_".join(chance.choices(["userdb", *words], k=chance.randint(1, 4)))
        if extra_fields.allowed(name) is not None:
            assert extra_fields.listed_name(name) in ALLOWED
            continue
        assert fault(f"{name}=1").code in ("unsafe-field", "malformed-field")
        assert_not_compiled(f"{name}=1")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_allowed_field_is_served_or_reported(version: str) -> None:
    for name, field in ALLOWED.items():
        written = name.replace("#", "").replace("*", "Trash")
        fields = form(version).fields(f"{written}={EXAMPLES[name]}".rstrip("="))
        if name in NOT_SERVED:
            assert not fields.written
            assert not fields.lost
        else:
            assert fields.written or fields.lost, written
            assert (written in fields.written) >= (version in field.versions and version != "2.4")
        for its in fields.written:
            known = extra_fields.allowed(its)
            assert known is not None and version in known.versions, its


LEAVING = (
    "/var/mail/../etc", "/var/mail/..", "~/..", "~/../../b/home", "%h/../x", "/var/mail/./x",
    "/var/mail/%1.1n%1.1n/etc", "/var/mail/%2.1n.", "/var/mail/%{user|substr(1,1)}.",
    "/var/mail/%{user|substr(-1,1)}.", "/var/mail/%{user|sha256}", "/var/mail/%h", "~/%{home}",
    "/var/mail/%{login_user}", "/var/mail/%{auth_user}", "/var/mail/%r", "/var/mail/%{rip}",
    "/var/mail/%{session}", "/var/mail/%%1.1n%%1.1n", "~/%%%%h", "~/a:b", "/var/mail/%0u.",
)  # fmt: skip


@pytest.mark.parametrize("place", LEAVING)
@pytest.mark.parametrize(
    "field",
    ["userdb_mail_path", "userdb_mail_index_path", "userdb_sieve_script/personal/path"],
)
def test_a_place_that_may_lead_anywhere_is_refused(field: str, place: str) -> None:
    assert fault(f"{field}={place}").code in ("unsafe-field", "malformed-field")
    assert places.kind(place) == places.LEAVING


@pytest.mark.parametrize(
    "variable",
    ["%w", "%{password}", "%{env:HOME}", "%{env:HOME|lower}", "%{passdb:pass}", "%{userdb:pass}",
     "%{file:/etc/x}", "%{system:env}", "%{system:os}", "%{process:uid}", "%{password|sha256}",
     "%{lookup:x|lower}", "%{user|lookup(x)}", "%{user|rot13}", "%{cert}", "%%w", "%%{env:HOME}",
     "%%%%{env:HOME}", "%{dict:x}", "%{user|load(/etc/x)}", "%{@env:X}", "%Lw", "%1w"],
)  # fmt: skip
@pytest.mark.parametrize("field", ["reason", "nologin", "userdb_home", "userdb_quota_rule"])
def test_no_variable_reads_a_password_a_file_or_the_environment(field: str, variable: str) -> None:
    value = {"userdb_home": f"/var/mail/{variable}", "userdb_quota_rule": f"{variable}:ignore"}
    assert fault(f"{field}={value.get(field, variable)}").code in (
        "malformed-field",
        "unsafe-field",
    )


OUTSIDE = (
    "userdb_home=/etc", "userdb_home=/var/mail", "userdb_home=/var/mail/", "userdb_home=/var/mailx",
    "userdb_home=//etc/x", "userdb_mail=mbox:/etc:INBOX=~/x", "userdb_mail=mbox:~/m:INBOX=/etc/x",
    "userdb_mail=maildir:~/m:INDEX=/x", "userdb_mail=maildir:~/m:INDEXPVT=/x",
    "userdb_mail=maildir:~/m:CONTROL=/x", "userdb_mail=mdbox:~/m:ALT=/x",
    "userdb_mail=maildir:~/m:VOLATILEDIR=/dev/shm/x", "userdb_mail=/etc", "userdb_mail_path=/etc",
    "userdb_mail_inbox_path=/etc/passwd", "userdb_mail_index_path=/x",
    "userdb_mail_control_path=/x", "userdb_mail_alt_path=/x", "userdb_mail_volatile_path=/x",
    "userdb_sieve=file:/etc/x", "userdb_sieve=/etc/x", "userdb_sieve=file:~/s;active=/etc/x",
    "userdb_sieve=file:~/s;bindir=/x", "userdb_sieve_script/personal/path=/etc/x",
    "userdb_plugin/sieve=/etc/x", "userdb_mail_attachment_dir=/x",
    "userdb_mail_ext_attachment_path=/x",
)  # fmt: skip


@pytest.mark.parametrize("extra", OUTSIDE)
def test_a_place_outside_of_the_mail_folder_is_refused(extra: str) -> None:
    fields = ACCOUNTS.parse(f"a@x.com|{HASH}|nodelay {extra}").fields()
    with pytest.raises(ParseError) as found:
        extra_fields.check_places(fields, "/var/mail")
    assert found.value.code == "unsafe-field"
    inside = extra.replace("=/", "=/var/mail/x/").replace(":/", ":/var/mail/x/")
    extra_fields.check_places(ACCOUNTS.parse(f"a@x.com|{HASH}|{inside}").fields(), "/var/mail/")


@pytest.mark.parametrize("field", ["password", "password_noscheme", "userdb_quota_rule", "x%"])
def test_no_finding_shows_the_value_of_a_field(field: str) -> None:
    findings = Document(ACCOUNTS, f"a@x.com|{HASH}|{field}=%{{secret}}\n").findings()
    assert len(findings) == 1
    assert "secret" not in str(findings[0])


def test_the_line_of_a_bad_field_is_skipped_and_the_others_count() -> None:
    document = Document(ACCOUNTS, f"a@x.com|{HASH}|user=b@x.com\nb@x.com|{HASH}|nodelay=1\n")
    assert list(document.items()) == [("b@x.com", Account(account("b@x.com"), HASH, "nodelay=1"))]
    assert [(f.where.line, f.severity, f.code) for f in document.findings()] == [
        (1, "error", "unsafe-field")
    ]
