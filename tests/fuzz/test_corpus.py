"""Every parser keeps its promises on every case that is kept, and on inputs made from them by
chance: the same ones each time. Needs nothing but Python."""

import hmac
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest

from mailroster.analysis.dns import spf, subject
from mailroster.app import blocks
from mailroster.base import address, sizes
from mailroster.base.findings import ParseError
from mailroster.cli import dkim as dkim_command
from mailroster.cli import dns as dns_command
from mailroster.daemons import login_reports
from mailroster.roster.documents.document import Document
from mailroster.roster.formats import (
    app_passwords,
    credentials,
    local_aliases,
    quotas,
    regexp,
    relaymap,
    sasl_password,
    virtual,
)
from mailroster.servers import certificates, doveadm_quota, dovecot_auth, patterns, pem, sessions
from mailroster.servers.config import dkim, rspamd
from mailroster.store.leftovers import Leftovers
from mailroster.system import dns_messages
from tests.fuzz import answers, words
from tests.fuzz.chance import inputs
from tests.fuzz.targets import CASES, TARGETS, cases, keep

INPUTS = 300
SEED = 1

EVERY_CASE = [(name, path) for name in TARGETS for path in cases(name)]


@pytest.mark.parametrize(
    ("name", "case"), [pytest.param(n, p.read_bytes(), id=f"{n}/{p.name}") for n, p in EVERY_CASE]
)
def test_every_case_holds(name: str, case: bytes) -> None:
    TARGETS[name].run(case)


@pytest.mark.parametrize("name", TARGETS)
def test_inputs_by_chance_hold(name: str) -> None:
    by_chance(name, INPUTS, SEED)


def by_chance(name: str, count: int, seed: int) -> None:
    """Tries inputs on a target; keeps the one that breaks it."""
    target = TARGETS[name]
    seeds = [path.read_bytes() for path in cases(name)]
    for raw in islice(inputs(seeds, target.words, seed), count):
        try:
            target.run(raw)
        except BaseException as error:
            error.add_note(f"kept as {keep(name, raw)}")
            raise


def test_every_folder_of_cases_is_a_target_s() -> None:
    assert {path.name for path in CASES.iterdir()} == set(TARGETS)
    assert all(cases(name) for name in TARGETS)


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: object) -> None:
        raise error

    return fail


def leak(text: str) -> str:
    """A check of hashes as nobody should write it."""
    if "}" not in text:
        raise ParseError("malformed-hash", f"{text!r} has no scheme", "write {SCHEME}hash")
    return text


def careless(document: Document[Any], position: int, line: str) -> Document[Any]:
    """A replacement that forgets the carriage return, and the comments."""
    lines = [*document.lines[:position], line, *document.lines[position + 1 :]]
    return Document(document.format, "\n".join(line for line in lines if line[:1] != "#"))


#: What each target has to notice: where it is put, and what.
FLAWS: dict[str, tuple[Any, str, Any]] = {
    "accounts": (credentials, "check_hash", leak),
    "quotas": (quotas.Quotas, "key", lambda _, line: line.partition(":")[0]),
    "virtual": (virtual.Virtual, "split", lambda _, text: text.splitlines()),
    "regexp": (regexp, "_pattern", raising(IndexError())),
    "masters": (credentials, "hidden", lambda line: line),
    "send_access": (Document, "replace", careless),
    "receive_access": (Document, "append", lambda document, line: document),
    "sender_logins": (virtual, "without", lambda line, removed: line.split(",")[0]),
    "local_aliases": (local_aliases.LocalAliases, "split", lambda _, text: text.splitlines()),
    "relaymap": (relaymap, "destination", lambda text: text[1:]),
    "sasl_passwords": (sasl_password.SaslPasswords, "hidden", lambda _, line: line),
    "app_passwords": (app_passwords.AppPasswords, "hidden", lambda _, line: line),
    "account": (address, "fold", lambda text: text),
    "alias": (address, "fold", lambda text: text),
    "recipient": (address, "recipient", lambda text: text + "."),
    "rule": (regexp, "without", lambda line, removed: line),
    "size": (sizes, "normal_size", lambda text: text.strip()),
    "settings": (words, "load", raising(ValueError())),
    "command_line": (words, "parse", raising(KeyError())),
    "completion": (words, "candidates", lambda line, roster: ["else"]),
    "crash": (Leftovers, "is_cut", lambda *_: True),
    "postmap_warnings": (patterns, "printable", lambda text: text + "\n"),
    "postmap_results": (patterns, "results_of", lambda out, keys: dict([out.split("\t")[:2]])),
    "doveadm_quota": (doveadm_quota, "number", lambda text: -1),
    "auth_answers": (dovecot_auth, "replies_in", lambda raw: {-1: dovecot_auth.Reply("?", {})}),
    "pem": (pem, "CERTIFICATES", frozenset()),
    "acme_json": (pem, "_names", raising(TypeError())),
    "tls_pair": (certificates, "blocks", raising(TypeError())),
    "rotation": (dkim, "rotation_text", lambda rotation: ""),
    "dkim_names": (dkim, "_domain", lambda text: text),
    "signing_table": (dkim, "SELECTOR", "b"),
    "rspamd_commands": (rspamd, "_with_option", lambda text, option, value: f"{text}{value}\n"),
    "dns_texts": (subject, "printable", lambda text: text),
    "spf": (spf, "_network", raising(IndexError())),
    "dns_replies": (dns_messages, "name_text", raising(KeyError())),
    "dkim_words": (dkim_command, "_bits", lambda given: 0),
    "dns_words": (dns_command, "fold_domain", lambda text: text),
    "until": (blocks, "moment_of", lambda text: 1e15),
    "client": (answers, "network", lambda text: text),
    "login_requests": (hmac, "compare_digest", lambda one, other: True),
    "login_reports": (login_reports, "_text", lambda value: str(value) + "\n"),
    "anvil": (sessions, "pids_of", lambda dump, users: [0]),
}


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_notices_a_flaw(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, attribute, flaw = FLAWS[name]
    monkeypatch.setattr(where, attribute, flaw)
    with pytest.raises((AssertionError, LookupError, ValueError, TypeError, ParseError)):
        for case in cases(name):
            TARGETS[name].run(case.read_bytes())
