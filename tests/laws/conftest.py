"""How the laws are tried: as often as hypothesis has it, and with no clock, on a shared machine."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "laws", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
settings.load_profile("laws")
