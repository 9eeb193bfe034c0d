"""No client may send to elsewhere because of its address: not from this machine, not from any
network, and not as a local user."""

import pytest

from tests.support.attacks.parties import PYTHON, run_as
from tests.support.attacks.wire import Wire
from tests.support.instance import PASSWORD, Instance

SETTINGS = {"listen": "0.0.0.0"}
PORTS = ("smtp", "submission", "submissions")
#: 127.0.0.2 was in mynetworks once.
SOURCES = ("127.0.0.1", "127.0.0.2", "127.0.0.9", "127.255.255.254", "own address")
ELSEWHERE = (
    "victim@elsewhere.test", "victim%elsewhere.test@x.com", "elsewhere.test!victim@x.com",
    "@x.com:victim@elsewhere.test", '"victim@elsewhere.test"@x.com', "victim@[127.0.0.1]",
    "victim@elsewhere.test@x.com", "victim@[127.0.0.2]",
)  # fmt: skip
SENDERS = ("", "a@elsewhere.test", "u@x.com", "u@mail.example.test", "root")

_LOCAL_USER = """
import socket, sys
port, source = int(sys.argv[1]), sys.argv[2]
wire = socket.create_connection(("127.0.0.1", port), 30, (source, 0)).makefile("rwb")
def say(line):
    if line:
        wire.write(line + b"\\r\\n"); wire.flush()
    while (reply := wire.readline())[3:4] == b"-":
        pass
    return reply.decode()
say(b""); say(b"EHLO web.app"); say(b"MAIL FROM:<a@elsewhere.test>")
print(say(b"RCPT TO:<victim@gmail.test>"))
"""


@pytest.fixture(scope="module")
def attacked(server: Instance) -> Instance:
    server.setup("email", "add", "u@x.com", PASSWORD)
    return server


def _own_address() -> str:
    """An address of this machine that is not on loopback, if there is one."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("port", PORTS)
def test_no_address_may_relay(attacked: Instance, port: str, source: str) -> None:
    source = _own_address() if source == "own address" else source
    server = source if not source.startswith("127.") else "127.0.0.1"
    for sender in SENDERS:
        for recipient in ELSEWHERE:
            with Wire(attacked.ports[port], source=source, server=server) as wire:
                if port == "submissions":
                    wire.wrap()
                assert wire.reply().startswith("220")
                wire.say("EHLO client.test")
                if port == "submission":
                    wire.start_tls()
                    wire.say("EHLO client.test")
                wire.say(f"MAIL FROM:<{sender}>")
                answer = wire.say(f"RCPT TO:<{recipient}>")
                assert answer[0] in "45", (source, sender, recipient, answer)


@pytest.mark.parametrize("user", ["nobody", "postfix", "dovecot", 5000])
@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.2"])
def test_no_local_process_may_relay(attacked: Instance, user: str | int, source: str) -> None:
    port = str(attacked.ports["smtp"])
    done = run_as(user, PYTHON, "-c", _LOCAL_USER, port, source)
    assert done.stdout.startswith("554 5.7.1"), done


def test_no_client_is_trusted_with_more(attacked: Instance) -> None:
    """XCLIENT and XFORWARD would let a client name another address, ETRN would flush the queue."""
    with Wire(attacked.ports["smtp"], source="127.0.0.2") as wire:
        wire.reply()
        offered = wire.say("EHLO client.test")
        assert "XCLIENT" not in offered and "XFORWARD" not in offered
        for command in ("XCLIENT ADDR=127.0.0.1", "XFORWARD ADDR=127.0.0.1", "VRFY u@x.com"):
            assert wire.say(command)[0] == "5"
        assert wire.say("ETRN x.com")[0] in "45"


def test_mail_for_a_mailbox_is_accepted(attacked: Instance) -> None:
    """The refusals above are not those of a server that refuses everything."""
    attacked.send("u@x.com", subject="for us")
    attacked.arrives("u@x.com", "for us")
