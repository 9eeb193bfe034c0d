"""Mail that Sieve scripts send, and where it arrives."""

from tests.support.sink import Sink, Taken

OUTSIDE = "friend@elsewhere.example"


def sent(sink: Sink, recipient: str, subject: str) -> list[Taken]:
    """Messages to a recipient outside whose text has a word."""
    return [
        taken
        for taken in list(sink.taken)
        if recipient in taken.recipients and subject.encode() in taken.content
    ]
