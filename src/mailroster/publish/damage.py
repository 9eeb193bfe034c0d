"""Searches tables for damage in a process of its own: `python -m mailroster.publish.damage STATE
NAME…` prints the names of the damaged ones.

A process that writes tables would lose its locks by opening and closing them.
"""

import sys
from collections.abc import Sequence

from mailroster.base.layout import Layout
from mailroster.publish import destinations
from mailroster.system.programs import run_module


def damaged(layout: Layout, names: Sequence[str]) -> list[str]:
    """The tables among `names` that can't be used."""
    output, _ = run_module(__name__, layout.state, *names)
    return output.split()


if __name__ == "__main__":
    targets = destinations.targets_of(Layout(sys.argv[1]))
    print("\n".join(destinations.damaged(targets, sys.argv[2:])))
