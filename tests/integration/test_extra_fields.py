"""Every kind of extra field on a real Dovecot: in force as in a passwd-file of its own, or refused.

Beside the instance a Dovecot runs that knows nothing but such a passwd-file; both are asked.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailroster.roster.dovecot.versions import form
from mailroster.servers.version import version
from tests.support.instance import Instance, until

HASH = "{PLAIN}secret"
#: In the file both forms stand; a passwd-file has the one of the Dovecot that is installed.
FORM = form(version())
#: MAIL stands for the mail folder, and yyy for a text that is very long.
SERVED = (
    "nologin", "nologin=", "nologin=no", "nodelay", "nodelay=yes", "allow_nets=127.0.0.0/8",
    "allow_nets=10.0.0.0/8,::1", "allow_nets=local", "allow_real_nets=127.0.0.0/8",
    "reason=gone", "reason=%n", "fail", "noauthenticate", "delay_until=1",
    "userdb_mail=mbox:~/mail:INBOX=~/inbox", "userdb_mail=maildir:MAIL/own/%d/%n",
    "userdb_mail=maildir:~/Maildir:LAYOUT=fs", "userdb_mail=maildir:MAIL/in/%%d/%%u",
    "userdb_mail=mdbox:~/mdbox:INDEX=MAIL/index/%u:CONTROL=~/control:VOLATILEDIR=~/volatile",
    "userdb_home=MAIL/own/%n-home", "userdb_home=MAIL/elsewhere",
    "userdb_quota_rule=*:storage=7M", "userdb_quota_rule=*:bytes=9M:messages=100",
    "userdb_quota_rule2=Trash:storage=+10M", "userdb_quota_rule3=Trash:ignore",
    "userdb_quota_rule2=Trash:storage=+10%%%%", "userdb_plugin/quota_rule=*:storage=6M",
    "userdb_quota_max_mail_size=1M", "userdb_quota_grace=1M", "userdb_acl_groups=a,b",
    "userdb_nice=10", "userdb_mail_debug=no", "userdb_sieve=file:~/s",
    "userdb_namespace/inbox/separator=.", "userdb_mail_max_userip_connections=3",
    "userdb_namespace/inbox/mailbox/Trash/autoexpunge=30d",
    "userdb_mail_attachment_dir=~/attached", "userdb_imap_hibernate_timeout=0",
    "reason=a:b:c", "reason=a|b", "reason=a=b", 'reason="q"', 'reason="q', "reason='",
    "reason=\\", "reason=a\\tb", "reason=ü", "reason=%%", "reason=%Lu,%2.1n,%Ud",
    "reason=%{user}%{domain_first}%{session}%{sha256:user}",
    "reason=%{real_rip}%{orig_user}%{auth_user}%{login_user}%{client_id}%{pid}",
    "reason=%a%b%c%d%h%k%l%m%n%p%r%s%u", "reason=yyy",
    "fail=1 fail=2 nodelay nodelay=no userdb_nice=3",
    "userdb_mail_driver=mbox userdb_mail_path=~/mail userdb_mail_inbox_path=~/inbox",
    "userdb_mail_path=MAIL/own/%{user|domain|upper}/%{user|username}",
    "userdb_quota/user/storage_size=7M", "userdb_quota_storage_size=8M", "reason=%{user|reverse}",
)  # fmt: skip
LONG = "y" * 4000
NO_LOGIN = ("nologin", "allow_nets=10", "allow_nets=local", "fail", "noauthenticate")
#: What changes the identity of the account in a passwd-file, and what ends Dovecot's auth process.
MARK = {"2.3": "protected", "2.4": "default"}[version()]
IMPOSTORS = (
    "user=keep@x.com", f"user:{MARK}=keep@x.com", "username=keep", "domain=z.com",
    "login_user=keep@x.com", "userdb_user=keep@x.com", "userdb_username=keep",
    "userdb_domain=z.com",
)  # fmt: skip
FATAL = ("=x", "userdb_=x", "userdb_")
MALFORMED = (
    "=x", "=", "userdb_=x", "userdb_", ":x", ":mbox:~/m", "userdb_:protected=x",
    "userdb_home=relative/x", "userdb_home=~/x", "userdb_mail=", "userdb_mail", "userdb_mail=junk",
    "userdb_mail=junk:/x", "userdb_nice=-20", "userdb_nice=20", "userdb_nice=junk", "userdb_nice=²",
    "userdb_quota_rule=junk", "userdb_quota_rule=*:storage=1X", "userdb_quota_rule2=Trash",
    "userdb_plugin/quota_rule=x:y", "userdb_mail_driver=junk",
    "userdb_mail_path=relative",
    "userdb_mail_path=", "userdb_quota/user/storage_size=junk", "userdb_quota_storage_size=1X",
    "reason=%z", "nologin=%z", "reason=%{nosuch}", "reason=%{user", "reason=%",
    "reason=%L", "reason=%0999999u", "reason=%999u", f"reason={LONG}{LONG}", "reason=%w",
    "reason=%{env:HOME}", "reason=%{password}", "nologin=%{userdb:pass}",
    "reason=" + 20 * "%u",
    " ".join(f"userdb_quota_rule{n + 1}=*:storage=1{'0' * 40}" for n in range(90)),
)  # fmt: skip
UNSAFE = (
    "user=keep@x.com", "user:protected=keep@x.com", "username=keep", "domain=z.com",
    "login_user=keep@x.com", "original_user=keep@x.com", "master_user=keep@x.com",
    "auth_user=keep@x.com", "userdb_user=keep@x.com", "userdb_username=keep",
    "userdb_domain=z.com", "userdb_master_user=keep@x.com", "userdb_auth_user=keep@x.com",
    "password=other", "password={PLAIN}other", "password_noscheme=other", "nopassword",
    "nopassword=y", "userdb_uid=0", "userdb_uid=root", "userdb_gid=0", "userdb_mail_uid=0",
    "userdb_mail_gid=0", "userdb_system_groups_user=root", "userdb_system_user=root",
    "userdb_mail_access_groups=root", "userdb_mail_privileged_group=root", "userdb_chroot=/tmp",
    "userdb_mail_chroot=/tmp", "userdb_mail_plugin_dir=/tmp",
    "userdb_mail_full_filesystem_access=yes", "userdb_protocol/imap/mail_plugin_dir=/tmp",
    "proxy", "proxy_maybe=y", "proxy host=127.0.0.1", "host=127.0.0.1", "port=1",
    "starttls=any-cert", "destuser=keep@x.com", "pass=other", "forward_x=y", "event_x=1",
    "userdb_gid:protected=42", "userdb_userdb_import=uid=0", "userdb_uidgid_file=/etc/shadow",
    "userdb_sieve_plugins=sieve_extprograms", "userdb_sieve_pipe_bin_dir=/bin",
    "userdb_mail_plugins=quota", "userdb_quota_over_script=x", "userdb_plugin/quota=fs:x",
    "userdb_namespace/x/location=mbox:/etc", "userdb_mail_attribute_dict=file:/x", "x=1",
    "userdb_x", "#x", "-x", "k8s.io/name=x", "userdb_mail=imapc:~/x",
    "userdb_mail=maildir:MAIL/../../etc", "userdb_mail_path=MAIL/%1.1n%1.1n",
    "userdb_mail=mbox:/etc:INBOX=/etc/motd", "userdb_home=/tmp/x", "userdb_sieve=file:/etc/x",
    "userdb_mail=maildir:~/m:INDEX=/tmp/x", "userdb_mail_control_path=/tmp/x",
)  # fmt: skip
#: Of them those that name a place outside the mail folder: the account stays, and waits.
WAITING = 5
#: Left out of what Dovecot reads: there is one owner.
OWNERS = ("userdb_uid=5000", "userdb_gid=8", "userdb_uid=1000 userdb_gid=1000", "userdb_uid=nosuch")
ALIASES = "info@x.com keep@x.com\nall@x.com keep@x.com,a1@x.com\n@catch.test keep@x.com\n"


class Plain:
    """A Dovecot with a plain passwd-file, written as docker-mailserver does."""

    def __init__(self, folder: Path, mail: Path, extras: dict[str, str]) -> None:
        self.conf = folder / "dovecot.conf"
        users = folder / "users"
        users.write_text(
            "".join(
                f"{user}:{HASH}:5000:5000::{mail}/x.com/{user.partition('@')[0]}/home::{extra}\n"
                for user, extra in extras.items()
            )
        )
        users.chmod(0o644)
        folder.chmod(0o755)
        form = {"2.3": self._conf_2_3, "2.4": self._conf_2_4}[version()]
        self.conf.write_text(form(folder, mail, users))

    def _conf_2_3(self, folder: Path, mail: Path, users: Path) -> str:
        return f"""\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols =
ssl = no
auth_cache_size = 0
mail_location = maildir:{mail}/%d/%n
passdb {{
  driver = passwd-file
  args = username_format=%Lu {users}
}}
userdb {{
  driver = passwd-file
  args = username_format=%Lu {users}
}}
"""

    def _conf_2_4(self, folder: Path, mail: Path, users: Path) -> str:
        return f"""\
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols =
ssl = no
auth_cache_size = 0
mail_driver = maildir
mail_path = {mail}/%{{user|domain}}/%{{user|username}}
passdb_driver = passwd-file
userdb_driver = passwd-file
passwd_file_path = {users}
passdb all {{
}}
userdb all {{
}}
"""

    def doveadm(self, *words: str) -> str:
        done = subprocess.run(["doveadm", "-c", self.conf, *words], capture_output=True, text=True)
        return done.stdout + done.stderr


def kinds(instance: Instance, *extras: str) -> dict[str, str]:
    """Extra fields by account."""
    return {
        f"a{number}@x.com": extra.replace("MAIL", str(instance.mail)).replace("yyy", LONG)
        for number, extra in enumerate(extras)
    }


@pytest.fixture(scope="module")
def served(server: Instance) -> Instance:
    """With an account for each kind that is served, written by hand."""
    found = kinds(server, *SERVED)
    lines = [f"{user}|{HASH}|{extra}\n" for user, extra in found.items()]
    server.file("postfix-virtual.cf").write_text(ALIASES)
    server.file("postfix-accounts.cf").write_text(f"keep@x.com|{HASH}\n" + "".join(lines))
    until(lambda: "in step: yes" in server.run("status").stdout)
    assert f"live: {len(lines) + 1} in postfix-accounts.cf" in server.setup("status")
    # Dovecot looks at a passwd-file once a second.
    until(lambda: all(userdb(server.doveadm("user", user)).get("home") for user in found))
    return server


@pytest.fixture(scope="module")
def plain(server: Instance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plain]:
    folder = server.home / "plain"
    folder.mkdir()
    bad = {f"b{number}@x.com": extra for number, extra in enumerate((*IMPOSTORS, *FATAL))}
    good = {
        user: " ".join(FORM.fields(extra).written.values())
        for user, extra in kinds(server, *SERVED).items()
    }
    dovecot = Plain(folder, server.mail, {"keep@x.com": "", **good, **bad})
    subprocess.run(["dovecot", "-c", dovecot.conf], check=True)
    try:
        until(lambda: "succeeded" in dovecot.doveadm("auth", "test", "keep@x.com", "secret"))
        yield dovecot
    finally:
        subprocess.run(["doveadm", "-c", dovecot.conf, "stop"], check=True)


def userdb(said: str) -> dict[str, str]:
    """What `doveadm user` prints, as field -> value."""
    pairs = [line.split("\t", 1) for line in said.splitlines() if "\t" in line]
    return {name: value for name, value in pairs if name != "field"}


def passdb(said: str) -> list[str]:
    """What `doveadm auth test` prints: the verdict, and the fields of who is let in. How somebody
    is refused depends on whether another passdb is asked."""
    lines = [re.sub(r"pid=\d+", "", line.strip()) for line in said.splitlines() if line]
    return sorted(lines) if "succeeded" in lines[0] else ["refused"]


@pytest.mark.parametrize("number", range(len(SERVED)), ids=lambda number: SERVED[number][:40])
def test_a_field_is_in_force_as_in_a_passwd_file(
    served: Instance, plain: Plain, number: int
) -> None:
    user = f"a{number}@x.com"
    ask = ("auth", "test", user, "secret")
    assert passdb(served.doveadm(*ask)) == passdb(plain.doveadm(*ask))
    ours, theirs = userdb(served.doveadm("user", user)), userdb(plain.doveadm("user", user))
    assert ours["home"]
    assert ours == theirs


@pytest.mark.parametrize("number", range(len(SERVED)), ids=lambda number: SERVED[number][:40])
def test_who_may_log_in_gets_mail(served: Instance, number: int) -> None:
    user, may = f"a{number}@x.com", not SERVED[number].startswith(NO_LOGIN)
    assert served.can_log_in(user) == may
    served.send(user, subject=f"for {number}")
    if may:
        served.arrives(user, f"for {number}")
    assert served.can_log_in("keep@x.com")


def test_every_account_is_listed_and_no_alias(served: Instance) -> None:
    users = {"keep@x.com", *kinds(served, *SERVED)}
    assert set(served.doveadm("user", "*").split()) == users
    said = served.doveadm("-f", "tab", "quota", "get", "-A")
    assert "Error" not in said
    rows = [line.split("\t") for line in said.splitlines()[1:] if "\t" in line]
    assert {row[0] for row in rows} == users
    listed = json.loads(served.setup("email", "list", "--json"))
    assert {account["address"] for account in listed} == users
    assert not served.can_log_in("info@x.com")


@pytest.mark.parametrize("extra", OWNERS)
def test_mail_has_one_owner_whatever_a_field_says(served: Instance, extra: str) -> None:
    path = served.file("postfix-accounts.cf")
    before = path.read_text()
    path.write_text(f"{before}owned@x.com|{HASH}|{extra}\n")
    served.setup("apply")
    found = userdb(served.doveadm("user", "owned@x.com"))
    assert (found["uid"], found["gid"]) == ("5000", "5000")
    assert served.can_log_in("owned@x.com")
    assert "[owner-field]" in served.setup("check")
    path.write_text(before)
    served.setup("apply", "--removals")


def test_through_an_alias_the_quota_of_a_mailbox_with_variables_counts(served: Instance) -> None:
    path = served.file("postfix-accounts.cf")
    extra = f"userdb_mail=maildir:{served.mail}/own/%d/%n userdb_quota_rule=*:storage=20k"
    path.write_text(f"{path.read_text()}full@x.com|{HASH}|{extra}\n")
    served.setup("alias", "add", "to-full@x.com", "full@x.com")
    served.send("full@x.com", subject="large", size=15_000)
    served.arrives("full@x.com", "large")
    served.send("full@x.com", subject="larger", size=4_000)
    with served.smtp() as session:
        session.mail("somebody@elsewhere.test", [f"size={15_000}"])
        answers = [session.rcpt(address)[0] for address in ("full@x.com", "to-full@x.com")]
    assert answers == [552, 552]


def test_what_is_refused_does_harm_in_a_passwd_file(plain: Plain) -> None:
    for number, extra in enumerate((*IMPOSTORS, *FATAL)):
        said = plain.doveadm("auth", "test", f"b{number}@x.com", "secret")
        if extra in FATAL:
            assert "failed" in said or "temp_fail" in said, extra
        else:
            assert f"original_user=b{number}@x.com" in said, extra
    log = plain.conf.parent / "log"
    until(lambda: log.read_text().count("Panic") == len(FATAL))


def _output(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("code", "extras"),
    [("malformed-field", MALFORMED), ("unsafe-field", UNSAFE)],
    ids=("malformed", "unsafe"),
)
def test_what_is_refused_is_refused_at_every_edit(
    served: Instance, tmp_path: Path, code: str, extras: tuple[str, ...]
) -> None:
    people = [f"r{number}@x.com" for number in range(len(extras))]
    source = tmp_path / "people.csv"
    extras = tuple(extra.replace("MAIL", str(served.mail)) for extra in extras)
    rows = [f'{user},{HASH},"{extra}"\n' for user, extra in zip(people, extras, strict=True)]
    source.write_text("address,hash,extra\n" + "".join(rows))
    done = served.run("import", str(source))
    assert (done.returncode, done.stderr.count(f"[{code}]")) == (1, len(extras)), done.stderr
    path = served.file("postfix-accounts.cf")
    before = path.read_text()
    bad = [f"{user}|{HASH}|{extra}\n" for user, extra in zip(people, extras, strict=True)]
    path.write_text(f"{before}{''.join(bad)}good@x.com|{HASH}\n")
    said = served.run("check").stdout
    at = before.count("\n") + 1
    found = re.findall(rf"^postfix-accounts\.cf:(\d+): error: .*\[{code}\]$", said, re.MULTILINE)
    assert [int(line) for line in found] == list(range(at, at + len(extras)))
    until(lambda: served.can_log_in("good@x.com"))
    waiting = set(people[len(people) - WAITING :]) if code == "unsafe-field" else set()
    assert set(people) & set(served.doveadm("user", "*").split()) == waiting
    assert not any(map(served.can_log_in, sorted(waiting)))
    # Dovecot 2.4 defers the mail before it is accepted: its quota-status looks up the account.
    late = {user for user in sorted(waiting) if served.rcpt(user)[0] == 250}
    assert {served.rcpt(user)[0] for user in waiting - late} <= {450}
    for user in sorted(late):
        served.send(user, subject="waits")
    queue = ("postqueue", "-c", str(served.state / "postfix"), "-p")
    until(lambda: all(user in _output(*queue) for user in late))
    path.write_text(before)
    served.setup("apply", "--removals")
