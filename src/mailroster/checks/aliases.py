"""Rules about aliases."""

from collections.abc import Iterator

from mailroster.finding import Fault, Finding
from mailroster.resolve import Router


def unreasonable(router: Router) -> Iterator[Finding]:
    """Loops, endless chains and too many recipients: Postfix would answer with 451."""
    document = router.roster.virtual
    for key, _ in document.items():
        try:
            router.follow(key)
        except Fault as fault:
            yield fault.at(document.location(document.position(key)))
