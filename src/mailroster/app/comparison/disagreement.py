"""A difference between the config folder and a running server."""

from typing import NamedTuple

#: At most this many of the hops, recipients, senders and mailboxes are compared; a route may have a
#: thousand.
COMPARED_MAX = 100


class Disagreement(NamedTuple):
    """A query to a server, the answer by the config folder, and the answer of the server."""

    query: str
    expected: str
    actual: str
