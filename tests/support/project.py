"""Where the files of the project are."""

from pathlib import Path

#: The checkout that the tests belong to.
ROOT = Path(__file__).resolve().parents[2]
