"""How the laws are tried: with no clock, on a shared machine, and the same examples each time;
LAWS=5000 tries them harder, and with new ones."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "laws",
    max_examples=int(os.environ.get("LAWS", "100")),
    derandomize="LAWS" not in os.environ,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
settings.load_profile("laws")
