"""The server that the clients connect to: one for each module."""

from tests.support.server import server

__all__ = ["server"]
