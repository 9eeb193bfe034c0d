"""`setup config dkim` and `setup dkim rotate`: keys with which outgoing mail is signed."""

import time

from mailroster.app import dkim
from mailroster.base.findings import Refused, UsageError
from mailroster.cli.call import Call, domain_key, print_json
from mailroster.cli.streams import warn

#: The words of docker-mailserver, which are options here as well.
_WORDS = ("keysize", "keytype", "selector", "domain")
_SIZE = "2048"


def make(call: Call) -> int:
    """Creates the missing keys, and prints the DNS records of all."""
    given = _given(call)
    kind = _kind(given) or dkim.RSA
    if kind == dkim.ED25519 and "keysize" in given:
        raise UsageError("a key of the type ed25519 has no keysize")
    names = [domain_key(name)[1:] for name in given.get("domain", "").replace(",", " ").split()]
    names = names or dkim.domains(call.home)
    if not names:
        raise Refused("there is no domain yet; add an account, or name one: domain example.com")
    records = dkim.make_keys(call.home, names, kind, _bits(given), _selector(given))
    if "--json" in call.options:
        print_json([record._asdict() for record in records])
        return 0
    for record in records:
        state = f"created: {record.file}" if record.created else f"the key is {record.file}"
        print(f"# {record.domain}: {state}")
        _print_record(record)
    print("# add each record to the DNS of its domain")
    return 0


def rotate(call: Call) -> int:
    """Begins or continues the rotation of the key of a domain."""
    given = _options(call)
    domain = domain_key(call.arguments[0])[1:]
    state = dkim.rotate(call.home, domain, _selector(given), _bits(given), _kind(given))
    if "--json" in call.options:
        print_json(None if state is None else state._asdict() | {"record": state.record._asdict()})
        return 0
    if state is None:
        print(f"the rotation of {domain} is complete: the old key is removed")
        return 0
    if state.since:
        day = time.strftime("%Y-%m-%d", time.localtime(state.until))
        print(f"{state.new} signs; the old key {state.old} is removed on {day}")
    else:
        print(f"{state.old} signs until DNS has this record of the new key:")
        _print_record(state.record)
    if state.reason:
        warn(f"note: {state.reason}")
    return 0


def _print_record(record: dkim.Record) -> None:
    print(record.zone)
    print(f"# as one string: {record.value}")


def _options(call: Call) -> dict[str, str]:
    options = {name: call.options.get(f"--{name}") for name in _WORDS}
    return {name: value for name, value in options.items() if value is not None}


def _given(call: Call) -> dict[str, str]:
    """The values by name, from options and from words: `keysize 2048 domain a.example,b.example`.
    Raises UsageError."""
    given, words = _options(call), list(call.arguments)
    while words:
        name = words.pop(0).lower()
        if name not in _WORDS or not words:
            wrong = f"{name} needs a value" if name in _WORDS else f"{name!r} is unknown here"
            raise UsageError(f"{wrong}; write {', '.join(_WORDS)}, each with a value behind it")
        if name in given:
            raise UsageError(f"{name} is given twice")
        given[name] = words.pop(0)
    return given


def _kind(given: dict[str, str]) -> str:
    kind = given.get("keytype", "").lower()
    if kind and kind not in dkim.KINDS:
        raise UsageError(f"keytype {kind!r} is not one of {', '.join(dkim.KINDS)}")
    return kind


def _bits(given: dict[str, str]) -> int:
    text = given.get("keysize", _SIZE)
    sizes = [str(size) for size in dkim.SIZES]
    if text not in sizes:
        raise UsageError(f"keysize {text!r} is not one of {', '.join(sizes)}")
    return int(text)


def _selector(given: dict[str, str]) -> str:
    selector = given.get("selector", "")
    if selector and (fault := dkim.selector_fault(selector)):
        raise UsageError(f"{selector!r} is not a selector; {fault}")
    return selector
