"""script/mutants.py, on a small module: what it reports, and what it leaves as it was."""

import os
import select
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.instance import until
from tests.support.project import ROOT

SCRIPT = ROOT / "script"
MODULE = """\
def larger(one, other):
    if one > other:
        return one
    return other


def negative(number):
    return -number
"""
TESTED = """\
from mailroster.sums import larger


def test_larger():
    assert (larger(1, 2), larger(2, 1)) == (2, 2)
"""
ALL_TESTED = f"""\
{TESTED}

def test_negative():
    from mailroster.sums import negative

    assert negative(1) == -1
"""
ENTRY = """\
# What follows has no effect.

sums
  def larger(one, other):
- if one > other:
+ if (one >= other):
Equal numbers: either of them is right.
"""
SURVIVOR = """\
sums:8
  def negative(number):
- return -number
+ return None
"""
HEAD = "| module | tried | killed | equivalent | survived | score |\n|---|---|---|---|---|---|\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkout with one module, its test, and the equivalent mutant."""
    for name, text in (
        ("src/mailroster/__init__.py", ""),
        ("src/mailroster/sums.py", MODULE),
        ("tests/unit/test_sums.py", TESTED),
        ("script/mutants.txt", ENTRY),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "script/lib").mkdir()
    for name in ("mutants.py", "lib/mutations.py"):
        shutil.copy(SCRIPT / name, tmp_path / "script" / name)
    return tmp_path


def start(tree: Path, *options: str, all_hold: int = 1) -> "subprocess.Popen[str]":
    """The command. It and all its children hold a file descriptor."""
    return subprocess.Popen(
        [sys.executable, "script/mutants.py", "sums", *options, "--tests", "tests/unit"],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree / "src")},
        stdout=subprocess.PIPE,
        pass_fds=[all_hold],
        text=True,
    )


def report(tree: Path, *options: str) -> tuple[int, str]:
    with start(tree, *options) as process:
        assert process.stdout
        text = process.stdout.read().removeprefix(HEAD)
    return process.returncode, text


def files(tree: Path) -> dict[str, str]:
    return {
        str(path): path.read_text() for path in tree.rglob("*") if path.suffix in (".py", ".txt")
    }


def test_a_mutant_of_an_untested_line_survives(tree: Path) -> None:
    assert report(tree) == (
        1,
        f"| sums | 6 | 4 | 1 | 1 | 80 % |\n\n{SURVIVOR}\n| all | 6 | 4 | 1 | 1 | 80 % |\n",
    )


def test_where_each_line_is_tested_all_mutants_are_killed(tree: Path) -> None:
    (tree / "tests/unit/test_sums.py").write_text(ALL_TESTED)
    before = files(tree)
    assert report(tree) == (
        0,
        "| sums | 6 | 5 | 1 | 0 | 100 % |\n| all | 6 | 5 | 1 | 0 | 100 % |\n",
    )
    assert files(tree) == before
    is_whole = "from mailroster.sums import *; assert (larger(2, 1), negative(1)) == (2, -1)"
    subprocess.run([sys.executable, "-c", is_whole], cwd=tree / "src", check=True)


def test_the_same_seed_gives_the_same_mutants_and_another_seed_others(tree: Path) -> None:
    (tree / "tests/unit/test_sums.py").write_text("def test_nothing():\n    import mailroster.sums")
    seeds = [report(tree, "--each", "2", "--seed", seed)[1] for seed in ("1", "1", "2")]
    assert seeds[0] == seeds[1]
    assert seeds[2] != seeds[0]


def test_an_entry_that_fits_no_mutant_is_reported(tree: Path) -> None:
    (tree / "script/mutants.txt").write_text(ENTRY.replace("one > other", "one > another"))
    (tree / "tests/unit/test_sums.py").write_text(ALL_TESTED)
    status, text = report(tree)
    assert status == 1
    assert (
        "sums: no mutant fits this entry of script/mutants.txt\n  def larger(one, other):" in text
    )


def test_a_test_that_fails_without_a_mutant_kills_none(
    tree: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tree / "tests/unit/test_sums.py").write_text(f"{TESTED}    assert False")
    assert report(tree)[1].endswith("| all | 6 | 0 | 1 | 5 | 0 % |\n")
    name = "tests/unit/test_sums.py::test_larger"
    assert capfd.readouterr().err == f"left out, it fails without a mutant: {name}\n"


def test_tests_that_fail_when_they_are_run_again_are_reported(tree: Path) -> None:
    (tree / "tests/unit/test_sums.py").write_text(f"{TESTED}    open('/mnt/once', 'x').close()\n")
    status, text = report(tree)
    assert status == 1
    assert text.startswith(
        "| sums | 0 | 0 | 0 | 0 | 0 % |\n\nsums: its tests fail without a mutant\n"
    )


def test_a_module_that_is_not_there_is_refused_at_once(
    tree: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tree / "src/mailroster/sums.py").unlink()
    assert report(tree) == (2, "")
    words = "error: there is no file src/mailroster/sums.py in this folder\n"
    assert capfd.readouterr().err.endswith(words)


def test_a_run_that_is_killed_leaves_nothing_behind(tree: Path) -> None:
    hangs = "while negative(1) is None:\n        open('hangs', 'w').close()"
    (tree / "tests/unit/test_sums.py").write_text(
        ALL_TESTED.replace("assert negative(1) == -1", hangs)
    )
    before = files(tree)
    reader, writer = os.pipe()
    process = start(tree, all_hold=writer)
    os.close(writer)
    until((tree / "hangs").exists, wait_s=60)
    process.kill()
    process.wait()
    with open(reader) as pipe:
        assert select.select([pipe], [], [], 20)[0], "processes remain"
        assert pipe.read() == ""
    assert files(tree) == before
