"""How the laws are tried: with no clock, on a shared machine, and the same examples each time;
LAWS=5000 tries them harder, and with new ones."""

import os

from hypothesis import HealthCheck, settings
from hypothesis.internal import constants_ast
from hypothesis.internal.conjecture import providers

settings.register_profile(
    "laws",
    max_examples=int(os.environ.get("LAWS", "100")),
    derandomize="LAWS" not in os.environ,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
settings.load_profile("laws")
if "LAWS" not in os.environ:
    # Else examples have constants of the modules that happen to be loaded: others in each process.
    providers._get_local_constants = constants_ast.Constants
