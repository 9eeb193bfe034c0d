"""Every parser, as a function of bytes that raises where a promise is broken; with its cases."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mailroster.base.settings import FOLDERS, SETTINGS
from mailroster.cli import FOLDER_OPTIONS
from mailroster.cli.commands import COMMANDS
from mailroster.roster.roster import Roster
from tests.fuzz import answers, certificates, documents, keys, records, recovery, words

CASES = Path(__file__).parent / "cases"

_ADDRESS = (b"@", b"a@x.com", b"B@X.com", b".", b"..", b"+", b"xn--", b"\xc3\xbc", b"\xe2\x80\x8d")
_BLANKS = (b" ", b"\t", b"\n", b"\n ", b"\r\n", b"#", b"\xef\xbb\xbf", b"\xff", b"\0", b"\xc2\xa0")
_FILES: dict[str, tuple[bytes, ...]] = {
    "accounts": (b"|", b"{PLAIN}", b"$6$", b"|home=/x", b":"),
    "quotas": (b":", b"5G", b"0", b"18446744073709551616k"),
    "virtual": (b",", b", b@x.com", b"\n  c@x.com", b"@x.com"),
    "regexp": (b"/^a/", b"!/", b"if /x/", b"endif", b"\\/", b"$1", b"\n a@x.com"),
    "masters": (b"info", b"|", b"{PLAIN}", b"$6$"),
    "send_access": (b"REJECT", b"user@", b"example.com"),
    "local_aliases": (b"info:", b"root", b",", b"|/bin/x", b":include:/x", b'"', b"\n  c@x.com"),
    "relaymap": (b"@x.com", b"[r.test]:587", b"[ipv6:::1]", b":", b",", b"]"),
    "sasl_passwords": (b"@x.com", b"[r.test]:587", b"user:secret", b":", b"\n secret"),
    "receive_access": (b"REJECT", b"550 5.7.1 no"),
    "app_passwords": (
        b"a@x.com|phone|{SHA256.HEX}",
        b"0123456789abcdef" * 4,
        b"|",
        b"services=imap,smtp",
        b"until=2026-12-31",
        b"allow_nets=10.0.0.0/8",
        b"none",
    ),
    "sender_logins": (b",", b"@x.com", b" b@x.com", b"\n  c@x.com", b"user"),
}


class Target(NamedTuple):
    """`run` raises where a promise is broken; `words` mean something to the parser."""

    run: Callable[[bytes], None]
    words: tuple[bytes, ...]


def _files() -> dict[str, Target]:
    formats = {field: document.format for field, document in Roster().documents()}
    return {
        field: Target(
            functools.partial(documents.is_held, format), (*_FILES[field], *_ADDRESS, *_BLANKS)
        )
        for field, format in formats.items()
    }


def _said() -> tuple[bytes, ...]:
    """The words of all commands, and their options."""
    said = [word for command in COMMANDS for word in command.words]
    said += [str(option) for command in COMMANDS for option in command.options]
    said += [f"--{name}" for name in FOLDER_OPTIONS] + ["--help", "help", "--", "-", "="]
    return tuple(f"{word}".encode() for word in dict.fromkeys(said))


def _set() -> tuple[bytes, ...]:
    names = [setting.name for setting in (*FOLDERS, *SETTINGS)]
    variables = [s.variable for s in (*FOLDERS, *SETTINGS) if s.variable]
    return tuple(
        word.encode()
        for word in (
            *(f"{name} = " for name in names),
            *(f"\0{variable}=" for variable in variables),
            *(f"\0{variable}__FILE=" for variable in variables),
            *(f"\0--{name}=" for name in names),
            *("true", '"', "'''", "[", "{", "0x", "1e9", "1979-05-27", "\\u0000", "\n"),
        )
    )


_ROWS = (b"\t", b"\n", b"\n\n", b"\0", b"\xff", b"a@x.com", b"-1", b"\xc2\xb2", b"1" * 30)

_TAGS = (
    b"\0", b"\n", b";", b"=", b"v=DMARC1; ", b"p=none", b"rua=mailto:a@y.com!9m", b"v=DKIM1; ",
    b"k=rsa; ", b"t=y", b"v=STSv1; ", b"id=1", b"v=TLSRPTv1; ", b"version: STSv1\n",
    b"mode: enforce\n", b"mx: *.x.com\n", b"max_age: 1\n", b"\x01",
)  # fmt: skip
_SPF = (
    b"\0", b" ", b"v=spf1", b"-all", b"include:a.x", b"include:b.x", b"redirect=a.x", b"a:b.x",
    b"mx", b"ptr", b"exists:%{ir}.x", b"%{d2r-}", b"ip4:", b"203.0.113.0/24", b"ip6:2001:db8::/32",
    b"/24", b"//64", b"exp=", b"?", b"\n", b"\x01",
)  # fmt: skip

TARGETS: dict[str, Target] = {
    **_files(),
    "account": Target(words.account, _ADDRESS),
    "alias": Target(words.alias, (*_ADDRESS, b'"', b"[", b" ", b"!")),
    "recipient": Target(words.recipient, (*_ADDRESS, b'"', b"[", b" ", b"!", b"%")),
    "rule": Target(words.rule, (b"\0", b"/^a$/", b"!/", b"|x|", b"\\/", b"$1", b"if ", *_ADDRESS)),
    "size": Target(words.size, (b"k", b"G", b"0", b"9223372036854775807B", b"\xd9\xa1", b" ")),
    "settings": Target(words.settings, _set()),
    "command_line": Target(words.command_line, (b"\0", b"a@x.com", b"pw", *_said())),
    "completion": Target(words.completion, (b"setup ", b" ", b"a@x.com", b",", b"\\", *_said())),
    "crash": Target(
        recovery.crash,
        tuple(b"\xff\n" + word for word in (b"J=a\n=v\n", b"A", b"a", b"x", b"j", b"la", b"dA")),
    ),
    "postmap_warnings": Target(
        answers.postmap_warnings,
        (b"/proc/self/fd/3, line ", b": ", b": skipping this rule", b"warning: ", *_ROWS),
    ),
    "postmap_results": Target(answers.postmap_results, _ROWS),
    "doveadm_quota": Target(answers.doveadm_usages, (b"STORAGE", b"User quota", *_ROWS)),
    "auth_answers": Target(
        answers.auth_answers, (b"USER\t1\t", b"PASS\t", b"NOTFOUND\t", b"FAIL\t", b"\x01t", *_ROWS)
    ),
    "pem": Target(
        certificates.blocks,
        tuple(
            b"-----%s %s-----\n" % (word, label)
            for word in (b"BEGIN", b"END")
            for label in (b"CERTIFICATE", b"PRIVATE KEY", b"TRUSTED CERTIFICATE", b"X")
        ),
    ),
    "acme_json": Target(
        certificates.acme_json,
        (b'"Certificates"', b'"domain"', b'"main"', b'"sans"', b'"key"', b"[", b"{", b"null", b"1"),
    ),
    "tls_pair": Target(
        certificates.pair,
        (
            b"\0", b"Proc-Type: 4,ENCRYPTED\n", b"DEK-Info: AES-256-CBC,00\n",
            b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n",
            b"-----BEGIN PRIVATE KEY-----\n", b"-----END PRIVATE KEY-----\n",
            b"-----BEGIN EC PARAMETERS-----\n", b"-----END EC PARAMETERS-----\n",
        ),
    ),
    "rotation": Target(keys.rotation, (b"new ", b"old ", b"since ", b"0", b"#", *_BLANKS)),
    "dkim_names": Target(
        keys.key_names,
        (b"\0", b".private", b".private.txt", b"rsa-2048-", b"ed25519-", b"x.com", b"b-x.com",
         b"mail", b"-", b":", *_ADDRESS, *_BLANKS),
    ),
    "signing_table": Target(
        keys.signing_table,
        (b"*@x.com ", b"a._domainkey.x.com", b"b._domainkey.b-x.com", b"._domainkey.", *_BLANKS),
    ),
    "rspamd_commands": Target(
        keys.commands,
        (b"enable-module ", b"disable-module ", b"set-option-for-module ", b"add-line ",
         b"set-option-for-controller ", b"set-option-for-proxy ", b"set-common-option ",
         b"multimap ", b"dkim_signing", b"worker-proxy.inc ", b"../", b"bind_socket ", b"\\1",
         *_BLANKS),
    ),
    "dns_texts": Target(records.dns_texts, (*_TAGS, *_SPF)),
    "spf": Target(records.spf_records, _SPF),
    "dns_replies": Target(
        records.dns_replies,
        (b"\xc0\x0c", b"\7example\3com\0", b"\0\1\0\1", b"\0\x10\0\1", b"\0\x0f\0\1",
         b"\0\5\0\1", b"\0\x21\0\1", b"\x01\x01\0\1", b"\0\x34\0\1", b"\0\1\0\3"),
    ),
    "dkim_words": Target(
        words.dkim_words,
        (b"\0", b"keysize", b"2048", b"keytype", b"ed25519", b"selector", b"mail", b"domain"),
    ),
    "dns_words": Target(
        words.dns_words, (b"\0", b":53", b"[", b"]", b"::1", b"1.2.3.4", *_ADDRESS)
    ),
    "until": Target(
        words.until,
        (b"2126-12-31", b"T18:00", b":59", b"9999-12-31", b"0000", b"30d", b"min", b"w", b"-"),
    ),
    "client": Target(
        answers.client, (b"::ffff:", b"192.0.2.1", b"2001:db8::", b"%eth0", b"/64", b"::", b"0x"),
    ),
    "login_requests": Target(
        answers.login_requests,
        (b"POST / HTTP/1.1\r\n", b"X-Mailroster-Key: KEY\r\n", b"Content-Length: ", b"\r\n\r\n",
         b'{"success":true,', b'"login":"a@x.com"', b'"protocol":"imap"', b"-1", b"9" * 5000),
    ),
    "login_reports": Target(
        answers.login_report,
        (b'{"success":true,', b'"login":"a@x.com"', b'"protocol":"imap"', b'"app":', b"}", b"[",
         b"\\u0000", b"\\ud800", *_ROWS),
    ),
    "anvil": Target(answers.anvil, (b"imap/127.0.0.1/a@x.com\t", b"/", *_ROWS)),
}  # fmt: skip


def cases(name: str) -> list[Path]:
    """The files that are kept for a target: inputs to start from, and all that ever broke it."""
    return sorted(path for path in (CASES / name).iterdir() if path.is_file())


def keep(name: str, raw: bytes) -> Path:
    """Makes a case of an input that broke a target."""
    from hashlib import sha1

    path = CASES / name / f"crash-{sha1(raw).hexdigest()}"  # the name that libFuzzer gives it
    path.write_bytes(raw)
    return path
