"""What is read of PEM files and of Traefik's acme.json."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroster.servers.pem import Pair, blocks, in_acme_json

CERT = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
KEY = b"-----BEGIN EC PRIVATE KEY-----\nBBBB\n-----END EC PRIVATE KEY-----\n"
OTHER = b"-----BEGIN DH PARAMETERS-----\nCCCC\n-----END DH PARAMETERS-----\n"


def test_blocks_are_sorted_by_kind_and_text_around_them_is_ignored() -> None:
    found = blocks(
        b"Bag Attributes\n" + KEY + OTHER + b"subject=x\r\n" + CERT.replace(b"\n", b"\r\n")
    )
    assert found == ((CERT,), (KEY,), False)
    assert Pair(KEY, (CERT, CERT)).raw() == KEY + CERT + CERT


@pytest.mark.parametrize("cut", [CERT[:-5], CERT + CERT[:30], KEY + CERT[:-27], CERT + KEY[:40]])
def test_a_file_that_ends_in_a_block_is_cut(cut: bytes) -> None:
    assert blocks(cut).is_cut
    assert not blocks(CERT + KEY).is_cut


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([CERT, KEY, OTHER, b"x", CERT[:30]])).map(b"".join)
)
def test_any_bytes_are_read_and_what_is_read_is_stable(raw: bytes) -> None:
    found = blocks(raw)
    again = blocks(b"".join((*found.keys, *found.certificates)))
    assert again == (found.certificates, found.keys, False)


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def entry(main: str, *sans: str, cert: bytes = CERT, upper: bool = False) -> dict[str, Any]:
    if upper:
        domain: dict[str, Any] = {"Main": main, "SANs": list(sans) or None}
        return {"Domain": domain, "Certificate": b64(cert), "Key": b64(KEY)}
    domain = {"main": main} | ({"sans": list(sans)} if sans else {})
    return {"domain": domain, "certificate": b64(cert), "key": b64(KEY), "Store": "default"}


def content(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"le": {"Account": {}, "Certificates": list(entries)}}).encode()


@pytest.mark.parametrize(
    ("raw", "names"),
    [
        pytest.param(content(entry("x.test"), entry("mail.x.test")), "mail.x.test", id="main"),
        pytest.param(content(entry("x.test", "mail.x.test")), "mail.x.test", id="another name"),
        pytest.param(content(entry("*.x.test")), "*.x.test", id="the wildcard as the setting"),
        pytest.param(content(entry("*.x.test")), "mail.x.test", id="a wildcard that fits"),
        pytest.param(content(entry("Mail.X.test")), "mail.x.test", id="case"),
        pytest.param(
            b'{"a": {"Certificates": null},' + content(entry("m.test"))[1:],
            "m.test", id="several resolvers",
        ),
        pytest.param(
            json.dumps({"Certificates": [entry("m.test", upper=True)]}).encode(), "m.test",
            id="Traefik 1",
        ),
    ],
)  # fmt: skip
def test_a_certificate_of_traefik(raw: bytes, names: str) -> None:
    assert in_acme_json(raw, names.split()) == (CERT, KEY)


def test_the_first_name_counts_and_an_exact_name_before_a_wildcard() -> None:
    other = CERT.replace(b"AAAA", b"DDDD")
    raw = content(entry("*.x.test", cert=other), entry("mail.x.test"), entry("y.test", cert=other))
    assert in_acme_json(raw, ["mail.x.test"]) == (CERT, KEY)
    assert in_acme_json(raw, ["y.test", "mail.x.test"]) == (other, KEY)
    assert in_acme_json(raw, ["*.x.test", "mail.x.test"]) == (other, KEY)
    assert in_acme_json(raw, ["imap.x.test", "y.test"]) == (other, KEY)
    assert in_acme_json(raw, ["z.test"]) is None


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"\xff", b"1", b"[" * 100_000])
def test_what_is_no_acme_json_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        in_acme_json(raw, ["x"])


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda value: (
            st.lists(value)
            | st.dictionaries(
                st.sampled_from(
                    ["Certificates", "domain", "main", "sans", "certificate", "key", "x"]
                ),
                value,
            )
        ),
    )
)
def test_any_json_is_read(value: Any) -> None:
    try:
        found = in_acme_json(json.dumps(value).encode(), ["x"])
    except ValueError:
        return
    assert found is None or all(isinstance(part, bytes) for part in found)


@pytest.mark.parametrize(
    "entry",
    [
        {"domain": "x.test", "certificate": "QQ==", "key": "QQ=="},
        {"domain": ["x.test"], "certificate": "QQ==", "key": "QQ=="},
        {"certificate": "QQ==", "key": "QQ=="},
        {"domain": {"main": "x.test"}, "certificate": "QQ==", "key": 1},
        {"domain": {"main": "x.test"}, "certificate": None, "key": "QQ=="},
        {"domain": {"main": 1, "sans": "x.test"}, "certificate": "QQ==", "key": "QQ=="},
        "x.test",
    ],
)
def test_an_entry_of_another_form_is_passed_over(entry: Any) -> None:
    """The next one, which is whole, counts."""
    whole = {
        "domain": {"main": "x.test"},
        "certificate": base64.b64encode(CERT).decode(),
        "key": base64.b64encode(KEY).decode(),
    }
    raw = json.dumps({"le": {"Certificates": [entry, whole]}}).encode()
    assert in_acme_json(raw, ["x.test"]) == (CERT, KEY)
    alone = json.dumps({"le": {"Certificates": [entry]}}).encode()
    assert in_acme_json(alone, ["x.test"]) is None
