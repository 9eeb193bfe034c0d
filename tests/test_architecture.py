"""The rooms of the package, their order, and the modules that each offers to the others.
docs/internals/architecture.md draws the same picture."""

import ast
import re
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import mailroster

ROOT = Path(mailroster.__file__).parent
#: From the ground up: a room imports only from rooms above it in this list, and of these only the
#: modules named here.
ROOMS = {
    "base": "address client_network content dns end_date findings layout services setting_rules "
    "settings sizes spelling",
    "system": "beneath boot clock closed_folders file_lock files folder_lock folder_trust https "
    "log log_file name_servers pid_file processes programs routes sd_notify sockets "
    "stability threads",
    "roster": "documents dovecot formats plan roster",
    "routing": "change incoming lookups router senders trace",
    "edits": "accounts aliases app_passwords bulk expiry locks notes patterns relays rename rows "
    "senders",
    "analysis": "charts checks dns effects entry_changes explain graph left_out mailbox "
    "mailbox_limit",
    "store": "config_folder history links overlay reader transaction",
    "servers": "certificate_facts certificate_faults certificates config deliveries dkim_keys "
    "doveadm_quota dovecot_auth essentials families folders former_owner health host_logins "
    "host_postfix in_force integrate last_use login_key mail_owner mailbox_moves mailboxes "
    "move_journal new_keys overrides ownership pattern_trace patterns ports prepare "
    "prerequisites quota_usage reopen running sessions sieve signer spam_filter srs "
    "survivors version",
    "publish": "block_table damage destinations live_tables published_files reconcile "
    "removal_guard tables targets",
    "app": "account adopt app_passwords apply blocks certificate check comparison completion "
    "configure deletion diff dkim dns expire explanation exporting former_owner history home "
    "host_servers importing last_use leftovers new_findings overlay passwords patterns preview "
    "quotas rename "
    "server_findings sieve_scripts status system_errors undo usage",
    "daemons": "filtering up watch",
    "cli": "__init__",
}
#: They import nothing but each other: no files, processes, clock or environment.
PURE = ("base", "roster", "routing", "edits", "analysis", "servers/config", "publish/tables")
#: What pure code may use of `os`: names of paths, and no file.
PURE_OS = {"path.basename", "path.commonpath", "path.dirname", "path.isabs", "path.join"}
PURE_OS |= {"path.normpath", "path.relpath", "path.split", "path.splitext", "fsencode", "strerror"}
#: Modules of Python that no pure code imports.
IMPURE = {
    *("asyncio", "ctypes", "fcntl", "glob", "grp", "multiprocessing", "pathlib", "pwd"),
    *("random", "secrets", "select", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess"),
    *("sys", "tempfile", "threading", "time"),
}
#: At the top of the package; the last is a shim for scripts that an older release has written.
TOP = {"__init__", "__main__", "quota_warning"}


def name_of(path: Path) -> str:
    """The path of a module below the package, without `.py`."""
    return str(path.relative_to(ROOT).with_suffix(""))


def imports(source: str) -> Iterator[str]:
    """Modules of the package that a source imports anywhere, functions included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("mailroster.") for alias in node.names), "use from"
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if (node.module or "").startswith("mailroster."):
                yield from filter(None, (module_of(node.module or "", a.name) for a in node.names))


def module_of(package: str, name: str) -> str:
    """The module that `from PACKAGE import NAME` reads, or ""."""
    folder = ROOT.joinpath(*package.split(".")[1:])
    for place in (folder / name, folder):
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                return name_of(file)
    return ""


IMPORTS = {
    name_of(path): set(imports(path.read_text()))
    for path in ROOT.rglob("*.py")
    if path.parent != ROOT
}


def breaches(module: str, other: str) -> list[str]:
    """What is wrong with an import, each as a sentence that names the rule."""
    here, order = module.split("/")[0], list(ROOMS)
    there, name = other.split("/")[:2]
    found = []
    if there != here:
        if order.index(there) > order.index(here):
            found.append(f"{there}/ stands above {here}/: move the code down, or pass a value in")
        if name not in ROOMS[there].split():
            found.append(f"{other} is private to {there}/: use a module of ROOMS[{there!r}]")
        if here == "cli" and there in ("system", "store", "servers", "publish"):
            found.append("a command asks app/, which asks the rest")
    if module.startswith(PURE) and not other.startswith(PURE):
        found.append(f"{module} is pure: hand in what it needs of {other}")
    return found


@pytest.mark.parametrize("module", IMPORTS)
def test_imports_lead_down_to_a_face(module: str) -> None:
    for other in IMPORTS[module] - TOP:
        assert breaches(module, other) == [], f"{module} imports {other}"


def packages_imported(nodes: Iterable[ast.AST]) -> set[str]:
    """The top-level packages that some import statements name."""
    names: list[str] = []
    for node in nodes:
        if isinstance(node, ast.Import):
            names += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("module", [module for module in IMPORTS if module.startswith(PURE)])
def test_pure_code_uses_no_file_process_or_clock(module: str) -> None:
    tree = ast.parse((ROOT / f"{module}.py").read_text())
    assert packages_imported(ast.walk(tree)).isdisjoint(IMPURE)
    uses = (ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    of_os = {use.removeprefix("os.") for use in uses if re.fullmatch(r"os\.[\w.]+", use)}
    assert of_os - PURE_OS <= {"path"}
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert calls.isdisjoint({"open", "print", "input"})


def test_there_are_no_circles() -> None:
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


TESTS = Path(__file__).parent


@pytest.mark.parametrize(
    "path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS))
)
def test_tests_share_code_by_the_support_package_only(path: Path) -> None:
    """A test module imports no other one. tests/fuzz is a program with modules of its own."""
    shared = re.findall(r"^from tests\.(\w+)", path.read_text(), re.MULTILINE)
    own = {"fuzz"} if path.is_relative_to(TESTS / "fuzz") else set()
    assert set(shared) <= {"support", *own}


def test_at_the_top_are_rooms_only() -> None:
    names = {
        entry.stem for entry in ROOT.iterdir() if entry.name not in ("__pycache__", "py.typed")
    }
    assert names - {"pages"} == {*ROOMS, *TOP}  # the pages of checks, where they are installed


def test_every_face_is_a_module() -> None:
    for room, names in ROOMS.items():
        for name in names.split():
            place = ROOT / room / name
            assert place.with_suffix(".py").is_file() or (place / "__init__.py").is_file(), place


@pytest.mark.parametrize(
    ("module", "source", "words"),
    [
        ("roster/plan", "from mailroster.store.config_folder import Store", "stands above"),
        ("cli/email", "def f():\n    from mailroster.app.adopt import locate", ""),
        ("cli/email", "from mailroster.store.config_folder import Store", "asks app/"),
        ("app/expire", "from mailroster.store.append import Append", "is private to store/"),
        ("roster/plan", "from mailroster.system import files", "is pure"),
        ("daemons/up", "import os\nfrom mailroster import __version__", ""),
    ],
)
def test_the_test_sees(module: str, source: str, words: str) -> None:
    found = [what for other in imports(source) for what in breaches(module, other)]
    assert any(words in what for what in found) if words else not found


#: Of commands and processes that run on.
LATE = (
    "daemons/", "servers/families", "servers/integrate/", "system/threads", "system/log",
)  # fmt: skip


@pytest.mark.parametrize("module", [module for module in IMPORTS if not module.startswith(LATE)])
def test_start_up_imports_nothing_slow(module: str) -> None:
    """Every command pays for what the modules import at their top."""
    slow = {"argparse", "asyncio", "dataclasses", "pathlib", "subprocess", "shutil", "json"}
    assert packages_imported(ast.parse((ROOT / f"{module}.py").read_text()).body).isdisjoint(slow)
