"""`python3 -m mailroster`."""

from mailroster.cli import run

run()
