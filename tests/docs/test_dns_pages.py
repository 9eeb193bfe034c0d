"""The pages on the codes of `setup dns --check`: one for each code, and what each shows is found.

A block `zone` of a page has records that replace those of a domain where all is right; `; no NAME
TYPE` takes one away. A block `policy` is the policy of MTA-STS. The block below "How to fix it" is
applied after the one above.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import mailroster
from mailroster.base.dns import WebFile
from mailroster.base.findings import INFO
from mailroster.cli import check_pages
from mailroster.cli.check_pages import DNS
from tests.support.name_server import NameServer
from tests.support.perfect_zone import changed, found, zone_of

SOURCE = Path(mailroster.__file__).parent / "analysis/dns"
KINDS = {"ERROR": "An error: ", "WARNING": "A warning: ", "INFO": "A note: "}
FIX = "## How to fix it"
#: What no records can show: faults of servers, of keys, and of the machine.
#: tests/unit/analysis/test_dns_findings.py shows these.
UNSHOWN = {
    "dns-lookup-failed",
    "dnssec-broken",
    "unsigned-domain",
    "no-domain",
    "silent-name-server",
    "tlsa-without-dnssec",
    "weak-dkim-key",
}


@cache
def made() -> dict[str, set[str]]:
    """Code -> severities, of every finding of the checks."""
    codes: dict[str, set[str]] = {}
    for path in SOURCE.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "Finding":
                severity, code = call.args[1:3]
                assert isinstance(severity, ast.Name)
                assert isinstance(code, ast.Constant)
                codes.setdefault(str(code.value), set()).add(severity.id)
    return codes


def zone_blocks(text: str) -> str:
    return "\n".join(re.findall(r"^```zone\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


def policy_block(text: str) -> WebFile | None:
    blocks = re.findall(r"^```policy\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return WebFile(blocks[0]) if blocks else None


def test_every_code_has_a_page_and_every_page_a_code() -> None:
    assert check_pages.codes(DNS) == sorted(made())
    assert set(check_pages.codes(DNS)).isdisjoint(check_pages.codes())


@pytest.mark.parametrize("code", check_pages.codes(DNS))
def test_a_page_is_whole(code: str) -> None:
    text = check_pages.page(code, DNS)
    (severity,) = made()[code]
    assert text.startswith(f"# {code}\n\n{KINDS[severity]}")
    assert re.findall("^## .*$", text, re.MULTILINE) == ["## Why it matters", FIX]
    has_example = bool(zone_blocks(text) or policy_block(text))
    assert has_example == (code not in UNSHOWN)


@pytest.mark.parametrize("code", [code for code in check_pages.codes(DNS) if code not in UNSHOWN])
def test_what_a_page_shows_is_reported_until_it_is_fixed(code: str) -> None:
    bad, _, fix = check_pages.page(code, DNS).partition(FIX)
    with NameServer(zone_of(), is_secure=True).running() as server:
        changed(server, zone_blocks(bad))
        assert code in [finding.code for finding in found(server, policy=policy_block(bad))]
        policy = policy_block(fix)
        assert zone_blocks(fix) or policy
        if code == "cname-at-domain":  # the CNAME has replaced all
            server.add(zone_of())
        changed(server, zone_blocks(fix))
        left = found(server, policy=policy)
        assert code not in [finding.code for finding in left]
        assert [finding for finding in left if finding.severity != INFO] == []
