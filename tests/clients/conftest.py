"""The server that the clients talk to: one for each module."""

from tests.integration.conftest import server

__all__ = ["server"]
