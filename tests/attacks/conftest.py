"""The attacked instance: one for each module that asks for it."""

from tests.support.server import server

__all__ = ["server"]
