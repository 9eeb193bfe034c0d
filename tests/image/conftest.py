"""One name server for each module that asks for it."""

from tests.support.dns import dns_fixture

__all__ = ["dns_fixture"]
