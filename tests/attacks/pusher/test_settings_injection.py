"""No setting becomes a second setting of Postfix or Dovecot, whoever writes mailroster.toml or the
environment: it is refused by name, or the servers read it back as it was written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mailroster.base.findings import UsageError
from mailroster.base.layout import Layout
from mailroster.base.settings import SETTINGS, Settings, Sources, load
from mailroster.servers import version
from mailroster.servers.config import overrides, postfix
from mailroster.servers.config.dovecot.versions import dialect

#: Every way to end a value, or to make it mean more than itself, of main.cf, master.cf,
#: dovecot.conf and SQL.
TRICKS = (
    "{} x={{", "{}\nmynetworks = 0.0.0.0/0", "{}$mail_name", "{}${{mail_name}}", "<{}",
    "</etc/shadow",
    "{} # x", '"{}', "{}'", "{}' OR '1'='1", "{},unix:/tmp/x", "{}|sh", "{}}}", "{}%u", "{}\\",
    "{} -o x=y",
    "{}\u2028x = y", "{}\0", "{};x", "inline:{{ {{{}=x}} }}", "{}\t", " {}",
)  # fmt: skip
TEXTS = {
    "hostname": "mail.example.com",
    "listen": "127.0.0.1",
    "postmaster_address": "pm@example.com",
    "relayhost": "[relay.test]:587",
    "relay_tls_level": "may",
    "log_level": "info",
    "password_scheme": "BLF-CRYPT",
    "tls_certificate": "/etc/ssl/cert.pem",
    "tls_key": "/etc/ssl/key.pem",
    "tls_type": "letsencrypt",
    "tls_domain": "example.com",
    "proxy_protocol": "smtp",
    "trusted_proxies": "10.0.0.0/8",
    "quota_warnings": "80",
    "layout": "private",
}
NUMBERS = [s.name for s in SETTINGS if type(s.default) is int]


def attempts() -> list[tuple[str, str]]:
    """Setting and text, each of which is one attack."""
    found = [(name, trick.format(text)) for name, text in TEXTS.items() for trick in TRICKS]
    found += [(name, trick.format(1)) for name in NUMBERS for trick in TRICKS]
    found += [(name, text) for name in NUMBERS for text in ("-1", "1e3", "0x10", "9" * 30)]
    return found


def loaded(name: str, text: str, home: Path) -> Settings:
    return load(Sources({"home": str(home), name: text}, {}, lambda path: b"", os.path.isdir))


@pytest.mark.parametrize(("name", "text"), attempts())
def test_a_setting_that_would_be_more_than_one_value_is_refused_by_name(
    name: str, text: str, tmp_path: Path
) -> None:
    try:
        settings = loaded(name, text, tmp_path)
    except UsageError as error:
        assert str(error).startswith(f"{name}: ")
        assert str(error).isprintable()
    else:  # blanks around a number or a word are no part of it
        assert str(getattr(settings, name)).strip() == text.strip()
        assert text.strip() == TEXTS.get(name, "1")


@pytest.mark.parametrize("name", sorted({*TEXTS, *NUMBERS} - {"layout"}))
def test_a_pushed_toml_and_the_environment_are_refused_alike(name: str, tmp_path: Path) -> None:
    variable = next(setting.variable for setting in SETTINGS if setting.name == name)
    text = "x$y{z"
    toml = tmp_path / "config/mailroster.toml"
    toml.parent.mkdir()
    argv = [sys.executable, "-m", "mailroster", "--home", str(tmp_path), "email", "list"]
    ways = [{variable: text}] if variable else []
    for environment in [*ways, {}]:
        toml.write_text("" if environment else f"{name} = {json.dumps(text)}\n")
        done = subprocess.run(
            argv, capture_output=True, text=True, env={**os.environ, **environment}
        )
        assert done.returncode == 2, done
        assert done.stderr.startswith(f"setup: {name}: ")
        assert done.stdout == ""


def test_what_is_accepted_is_read_back_by_postfix_and_dovecot_as_it_was_written(
    tmp_path: Path,
) -> None:
    given = {
        "home": str(tmp_path),
        "hostname": "a-1.example.com",
        "listen": "::1",
        "postmaster_address": "Post.Master_1+x-y@Example.com",
        "relayhost": "[my_relay.test]:587, [ipv6:2001:db8::1]:25",
        "message_size_limit": str(1 << 60),
        "mailbox_size_limit": str(1 << 60),
        "vmail_uid": str((1 << 31) - 1),
        "tls_certificate": "/etc/ssl/a=b&c(d)~e+f@g!.pem",
    }
    settings = load(Sources(given, {}, lambda path: b"", os.path.isdir))
    layout = Layout(settings.state, settings.layout)
    main = postfix.main_cf(settings, layout)
    (tmp_path / "main.cf").write_text(main)
    (tmp_path / "master.cf").write_text(postfix.master_cf(settings))
    for name, value in {
        "myhostname": settings.hostname,
        "inet_interfaces": "::1",
        "message_size_limit": given["message_size_limit"],
        "smtpd_tls_chain_files": f"{settings.state}/tls/active.pem",
        "default_transport": f"relayed:{given['relayhost']}",
    }.items():
        assert postconf(tmp_path, "-hx", name) == value
    names = {entry.name for entry in overrides.entries(overrides.MAIN, main)}
    assert {"config_directory", *names} == {
        line.partition(" =")[0] for line in postconf(tmp_path, "-n").splitlines()
    }
    assert f"[::1]:{settings.smtp_port}" in postconf(tmp_path, "-M")
    assert given["postmaster_address"] not in main  # it is a row of a table
    its = dialect(version.version())
    for name, text in its.files(settings, layout).items():
        (tmp_path / name).write_text(text)
    said = doveconf(tmp_path)
    assert f"postmaster_address = {given['postmaster_address']}" in said
    assert f"first_valid_uid = {given['vmail_uid']}" in said
    assert given["tls_certificate"] not in said + main  # the servers read a copy
    assert "listen = ::1" in said


def postconf(folder: Path, *arguments: str) -> str:
    argv = ["postconf", "-c", str(folder), *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.strip()


def doveconf(folder: Path) -> str:
    argv = ["doveconf", "-n", "-c", str(folder / "dovecot.conf")]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert "Fatal" not in done.stderr, done.stderr
    return done.stdout
