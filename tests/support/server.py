"""The fixture `server`: a running instance for each module that asks for it."""

from collections.abc import Iterator

import pytest

from tests.support.instance import Instance


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Instance]:
    """A running instance. A module's SETTINGS are its settings."""
    instance = Instance(**getattr(request.module, "SETTINGS", {}))
    try:
        instance.start()
        yield instance
    finally:
        instance.close()
