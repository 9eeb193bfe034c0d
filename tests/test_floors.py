"""The arrows of docs/design.md: a module imports from floors below its own, or from modules that
stand before it on its floor."""

import ast
from pathlib import Path

import pytest

import mailroster

ROOT = Path(mailroster.__file__).parent
#: From the ground up; on a floor, the order of the line counts. `room/` is every module of a room,
#: which may import each other.
FLOORS = (
    "values finding shown address quota until setting_rules settings",
    "text hunks document lines splices base indexed notes formats/",
    "roster",
    "resolve graph paths charts changes limits leads checks/",
    "senders edits relays patterns rename annotations locks expiry rows/ bulk plan noting entry "
    "revert by_hand settle",
    "tables compile/ effects/ explain instance/",
    "child processes disk clock folder_trust config_folder beneath file_lock pid_file log_file "
    "mail_work mail_user settling lock append recovery history commit targets/ index store "
    "served password verification password_policy running services installed pcre sockets auth "
    "agreement picture mailstore former_owner quota_warning policy/ sessions reopen sievec sieve "
    "overrides source brought overlay companions adopt/ places owners prepare apply damage "
    "deadlines moving log threads watch follow health log_stream readiness ports host_files "
    "integration families supervise tasks signals essentials",
    "healing server watching cli/",
)
#: Names itself only (`__version__`), and starts the faces.
OUTSIDE = ("__init__", "__main__")


def modules() -> list[str]:
    """Every module, as its path below the package without `.py`."""
    return sorted(str(path.relative_to(ROOT))[:-3] for path in ROOT.rglob("*.py"))


def entry(module: str) -> str:
    """What stands for a module in FLOORS: its room, or its own name."""
    room, slash, _ = module.partition("/")
    return f"{room}/" if slash else module


def places() -> dict[str, tuple[int, int]]:
    """Entry -> floor, and place on the floor."""
    return {
        name: (floor, place)
        for floor, names in enumerate(FLOORS)
        for place, name in enumerate(names.split())
    }


def imports(source: str) -> set[str]:
    """Modules of the package that a source imports anywhere, functions included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {module for name in names if (module := module_of(name))}
    return found


def module_of(name: str) -> str:
    """The module of ours that a dotted name lies in, or ""."""
    words = name.split(".")
    if words[0] != "mailroster":
        return ""
    for end in range(len(words), 1, -1):
        path = "/".join(words[1:end])
        if (ROOT / f"{path}.py").is_file():
            return path
        if (ROOT / path / "__init__.py").is_file():
            return f"{path}/__init__"
    return "__init__"


def breaches(module: str, source: str) -> list[str]:
    """The imports of a module that lead upwards, or sideways to what comes later."""
    known, here = places(), entry(module)
    return sorted(
        f"{module} imports {other}"
        for other in imports(source)
        if other not in OUTSIDE
        and entry(other) != here
        and known.get(entry(other), (99, 0)) >= known[here]
    )


@pytest.mark.parametrize("module", [m for m in modules() if m not in OUTSIDE])
def test_a_module_imports_only_from_below(module: str) -> None:
    assert entry(module) in places(), f"{module} stands on no floor"
    assert breaches(module, (ROOT / f"{module}.py").read_text()) == []


def test_every_name_in_the_table_is_a_module_or_a_room() -> None:
    assert set(places()) == {entry(module) for module in modules()} - set(OUTSIDE)


@pytest.mark.parametrize(
    ("module", "source", "found"),
    [
        pytest.param("roster", "from mailroster.store import Store", 1, id="upwards"),
        pytest.param("edits", "from mailroster import plan", 1, id="sideways to what comes later"),
        pytest.param("plan", "import mailroster.edits", 0, id="sideways to what comes before"),
        pytest.param("edits", "def f():\n    import mailroster.cli.call", 1, id="in a function"),
        pytest.param("cli/email", "from mailroster.cli.call import Call", 0, id="in one room"),
        pytest.param("finding", "from mailroster.cli import main", 1, id="a package itself"),
        pytest.param("server", "import os\nfrom mailroster import __version__", 0, id="others"),
    ],
)
def test_the_test_sees(module: str, source: str, found: int) -> None:
    assert len(breaches(module, source)) == found


def test_start_up_imports_nothing_slow() -> None:
    """Every command pays for what the modules import at their top."""
    slow = {"argparse", "asyncio", "dataclasses", "pathlib", "subprocess", "shutil", "json"}
    late = {
        "server",
        "supervise",
        "watch",
        "follow",
        "log_stream",
        "families",
        "tasks",
        "threads",
        "signals",
        "healing",
        "watching",
        "host_files",
        "integration",
        "cli/integration",
        "cli/server",
    }  # of the one command that runs on
    late |= {module for module in modules() if module.startswith("policy/")}  # of a daemon
    for module in modules():
        if module in late:
            continue
        tree = ast.parse((ROOT / f"{module}.py").read_text())
        for node in tree.body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not slow & {name.partition(".")[0] for name in names}, module
