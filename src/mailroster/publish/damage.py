"""Looks through the tables of an instance, as a program: `python -m mailroster.publish.damage STATE
NAME…`.

It prints the names of those that can't be used. What it opens and closes would drop the locks of a
process that writes tables.
"""

import sys
from collections.abc import Sequence

from mailroster.base.layout import Layout
from mailroster.publish.reconcile import Tables
from mailroster.system.child import in_program


def damaged(layout: Layout, names: Sequence[str]) -> list[str]:
    """Those of some tables that can't be used, looked at by a process of its own."""
    said, _ = in_program(__name__, layout.state, *names)
    return said.split()


if __name__ == "__main__":
    print("\n".join(Tables(Layout(sys.argv[1])).damaged(sys.argv[2:])))
