"""The folders of a docker-mailserver as it leaves them, made by hand in the known formats."""

import os
from pathlib import Path

from tests.support.instance import HASH

FILES = {
    "postfix-accounts.cf": (
        f"john@example.com|{HASH}\nann@example.com|{HASH}|allow_nets=127.0.0.0/8\n"
        f"Bob@Example.com|{HASH}\nqa@example.org|{HASH}\n"
    ),
    "dovecot-quotas.cf": "john@example.com:5G\n",
    "postfix-virtual.cf": (
        "info@example.com john@example.com\n"
        "all@example.com john@example.com,ann@example.com\n"
        "@example.com john@example.com\n"
        "old@example.org someone@elsewhere.test\n"
    ),
    "postfix-regexp.cf": "/^test[0-9]+@example\\.org$/ qa@example.org\n",
    "dovecot-masters.cf": f"admin|{HASH}\n",
    "postfix-send-access.cf": "bob@example.com REJECT\n",
    "postfix-receive-access.cf": "qa@example.org REJECT\n",
    "postfix-aliases.cf": "root: john@example.com\n",
    "postfix-relaymap.cf": "@example.org [smtp.provider.test]:587\n@intern.test\n",
    "postfix-sasl-password.cf": "@example.org customer:provider-secret\n",
    "before.dovecot.sieve": "keep;\n",
    "john@example.com.dovecot.sieve": 'require "fileinto";\nfileinto "INBOX.spam";\n',
    "postfix-main.cf": "message_size_limit = 20480000\n",
    "user-patches.sh": "#!/bin/sh\n",
}
ENVIRONMENT = """\
# What docker-mailserver's own file looks like, in short.
OVERRIDE_HOSTNAME=
SPOOF_PROTECTION=1
ENABLE_QUOTAS=1
ENABLE_POP3=
ENABLE_CLAMAV=0
ENABLE_SRS=1
SSL_TYPE=letsencrypt
RELAY_PASSWORD=very-secret
"""
COMPOSE = """\
services:
  mailserver:
    image: ghcr.io/docker-mailserver/docker-mailserver:latest
    hostname: mail.example.com
    env_file: mailserver.env
    environment:
      - ENABLE_FAIL2BAN=1
    volumes:
      - ./docker-data/dms/mail-data/:/var/mail/
      - ./docker-data/dms/mail-state/:/var/mail-state/
      - ./docker-data/dms/mail-logs/:/var/log/mail/
      - ./docker-data/dms/config/:/tmp/docker-mailserver/
      - /etc/localtime:/etc/localtime:ro
"""
OWNER = 5000
UID_OF_HELLO = 7


def leave(home: Path) -> None:
    """Makes `config`, `mail-data` and `mail-state` below a home."""
    config = home / "config"
    (config / "opendkim/keys/example.com").mkdir(parents=True)
    for name, text in FILES.items():
        (config / name).write_text(text)
        (config / name).chmod(0o600)
    mailbox(home / "mail-data", "example.com/john", "hello from before")
    mailbox(home / "mail-data", "example.com/ann", "ann's own")
    mailbox(home / "mail-data", "example.com/gone", "nobody's")
    os.chown(home / "mail-data", OWNER, OWNER)
    for name in ("lib-amavis", "lib-postfix", "lib-dovecot", "spool-postfix/deferred/A"):
        (home / "mail-state" / name).mkdir(parents=True, exist_ok=True)


def project(folder: Path) -> Path:
    """Makes the folder of a compose project, and gives its home."""
    home = folder / "docker-data/dms"
    home.mkdir(parents=True)
    leave(home)
    (home / "mail-logs").mkdir()
    (folder / "compose.yaml").write_text(COMPOSE)
    (folder / "mailserver.env").write_text(ENVIRONMENT)
    return home


def mailbox(mail: Path, name: str, subject: str, owner: int = OWNER) -> Path:
    """A Maildir with one message that has been read and one folder in a folder, as Dovecot has
    left it."""
    box = mail / name
    for folder in (".", ".Lists.a"):
        for part in ("cur", "new", "tmp"):
            (box / folder / part).mkdir(parents=True)
        (box / folder / "maildirfolder").touch()
    (box / "home/sieve").mkdir(parents=True)
    text = f"From: you@elsewhere.test\nSubject: {subject}\n\nHello.\n"
    for folder, file in ((".", "1600000000.M1P1.mail,S=60"), (".Lists.a", "1600000001.M2P1.mail")):
        (box / folder / "cur" / f"{file}:2,S").write_text(text)
    uids = f"3 V1600000000 N{UID_OF_HELLO + 1} G0123456789abcdef0123456789abcdef\n"
    (box / "dovecot-uidlist").write_text(f"{uids}{UID_OF_HELLO} :1600000000.M1P1.mail,S=60\n")
    (box / "dovecot-uidvalidity").write_text("5f5e1000")
    (box / "subscriptions").write_text("V\t2\n\nLists\ta\n")
    (box / "maildirfolder").unlink()
    for path in (box.parent, box, *box.rglob("*")):
        os.chown(path, owner, owner)
    return box
