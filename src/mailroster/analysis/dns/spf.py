"""Evaluates SPF records (RFC 7208) with the lookups of `Ask`.

For an address: the result that another server gets. Without an address no mechanism matches, so
that all lookups of the record are counted: the worst case of its limits.
"""

import ipaddress
import re
from typing import NamedTuple

from mailroster.base.dns import ANSWERED, FAILED, SHOWN_MAX, Ask

VERSION = "v=spf1"
#: The limits of RFC 7208, 4.6.4: terms that look something up, lookups without an answer, and
#: names of an MX or a PTR.
LOOKUPS_MAX, VOID_MAX, NAMES_MAX = 10, 2, 10
PASS, FAIL, SOFTFAIL, NEUTRAL, NONE = "pass", "fail", "softfail", "neutral", "none"
_RESULTS = {"+": PASS, "-": FAIL, "~": SOFTFAIL, "?": NEUTRAL}
#: Only letters of ASCII: re.IGNORECASE takes U+0131 for an `i`.
_FLAGS = re.ASCII | re.IGNORECASE
_TERM = re.compile(r"([+?~-]?)(all|include|a|mx|ptr|ip4|ip6|exists)((?:[:/].*)?)", _FLAGS)
_MODIFIER = re.compile(r"([a-z][a-z0-9._-]*)=(.*)", _FLAGS)
_MACRO = re.compile(r"%(?:\{([slodiphcrtv])([0-9]*)(r?)([.+,/_=-]*)\}|([%_-]))", _FLAGS)
_PREFIX = "(0|[1-9][0-9]{0,2})"
_PREFIXES = re.compile(rf"(?:/{_PREFIX})?(?://{_PREFIX})?")
#: The value of `ip4:` and `ip6:`. A netmask (/255.255.255.0) and a zone (%eth0) are not valid.
_NETWORK = re.compile(rf":[0-9A-Fa-f.:]+(?:/{_PREFIX})?")
_LOOKUP_TERMS = frozenset(("include", "a", "mx", "ptr", "exists", "redirect"))
#: The kinds of errors (Evaluation.error).
SYNTAX, LOOKUPS, VOID, TWO, UNANSWERED = "syntax", "lookups", "void", "two", "unanswered"


class SpfError(Exception):
    """A permanent or temporary error of an evaluation: its kind, and what is wrong."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind, self.message = kind, message


class Evaluation(NamedTuple):
    """A result of RFC 7208, 2.6, or an error; and how many terms looked something up."""

    result: str
    lookups: int
    error: str = ""  # SYNTAX, LOOKUPS, …
    message: str = ""


def evaluate(domain: str, address: str | None, ask: Ask) -> Evaluation:
    """What the record of a domain says about mail from an address; None counts the lookups."""
    run = _Evaluator(domain, None if address is None else ipaddress.ip_address(address), ask)
    try:
        return Evaluation(run.check(domain), run.lookups)
    except SpfError as error:
        return Evaluation("", run.lookups, error.kind, error.message)


def records_of(texts: list[str]) -> list[str]:
    """The texts that are SPF records."""
    return [text for text in texts if text.lower().split(" ")[0] == VERSION]


class _Evaluator:
    """One evaluation, with its counters. `lookups` goes on above the limit in the worst case only
    by one: the first lookup too many is an error."""

    def __init__(
        self,
        domain: str,
        address: ipaddress.IPv4Address | ipaddress.IPv6Address | None,
        ask: Ask,
    ) -> None:
        self._sender_domain, self._address, self._ask = domain, address, ask
        self.lookups = self._void = 0

    def check(self, domain: str) -> str:
        """The function check_host of RFC 7208, 4."""
        answer = self._ask(domain, "TXT")
        if answer.status == FAILED:
            raise SpfError(UNANSWERED, f"the lookup of {domain} TXT failed ({answer.reason})")
        records = records_of(answer.first_fields())
        if len(records) > 1:
            raise SpfError(TWO, f"{domain} has {len(records)} SPF records")
        return self._evaluate(domain, records[0]) if records else NONE

    def _evaluate(self, domain: str, record: str) -> str:
        terms = record.split(" ")[1:]
        redirect, has_all = "", False
        parsed = []
        for term in filter(None, terms):  # all of them first: an error anywhere is an error
            match = _TERM.fullmatch(term)
            if match:
                parsed.append(match)
                has_all |= match[2].lower() == "all"
                self._check_syntax(term, match)
                continue
            modifier = _MODIFIER.fullmatch(term)
            if not modifier:
                raise SpfError(SYNTAX, f"{_short(term)!r} in the record of {domain} is no term")
            if modifier[1].lower() == "redirect":
                if redirect or not modifier[2]:
                    raise SpfError(SYNTAX, f"the record of {domain} has a wrong 'redirect='")
                redirect = modifier[2]
        for match in parsed:
            if self._matches(domain, match[2].lower(), match[3]):
                return _RESULTS[match[1] or "+"]
        if not redirect or has_all:
            return NEUTRAL
        self._count("redirect")
        target = self._expand(redirect, domain)
        result = self.check(target)
        if result == NONE:
            raise SpfError(SYNTAX, f"{_short(target)!r} of 'redirect=' has no SPF record")
        return result

    def _check_syntax(self, term: str, match: re.Match[str]) -> None:
        """Raises SpfError for a mechanism with a wrong value, also if it is never evaluated."""
        name, value = match[2].lower(), match[3]
        if name == "all":
            is_valid = not value
        elif name in ("ip4", "ip6"):
            is_valid = _network(name, value) is not None
        elif name in ("include", "exists"):
            is_valid = value[:1] == ":" and len(value) > 1
        else:
            is_valid = value != ":" and _target(value) is not None
        if not is_valid:
            raise SpfError(SYNTAX, f"{_short(term)!r} has a wrong value")

    def _matches(self, domain: str, name: str, value: str) -> bool:
        self._count(name)
        if name == "all":
            return self._address is not None
        if name in ("ip4", "ip6"):
            network = _network(name, value)
            return network is not None and self._address is not None and self._address in network
        if name == "include":
            target = self._expand(value[1:], domain)
            result = self.check(target)
            if result == NONE:
                raise SpfError(SYNTAX, f"{_short(target)!r} of 'include:' has no SPF record")
            return result == PASS
        if name == "exists":
            found = self._addresses(self._expand(value[1:], domain), "A", is_first=True)
            return bool(found) and self._address is not None
        parts = _target(value)
        assert parts is not None  # _check_syntax
        target, prefix4, prefix6 = parts
        target = self._expand(target, domain) if target else domain
        if name == "ptr":
            return self._matches_ptr(target)
        names = [target] if name == "a" else self._mx_hosts(target)
        return any(
            self._is_in(address, prefix4, prefix6)
            for host in names
            for address in self._addresses(host, self._kind(), is_first=name == "a")
        )

    def _kind(self) -> str:
        return "AAAA" if isinstance(self._address, ipaddress.IPv6Address) else "A"

    def _is_in(self, address: str, prefix4: int, prefix6: int) -> bool:
        if self._address is None:
            return False
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return False
        if ip.version != self._address.version:
            return False
        prefix = prefix4 if ip.version == 4 else prefix6
        return self._address in ipaddress.ip_network(f"{address}/{prefix}", strict=False)

    def _mx_hosts(self, target: str) -> list[str]:
        answer = self._ask_counted(target, "MX")
        if len(answer) > NAMES_MAX:
            raise SpfError(LOOKUPS, f"{_short(target)!r} of 'mx' has more than {NAMES_MAX} servers")
        return [record[1] for record in answer if record[1] != "."]

    def _matches_ptr(self, target: str) -> bool:
        if self._address is None:
            return False
        names = self._ask_counted(self._address.reverse_pointer, "PTR")[:NAMES_MAX]
        for (name,) in names:
            if name == target or name.endswith(f".{target}"):
                found = self._addresses(name, self._kind(), is_first=False)
                if str(self._address) in found:
                    return True
        return False

    def _addresses(self, name: str, kind: str, *, is_first: bool) -> list[str]:
        """The addresses of a name. `is_first`: without any, it counts as a lookup in vain."""
        if is_first:
            return [record[0] for record in self._ask_counted(name, kind)]
        return self._ask(name, kind).first_fields()

    def _ask_counted(self, name: str, kind: str) -> tuple[tuple[str, ...], ...]:
        """The records of a lookup of a term; counts it if there is no answer."""
        answer = self._ask(name, kind)
        if answer.status == FAILED:
            message = f"the lookup of {_short(name)!r} {kind} failed ({answer.reason})"
            raise SpfError(UNANSWERED, message)
        if answer.status != ANSWERED or not answer.records:
            self._void += 1
            if self._void > VOID_MAX:
                message = (
                    f"more than {VOID_MAX} names in it do not exist or have no records, "
                    f"among them {_short(name)!r}"
                )
                raise SpfError(VOID, message)
        return answer.records

    def _count(self, name: str) -> None:
        if name not in _LOOKUP_TERMS:
            return
        self.lookups += 1
        if self.lookups > LOOKUPS_MAX:
            message = f"it needs more than {LOOKUPS_MAX} lookups"
            raise SpfError(LOOKUPS, message)

    def _expand(self, text: str, domain: str) -> str:
        """A name with its macros expanded (RFC 7208, 7), for a sender postmaster@ the domain.
        Raises SpfError for a `%` that is no macro."""
        if "%" in _MACRO.sub("", text):
            raise SpfError(SYNTAX, f"{_short(text)!r} has a wrong macro")
        return _MACRO.sub(lambda match: self._macro(match, domain), text).lower().rstrip(".")

    def _macro(self, match: re.Match[str], domain: str) -> str:
        if match[5]:
            return {"%": "%", "_": " ", "-": "%20"}[match[5]]
        letter = match[1].lower()
        address = self._address or ipaddress.ip_address("0.0.0.0")
        is_v6 = isinstance(address, ipaddress.IPv6Address)
        values = {
            "s": f"postmaster@{self._sender_domain}",
            "l": "postmaster",
            "o": self._sender_domain,
            "d": domain,
            "h": self._sender_domain,
            "p": "unknown",
            "v": "ip6" if is_v6 else "in-addr",
            "i": ".".join(address.exploded.replace(":", "")) if is_v6 else str(address),
        }
        value = values.get(letter, "unknown")
        parts = re.split(f"[{re.escape(match[4] or '.')}]", value)
        if match[3]:
            parts.reverse()
        if match[2]:
            parts = parts[-min(int(match[2][:3]), len(parts)) or len(parts) :]
        return ".".join(parts)


def _network(name: str, value: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """The network of `ip4:` or `ip6:`; None if it is not valid."""
    if _NETWORK.fullmatch(value) is None:
        return None
    try:
        network = ipaddress.ip_network(value[1:], strict=False)
    except ValueError:
        return None
    return network if network.version == (4 if name == "ip4" else 6) else None


def _target(value: str) -> tuple[str, int, int] | None:
    """The name, and the lengths of the prefixes, of `:name/24//64`; None if it is not valid."""
    name, slash, prefixes = value.removeprefix(":").partition("/")
    match = _PREFIXES.fullmatch(slash + prefixes)
    if match is None:
        return None
    prefix4, prefix6 = int(match[1] or 32), int(match[2] or 128)
    return (name, prefix4, prefix6) if prefix4 <= 32 and prefix6 <= 128 else None


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}…"
