"""One instance for each module that asks for it; a test that breaks servers makes its own."""

from tests.support.server import server

__all__ = ["server"]
