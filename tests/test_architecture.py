"""The rooms of the package, their order, and the modules that each offers to the others.
docs/design.md draws the same picture."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mailroster

ROOT = Path(mailroster.__file__).parent
#: From the ground up: a room imports only from rooms above it in this list, and of these only the
#: modules named here.
ROOMS = {
    "base": "address end_date findings layout named_tuple setting_rules settings sizes spelling",
    "system": "beneath child clock file_lock files folder_lock folder_trust log log_file pid_file "
    "processes programs sd_notify sockets stability threads",
    "roster": "documents formats plan roster",
    "routing": "change incoming router trace",
    "edits": "accounts bulk expiry locks notes patterns relays rename rows senders",
    "analysis": "charts checks effects entry_changes explain graph mailbox_limit",
    "store": "config_folder history links overlay transaction",
    "servers": "certificates config dovecot_auth essentials families former_owner health in_force "
    "integrate mailbox_moves mailboxes overrides ownership pattern_trace ports prepare quota_usage "
    "reopen running sessions sieve survivors version",
    "publish": "damage published_files reconcile removal_guard tables targets",
    "app": "adopt comparison expire passwords server_findings",
    "daemons": "up watch",
    "cli": "__init__",
}
#: They import nothing but each other: no files, processes, clock or environment.
PURE = ("base", "roster", "routing", "edits", "analysis", "servers/config", "publish/tables")
#: At the top of the package; the last is a shim for scripts that an older release has written.
TOP = {"__init__", "__main__", "quota_warning"}
#: Arrows that still run against the order, or past `app`. The list may only get shorter.
UNDONE = {
    "analysis/effects/entries publish/tables/postfix",
    "analysis/effects/entries publish/tables/table",
    "analysis/effects/routes publish/tables/postfix",
    "analysis/effects/routes publish/tables/table",
    "analysis/explain publish/tables/postfix",
    "analysis/explain servers/config/dovecot/mailbox",
    "analysis/mailbox_limit publish/tables/dovecot",
    "analysis/mailbox_limit servers/config/dovecot/fields",
    "cli/__init__ system/files",
    "cli/adopt servers/prepare",
    "cli/adopt system/programs",
    "cli/adopt_report servers/config/endpoints",
    "cli/alias system/programs",
    "cli/apply publish/reconcile",
    "cli/apply servers/overrides",
    "cli/apply servers/sieve",
    "cli/apply system/stability",
    "cli/call publish/published_files",
    "cli/call publish/reconcile",
    "cli/call publish/removal_guard",
    "cli/call servers/in_force",
    "cli/call servers/mailboxes",
    "cli/call store/config_folder",
    "cli/call store/history/log",
    "cli/call store/history/writer",
    "cli/call store/links",
    "cli/call store/overlay/overlay",
    "cli/call store/overlay/source",
    "cli/call store/transaction",
    "cli/call system/files",
    "cli/call system/folder_trust",
    "cli/call system/programs",
    "cli/call system/stability",
    "cli/check servers/sieve",
    "cli/check store/config_folder",
    "cli/check system/files",
    "cli/check system/programs",
    "cli/completion store/config_folder",
    "cli/debug servers/running",
    "cli/deletion servers/former_owner",
    "cli/deletion servers/mailbox_moves",
    "cli/deletion servers/sieve",
    "cli/deletion store/history/undo",
    "cli/diff store/config_folder",
    "cli/email servers/former_owner",
    "cli/email servers/mailboxes",
    "cli/email_rename servers/mailbox_moves",
    "cli/email_rename servers/mailboxes",
    "cli/email_rename system/programs",
    "cli/email_show servers/config/dovecot/mailbox",
    "cli/email_show servers/mailboxes",
    "cli/email_show servers/version",
    "cli/email_show system/programs",
    "cli/explain servers/pattern_trace",
    "cli/explain servers/running",
    "cli/explain servers/version",
    "cli/explain system/programs",
    "cli/history store/history/entry",
    "cli/host system/log",
    "cli/host_commands servers/integrate/apply",
    "cli/host_commands servers/integrate/plan",
    "cli/host_commands servers/prepare",
    "cli/import_export servers/former_owner",
    "cli/import_export store/config_folder",
    "cli/import_export system/files",
    "cli/import_export system/programs",
    "cli/new_findings system/programs",
    "cli/overlay servers/sieve",
    "cli/overlay store/overlay/overlay",
    "cli/overlay system/files",
    "cli/password_input store/links",
    "cli/preview system/programs",
    "cli/quota_list servers/running",
    "cli/quota_list servers/version",
    "cli/regexp servers/pattern_trace",
    "cli/regexp system/programs",
    "cli/server publish/reconcile",
    "cli/server servers/health",
    "cli/server servers/in_force",
    "cli/server servers/overrides",
    "cli/server servers/running",
    "cli/server system/log",
    "cli/server system/stability",
    "cli/sieve servers/sieve",
    "cli/sieve store/links",
    "cli/sieve system/files",
    "cli/undo servers/former_owner",
    "cli/undo servers/mailbox_moves",
    "cli/undo servers/mailboxes",
    "cli/undo store/history/entry",
    "cli/undo store/history/undo",
    "cli/undo system/programs",
    "cli/usage servers/quota_usage",
    "cli/usage servers/running",
    "cli/wrong_folder system/folder_lock",
    "edits/rows/folder analysis/checks/quotas",
    "edits/rows/folder analysis/checks/subject",
    "roster/plan routing/change",
    "servers/config/dovecot/conf_2_3 publish/tables/dovecot",
    "servers/config/dovecot/conf_2_4 publish/tables/dovecot",
    "servers/config/dovecot/mailbox publish/tables/dovecot",
    "servers/config/host publish/tables/relays",
    "servers/config/postfix publish/tables/relays",
    "servers/mailboxes publish/tables/dovecot",
    "servers/prepare app/adopt/mail_folder",
    "store/overlay/overlay servers/sieve",
    "system/files roster/documents/document",
    "system/files roster/documents/large",
    "system/programs roster/documents/document",
    "system/programs roster/formats/regexp",
    "system/programs routing/router",
    "system/programs servers/running",
}


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
        if f"{module} {other}" not in UNDONE:
            assert breaches(module, other) == [], f"{module} imports {other}"


def test_what_is_undone_is_so() -> None:
    arrows = {f"{module} {other}" for module, others in IMPORTS.items() for other in others}
    assert arrows >= UNDONE
    assert all(breaches(*arrow.split()) for arrow in UNDONE)


def test_at_the_top_are_rooms_only() -> None:
    names = {
        entry.stem for entry in ROOT.iterdir() if entry.name not in ("__pycache__", "py.typed")
    }
    assert names == {*ROOMS, *TOP} - {name for name in ("pages",) if name not in names}


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
        ("app/expire", "from mailroster.store.journal import x", ""),
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
    "cli/host_commands", "cli/server",
)  # fmt: skip


@pytest.mark.parametrize("module", [module for module in IMPORTS if not module.startswith(LATE)])
def test_start_up_imports_nothing_slow(module: str) -> None:
    """Every command pays for what the modules import at their top."""
    slow = {"argparse", "asyncio", "dataclasses", "pathlib", "subprocess", "shutil", "json"}
    for node in ast.parse((ROOT / f"{module}.py").read_text()).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not slow & {name.partition(".")[0] for name in names}, module
