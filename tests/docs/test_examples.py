"""The docs say what is true: every page complete and fresh, every link alive, every example run.

An example is a block of ```console: `$ ` begins a command, `> ` continues it, and below stands all
that it prints, with `…` for any text; one that prints nothing has to exit with 0. The blocks of a
page are run in their order, in one folder with an empty home, `docker-data/dms/config`. Where a
block says `$ mailroster up`, a real server is started there, on free ports that stand in for the
default ones. The page about a host has one to itself, where `$ mailroster watch` stays to run.
"""

import ast
import fnmatch
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from mailroster.analysis.effects.effect import MIRROR
from mailroster.base.settings import FOLDERS, OVERLAY, SETTINGS, Setting
from mailroster.cli import help
from mailroster.cli.commands import COMMANDS
from mailroster.cli.grammar import Command
from mailroster.roster.roster import Roster
from tests.support.host import Host
from tests.support.instance import Instance
from tests.support.project import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
PAGE_IDS = [str(page.relative_to(ROOT)) for page in PAGES]
UP = "mailroster up"
WATCH = "mailroster watch"
#: Its commands are those of root on a host that has servers of its own.
HOST = ROOT / "docs/guide/host.md"


class Example(NamedTuple):
    line: int
    command: str
    output: str


def examples(page: Path) -> list[Example]:
    """Every command of a page with the output that it promises."""
    found: list[Example] = []
    inside = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```"):
            inside = line == "```console"
        elif inside and line.startswith("$ "):
            found.append(Example(number, line[2:], ""))
        elif inside and line.startswith("> ") and not found[-1].output:
            found[-1] = found[-1]._replace(command=f"{found[-1].command}\n{line[2:]}")
        elif inside:
            found[-1] = found[-1]._replace(output=f"{found[-1].output}{line}\n")
    return found


WITH_EXAMPLES = [page for page in PAGES if examples(page) and page != HOST]


def agrees(output: str, promised: str) -> bool:
    """Whether an output is what a page promises; trailing blanks don't count."""
    said, pattern = ([line.rstrip() for line in text.splitlines()] for text in (output, promised))
    return len(said) == len(pattern) and all(
        fnmatch.fnmatchcase(a, re.sub(r"([][*?])", r"[\1]", b).replace("…", "*"))
        for a, b in zip(said, pattern, strict=True)
    )


class Shell:
    """Runs the examples of one page."""

    def __init__(self, folder: Path) -> None:
        programs = folder / "programs"
        programs.mkdir()
        for name in ("setup", "mailroster"):
            program = f"#!{sys.executable}\nfrom mailroster.cli import run\nrun()\n"
            (programs / name).write_text(program)
            (programs / name).chmod(0o755)
        self.folder = folder / "work"
        (self.folder / "docker-data/dms/config").mkdir(parents=True)
        self.instance: Instance | None = None
        self.serves = False
        self.status = 0
        known = {setting.variable for setting in (*FOLDERS, OVERLAY, *SETTINGS)}
        self._environment = {k: v for k, v in os.environ.items() if k not in known}
        self._environment["PATH"] = f"{programs}:{os.environ['PATH']}"

    def with_server(self) -> None:
        """Makes `docker-data/dms` the home of an instance that has yet to be started."""
        self.instance, self.serves = Instance(), True
        (self.folder / "docker-data/dms/config").rmdir()
        (self.folder / "docker-data/dms").rmdir()
        (self.folder / "docker-data/dms").symlink_to(self.instance.home)

    def run(self, command: str) -> str:
        """All that a command prints; `$?` in it is the exit status of the one before."""
        done = subprocess.run(
            ["bash", "-c", f"(exit {self.status})\n{self._with_ports(command)}"],
            cwd=self.folder, env=self._environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
        )  # fmt: skip
        self.status = done.returncode
        return done.stdout.decode("utf-8", "replace")

    def keeps(self, example: Example) -> None:
        """Asserts that an example prints what it promises."""
        if example.command == UP:
            assert self.instance is not None
            self.instance.start()
            lines = self.instance.log.read_text().splitlines(keepends=True)
            output = "".join(line for line in lines if "ready" in line)
        else:
            output = self.run(example.command)
        promised = self._with_ports(example.output)
        deadline = time.monotonic() + 60
        # Mail is on its way and hand edits settle: who only looks may look again.
        while self._looks(example.command) and not agrees(output, promised):
            assert time.monotonic() < deadline, f"line {example.line}: {output}"
            time.sleep(0.1)
            output = self.run(example.command)
        assert agrees(output, promised), f"line {example.line}: {output}"
        assert promised or self.status == 0, f"line {example.line}: exit status {self.status}"

    def _looks(self, command: str) -> bool:
        words = command.split()
        looks = words[0] in ("curl", "doveadm") or words[-1] == "list" or "status" in words
        return self.serves and looks and "-T" not in words

    def _with_ports(self, text: str) -> str:
        for name, port in self.instance.ports.items() if self.instance else ():
            default = next(s.default for s in SETTINGS if s.name == f"{name}_port")
            text = text.replace(str(default), str(port))
        return text


class HostShell(Shell):
    """Runs those of the page about a host, there."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.host, self.serves = Host(), True
        self.host.start()

    def run(self, command: str) -> str:
        if command == WATCH:
            self.host.watch()
            return self.host.log.read_text()
        self.host.write("/run/command", command)
        path = self._environment["PATH"]
        done = self.host.inside(
            "sh", "-c", "PATH=$0 PYTHONUNBUFFERED=1 bash /run/command 2>&1", path
        )
        self.status = done.returncode
        return done.stdout


@pytest.fixture
def host_shell(tmp_path: Path) -> Iterator[HostShell]:
    shell = HostShell(tmp_path)
    try:
        yield shell
    finally:
        shell.host.stop()
        shell.host.close()


@pytest.fixture
def shell() -> Iterator[Shell]:
    """In a folder with a short name, for sockets, that is closed to others."""
    with tempfile.TemporaryDirectory(prefix="doc-", dir="/tmp") as folder:
        shell = Shell(Path(folder))
        try:
            yield shell
        finally:
            if shell.instance is not None:
                shell.instance.close()


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_example_of_the_page_prints_what_it_promises(page: Path, shell: Shell) -> None:
    found = examples(page)
    if any(example.command == UP for example in found):
        shell.with_server()
    if any(" adopt " in example.command and "|" not in example.command for example in found):
        shell.folder.parent.chmod(0o755)  # where servers could be
    for example in found:
        shell.keeps(example)


def test_every_example_on_a_host_prints_what_it_promises(host_shell: HostShell) -> None:
    found = examples(HOST)
    assert found
    for example in found:
        host_shell.keeps(example)


def test_every_command_block_is_run() -> None:
    """No example hides under another name for a shell."""
    for page in PAGES:
        for name, block in re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.M | re.S):
            assert name != "shell" and not (name != "console" and block.startswith("$ ")), page


def test_an_output_that_differs_is_noticed() -> None:
    assert agrees("pid 12\n", "pid …\n")
    assert agrees("[a]*\n", "[a]*\n")
    assert not agrees("a\nb\n", "a\n")
    assert not agrees("[a]\n", "a\n")


def test_the_generated_pages_are_fresh() -> None:
    check = [sys.executable, str(ROOT / "script/generate-docs"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name())
def test_the_help_on_every_command_is_whole_and_fits_a_terminal(command: Command) -> None:
    text = help.text(command)
    assert all(option.name in text and option.help in text for option in command.options)
    assert " ".join(text.split()).startswith(f"usage: {command.usage()} ")
    assert max(map(len, text.splitlines())) < 80


def headings(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.findall(r"^#+ (.*)$", text, re.M)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name())
def test_every_command_has_a_section_and_an_example(command: Command) -> None:
    page, name = ROOT / "docs/reference/commands.md", command.name()
    assert name in headings(page)
    assert any(
        re.search(rf"\b(setup|mailroster)( --config \w+)? {name}\b", example.command)
        for example in examples(page) + examples(HOST)
    )


@pytest.mark.parametrize(
    "setting", [*FOLDERS, OVERLAY, *SETTINGS], ids=lambda setting: setting.name
)
def test_every_setting_is_listed_with_its_variable(setting: Setting) -> None:
    text = (ROOT / "docs/reference/settings.md").read_text()
    assert f"| `{setting.name}` | " in text
    assert setting.variable in text


def test_every_file_has_a_page_and_an_example() -> None:
    pages = [page for page in PAGES if page.parent.name == "formats"]
    for _, document in Roster().documents():
        file = document.format.file
        named = [page for page in pages if file in headings(page)[0]]
        assert len(named) == 1, file
        assert examples(named[0]), file


def codes() -> set[str]:
    """The code of every finding that the program can make."""
    found = set()
    for path in (ROOT / "src").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
                place = {"ParseError": 0, "Finding": 2}.get(call.func.id, len(call.args))
                argument = call.args[place] if place < len(call.args) else None
                if isinstance(argument, ast.Constant):
                    found.add(str(argument.value))
    return found


#: Pages with codes of findings, beside those on files and on codes.
NOTED = ("bulk.md", "notes.md")


def test_every_code_of_a_finding_is_explained() -> None:
    rooms = {"formats", "checks", "dns"}
    folders = {page: set(page.relative_to(ROOT).parts) for page in PAGES}
    pages = [page for page in PAGES if rooms & folders[page] or page.name in NOTED]
    text = "".join(page.read_text() for page in pages)
    text += "".join(f"`{page.stem}`" for page in pages)
    assert codes() > {"malformed-address", "duplicate-entry", "bad-pattern"}
    assert [code for code in sorted(codes()) if f"`{code}`" not in text] == []


def test_every_json_shape_is_described() -> None:
    page = ROOT / "docs/reference/json.md"
    assert "--dry-run" in headings(page)
    for command in COMMANDS:
        names = {option.name for option in command.options}
        if "--json" in names and "--dry-run" not in names:  # of those there is one shape
            assert command.name() in headings(page)
            assert any(
                f"setup {command.name()}" in example.command
                for example in examples(page) + examples(HOST)
            ), command.name()


def test_every_kind_of_effect_is_explained() -> None:
    text = (ROOT / "docs/topics/previews.md").read_text(encoding="utf-8")
    assert [kind for kind in MIRROR if f"`{kind}`" not in text] == []


GUARANTEES = (ROOT / "docs/internals/guarantees.md").read_text(encoding="utf-8")
SECURITY = (ROOT / "docs/topics/security.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", GUARANTEES)
IN_SECURITY = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", SECURITY)


@pytest.mark.parametrize(("path", "name"), sorted({*NAMED, *IN_SECURITY}), ids=lambda word: word)
def test_every_proof_of_a_promise_is_a_test(path: str, name: str) -> None:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert name in functions
    assert name.startswith("test_")


def test_every_promise_has_a_proof() -> None:
    promised = GUARANTEES.partition("## What is not promised")[0]
    rows = [line for line in promised.splitlines() if line.startswith("| ")]
    promises = [row for row in rows if not row.startswith("| promise |")]
    assert len(promises) > 20
    assert [row for row in promises if "::test_" not in row] == []
    assert len(NAMED) == GUARANTEES.count("::")


def test_every_attack_has_a_test_or_is_not_promised() -> None:
    rows = [line for line in SECURITY.splitlines() if line.startswith("| ") and "tests/" in line]
    assert len(rows) > 40
    assert len(IN_SECURITY) == SECURITY.count(".py::")
    without = re.findall(r"^\| .* \| (.*) \| none \|$", SECURITY, re.MULTILINE)
    assert [row for row in without if "not promised" not in row] == []


def options_in(text: str) -> set[str]:
    """Names of the environment that stand in front of a number."""
    return set(re.findall(r"\b([A-Z][A-Z_]+)=\d", text))


def read_by_tests() -> set[str]:
    """Names of the environment that some test reads, with a number for a default or as a switch."""
    source = "".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    return set(re.findall(r"environ\.get\(\"(?!PYTEST)([A-Z_]+)\"", source))


@pytest.mark.parametrize("page", ("docs/internals/guarantees.md", "docs/internals/testing.md"))
def test_every_option_of_a_longer_run_is_read_by_a_test(page: str) -> None:
    named = options_in((ROOT / page).read_text(encoding="utf-8"))
    assert len(named) > 3
    assert named <= read_by_tests(), named


def test_every_option_of_a_longer_run_is_explained() -> None:
    text = (ROOT / "docs/internals/testing.md").read_text(encoding="utf-8")
    assert [name for name in sorted(read_by_tests()) if f"`{name}`" not in text] == []


def anchor(heading: str) -> str:
    """The anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if link.startswith(("http://", "https://")):
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if fragment:
            assert fragment in map(anchor, headings(target)), link


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        for link in re.findall(r"\]\(([^)\s#]+)", page.read_text(encoding="utf-8")):
            if "://" not in link:
                waiting.append((page.parent / link).resolve())
    assert [page for page in PAGES if page not in seen] == []
