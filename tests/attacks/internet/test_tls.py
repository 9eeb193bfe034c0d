"""TLS 1.2 at least and no weak cipher on every port, and nothing that strangers need not know."""

import ssl
import subprocess

import pytest

from tests.support.attacks.wire import Wire
from tests.support.instance import PORTS, Instance

#: How openssl s_client begins TLS on each port.
STARTTLS = {"smtp": "smtp", "submission": "smtp", "imap": "imap", "pop3": "pop3", "sieve": "sieve"}
OLD = ("-tls1", "-tls1_1")
WEAK = (
    "aNULL",
    "eNULL",
    "RC4",
    "MD5",
    "3DES",
    "DES",
    "EXPORT",
    "LOW",
    "PSK",
    "SRP",
    "ADH",
    "AECDH",
)


def _handshake(server: Instance, port: str, *options: str) -> str:
    """What openssl s_client shows of one handshake."""
    begin = ["-starttls", STARTTLS[port]] if port in STARTTLS else []
    address = f"127.0.0.1:{server.ports[port]}"
    argv = ["openssl", "s_client", "-connect", address, *begin, *options]
    done = subprocess.run(argv, input="", capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def _cipher(shown: str) -> str:
    """The cipher that both agreed on, "" if there is no session."""
    lines = [line for line in shown.splitlines() if ", Cipher is " in line]
    cipher = lines[-1].rpartition(" ")[2] if lines else "(NONE)"
    return "" if cipher == "(NONE)" else cipher


@pytest.mark.parametrize("port", PORTS)
def test_an_old_protocol_is_refused(server: Instance, port: str) -> None:
    for option in OLD:
        assert _cipher(_handshake(server, port, option, "-cipher", "ALL:@SECLEVEL=0")) == "", option


@pytest.mark.parametrize("port", PORTS)
def test_a_weak_cipher_is_refused(server: Instance, port: str) -> None:
    tried = 0
    for name in WEAK:
        shown = _handshake(server, port, "-tls1_2", "-cipher", f"{name}:@SECLEVEL=0")
        tried += "no cipher match" not in shown
        assert _cipher(shown) == "", name
    assert tried >= 2, "openssl itself knows none of them"


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("option", ["-tls1_2", "-tls1_3"])
def test_a_client_of_today_is_served(server: Instance, port: str, option: str) -> None:
    assert _cipher(_handshake(server, port, option)) != ""


def test_every_weak_name_that_openssl_has_was_tried() -> None:
    """openssl of Debian still has anonymous ciphers, so that the refusal is the server's."""
    done = subprocess.run(
        ["openssl", "ciphers", "-v", "aNULL:@SECLEVEL=0"], capture_output=True, text=True
    )
    assert "ADH-" in done.stdout


@pytest.mark.parametrize("port", ["submission", "submissions"])
def test_no_password_is_taken_in_clear(server: Instance, port: str) -> None:
    with Wire(server.ports[port]) as wire:
        if port == "submissions":
            try:
                wire.wrap()
            except ssl.SSLError:
                pytest.fail("the port speaks TLS from the first octet on")
        wire.reply()
        offered = wire.say("EHLO client.test")
        if port == "submission":
            assert "AUTH" not in offered
            assert wire.say("AUTH PLAIN AHVAeC5jb20Ac2VjcmV0")[0] == "5"
        else:
            assert "AUTH PLAIN LOGIN" in offered


def test_strangers_are_offered_no_delivery_notices(server: Instance) -> None:
    with Wire(server.ports["smtp"]) as wire:
        wire.reply()
        assert "DSN" not in wire.say("EHLO client.test")
        assert wire.say("MAIL FROM:<a@elsewhere.test> RET=HDRS ENVID=x")[0] == "5"
        assert wire.say("MAIL FROM:<a@elsewhere.test>")[0] == "2"
        answer = wire.say("RCPT TO:<postmaster@mail.example.test> NOTIFY=SUCCESS")
        assert answer[0] == "5", answer
    with Wire(server.ports["submissions"]) as wire:
        wire.wrap()
        wire.reply()
        assert "DSN" in wire.say("EHLO client.test")


def test_port_25_has_no_login(server: Instance) -> None:
    with Wire(server.ports["smtp"]) as wire:
        wire.reply()
        wire.say("EHLO client.test")
        wire.start_tls()
        assert "AUTH" not in wire.say("EHLO client.test")
        assert wire.say("AUTH PLAIN AHVAeC5jb20Ac2VjcmV0")[0] == "5"
