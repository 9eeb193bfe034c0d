"""Hashes a new password by the settings."""

from mailroster.app.passwords import hashing
from mailroster.app.passwords.policy import policy_of
from mailroster.base.findings import UsageError
from mailroster.base.settings import Settings
from mailroster.roster.formats.hash_cost import SCHEMES, Cost, default_cost, parse_cost


def scheme_and_cost(settings: Settings, scheme: str | None = None) -> tuple[str, Cost]:
    """The scheme and the cost of new hashes. `password_cost` is for `password_scheme`; another
    scheme has its default cost. Raises UsageError for an unknown scheme."""
    default = settings.password_scheme.upper()
    scheme = default if scheme is None else scheme.upper()
    if scheme not in SCHEMES:
        raise UsageError(f"unknown scheme {scheme!r}; use one of {', '.join(SCHEMES)}")
    if scheme != default:
        return scheme, default_cost(scheme)
    return scheme, parse_cost(scheme, settings.password_cost)


def new_hash(settings: Settings, password: str, scheme: str | None = None) -> str:
    """The `{SCHEME}hash` of a new password. Raises Refused if no protocol can transmit it, or the
    policy does not accept it; UsageError for an unknown scheme."""
    form = scheme_and_cost(settings, scheme)
    hashing.check(password)
    policy_of(settings).check(password)
    return hashing.hash_password(password, *form)


def generate(settings: Settings) -> str:
    """A random password that is long enough for the policy."""
    return hashing.generate(settings.password_min_length)
