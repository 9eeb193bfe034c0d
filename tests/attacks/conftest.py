"""The attacked instance: one for each module that asks for it."""

from tests.integration.conftest import server

__all__ = ["server"]
