"""One instance, and one name server, for each module that asks for it; a test that breaks servers
makes its own."""

from tests.support.dns import dns_fixture
from tests.support.server import server

__all__ = ["dns_fixture", "server"]
