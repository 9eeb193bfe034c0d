"""What the shells propose: the answers, and the bash script in a real bash."""

import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from mailroster.cli.commands import COMMANDS
from mailroster.cli.completion import candidates
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.access import RECEIVE_ACCESS, SEND_ACCESS
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.masters import MASTERS
from mailroster.roster.formats.relaymap import RELAYMAP
from mailroster.roster.formats.virtual import VIRTUAL
from mailroster.roster.roster import Roster

HASH = "{PLAIN}x"
FILES = {
    "postfix-accounts.cf": "".join(
        f"{address}|{HASH}\n"
        for address in ("john.doe@example.com", "jane.doe@example.com", "o'neil@example.com")
    )
    + "broken\n",
    "postfix-virtual.cf": "info@example.com jane.doe@example.com, friend@elsewhere.test\n",
    "dovecot-masters.cf": f"admin|{HASH}\n",
    "postfix-send-access.cf": "jane.doe@example.com REJECT\n",
    "postfix-receive-access.cf": "john.doe@example.com REJECT\n",
}
ROSTER = Roster(
    accounts=Document(ACCOUNTS, FILES["postfix-accounts.cf"]),
    virtual=Document(VIRTUAL, FILES["postfix-virtual.cf"]),
    masters=Document(MASTERS, FILES["dovecot-masters.cf"]),
    send_access=Document(SEND_ACCESS, FILES["postfix-send-access.cf"]),
    receive_access=Document(RECEIVE_ACCESS, FILES["postfix-receive-access.cf"]),
    relaymap=Document(RELAYMAP, "@relayed.example [relay.test]:25\n"),
)
JOHN, JANE, ONEIL = "john.doe@example.com", "jane.doe@example.com", "o'neil@example.com"


def proposed(line: str) -> list[str]:
    return candidates(line, lambda given: ROSTER)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("setup em", ["email"]),
        ("setup email ", ["add", "update", "del", "forward", "rename", "password-check", "lock",
                          "unlock", "show", "list", "app-password", "restrict"]),
        ("setup email app-password ", ["add", "del", "list"]),
        ("setup email restrict ", ["add", "del", "list"]),
        ("setup email app-password add a@x.com phone --for ", ["imap", "smtp", "pop3", "sieve"]),
        ("setup help em", ["email"]),
        ("setup help email r", ["rename", "restrict"]),
        ("setup help email add ", []),
        ("setup completion ", ["bash", "zsh", "fish"]),
        ("setup import --format ", ["csv", "jsonl", "folder"]),
        ("setup check --format ", ["text", "json", "github", "sarif"]),
        ("setup check --explain dangling", ["dangling-alias"]),
        ("setup check --explain no-mx", ["no-mx"]),
        ("setup check --rule no-mx", []),
        ("setup dns x.com --ignore no-mx", ["no-mx"]),
        ("setup up ", []),
        ("setup nonsense ", []),
        ("setup --con", ["--config"]),
        ("setup --config DIR em", ["email"]),
        ("setup --config=DIR em", ["email"]),
        ("setup email del ", [JOHN, JANE, ONEIL]),
        ("setup email del j", [JOHN, JANE]),
        ("setup email del -y john.doe@ex", [JOHN]),
        (f"setup email del {JOHN} ja", [JANE]),
        ("setup email del o\\'n", [ONEIL]),
        ("setup explain j", [JOHN, JANE]),
        ("setup log j", [JOHN, JANE]),
        ("setup explain i", ["info@example.com"]),
        ("setup regexp test i", ["info@example.com"]),
        ("setup map ", ["example.com"]),
        ("setup relay add-domain ", ["example.com"]),
        ("setup relay del ", ["relayed.example"]),
        ("setup up --layout s", ["system"]),
        ("setup regexp add /a/ ja", [JANE]),
        ("setup regexp del /a/ ", []),
        ("setup email update ja", [JANE]),
        (f"setup email update {JANE} ", []),
        ("setup email update --scheme A", ["ARGON2ID"]),
        ("setup email update --hash ", []),
        ("setup email add ", []),
        ("setup email add --if", ["--if-not-exists"]),
        ("setup email list --", ["--json", "--table"]),
        ("setup email list --json --", ["--table"]),
        ("setup email restrict add s", ["send"]),
        ("setup email restrict add send ja", [JANE]),
        ("setup email restrict del send j", [JANE]),
        ("setup email restrict del receive j", [JOHN]),
        ("setup alias add ", ["info@example.com"]),
        ("setup alias add new@example.com ja", [JANE]),
        (f"setup alias add new@example.com {JANE},jo", [f"{JANE},{JOHN}"]),
        (f"setup alias add new@example.com {JANE} ", []),
        ("setup alias del INFO@example.com ", [JANE, "friend@elsewhere.test"]),
        ("setup alias del nobody@example.com ", []),
        ("setup quota set jo", [JOHN]),
        ("setup email rename jo", [JOHN]),
        (f"setup email rename {JOHN} jo", []),
        ("setup email forward ja", [JANE]),
        (f"setup email forward {JOHN} friend@x.org ja", [JANE]),
        ("setup email password-check jo", [JOHN]),
        (f"setup quota set {JOHN} ", []),
        ("setup dovecot-master update ", ["admin"]),
        ("setup dovecot-master add ", []),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
def test_proposes(line: str, expected: list[str]) -> None:
    assert proposed(line) == expected


def test_every_command_can_be_reached_word_by_word() -> None:
    for command in COMMANDS:
        for place, word in enumerate(command.words):
            before = " ".join(("setup", *command.words[:place]))
            assert word in proposed(f"{before} "), command.name()


def test_every_option_is_proposed_behind_its_command() -> None:
    for command in COMMANDS:
        names = [option.name for option in command.options]
        assert proposed(f"setup {command.name()} -") == names


def test_the_options_before_the_command_say_whose_accounts_are_meant() -> None:
    asked: list[Mapping[str, str]] = []

    def read_roster(given: Mapping[str, str]) -> Roster:
        asked.append(given)
        return ROSTER

    candidates("setup --config A --home=B email del ", read_roster)
    assert asked == [{"config": "A", "home": "B"}]


def test_folders_are_proposed_for_an_option_that_wants_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docker-data").mkdir()
    (tmp_path / "docker.txt").touch()
    (tmp_path / ".hidden").touch()
    (tmp_path / "docker-data/dms").mkdir()
    assert proposed("setup --config do") == ["docker-data/"]
    assert proposed("setup --config=do") == ["--config=docker-data/"]
    both = ["docker-data/", "docker.txt"]
    for line in ("import", "export", "map --svg", "explain a@x --svg"):
        assert proposed(f"setup {line} do") == both, line
        assert proposed(f"setup {line} ") == both, line
    assert proposed("setup map --svg=do") == ["--svg=docker-data/", "--svg=docker.txt"]
    for line in ("adopt", "diff", "adopt . --mail", "adopt . --state", "overlay export"):
        assert proposed(f"setup {line} do") == ["docker-data/"], line
    assert proposed("setup adopt docker-data/") == ["docker-data/dms/"]
    assert proposed("setup import .h") == [".hidden"]
    assert proposed("setup import nowhere/x") == []
    monkeypatch.setenv("HOME", str(tmp_path))
    assert proposed("setup import ~/docker.") == ["~/docker.txt"]
    assert proposed("setup overlay diff do") == []


# -- the scripts


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A PATH with `setup` and `mailroster`, and a config folder."""
    config, programs = tmp_path / "config", tmp_path / "bin"
    config.mkdir()
    programs.mkdir()
    for name, text in FILES.items():
        (config / name).write_text(text)
    for name in ("setup", "mailroster"):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m mailroster "$@"\n')
        program.chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "MAILROSTER_CONFIG": str(config)}


#: What bash sets before it calls a completion, for the line in $1: words are cut at blanks, and
#: at the characters of COMP_WORDBREAKS, which make words of their own.
BASH_DRIVER = """\
eval "$(setup completion bash)"
COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:@'
COMP_LINE=$1 COMP_POINT=${#1}
read -ra COMP_WORDS <<< "${1//@/ @ }"
spec=$(complete -p "${COMP_WORDS[0]}")
[[ $spec =~ -F\\ ([a-z_]+) ]] && "${BASH_REMATCH[1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def bash(line: str, environment: dict[str, str], driver: str = BASH_DRIVER) -> list[str]:
    done = subprocess.run(
        ["bash", "--norc", "-c", driver, "bash", line],
        env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0 and not done.stderr, done.stderr
    return [word for word in done.stdout.split("\n") if word]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("setup al", ["alias"]),
        ("mailroster al", ["alias"]),
        ("setup email del ja", [JANE]),
        ("setup email del jane.doe@ex", ["example.com"]),
        (f"setup alias add new@example.com {JANE},jo", [f"example.com,{JOHN}"]),
        ("setup email del o", ["o\\'neil@example.com"]),
        ("setup --config /nowhere email del ja", []),
    ],
    ids=[
        "a noun", "under the other name", "an address", "an address behind its at sign",
        "a second recipient", "an address that the shell has to quote", "no folder, and no noise",
    ],
)  # fmt: skip
def test_bash_proposes(line: str, expected: list[str], environment: dict[str, str]) -> None:
    assert bash(line, environment) == expected


def test_bash_takes_the_whole_word_where_an_at_sign_does_not_cut_words(
    environment: dict[str, str],
) -> None:
    driver = BASH_DRIVER.replace(":@'", "'")
    assert bash("setup email del jane.doe@ex", environment, driver) == [JANE]


def test_a_real_bash_completes_a_line_at_its_prompt(environment: dict[str, str]) -> None:
    """Readline itself, on a terminal of its own: what is typed, TAB, and the line that comes."""
    pid, terminal = pty.fork()
    if pid == 0:
        argv = ["bash", "--norc", "--noprofile", "-i"]
        os.execvpe("bash", argv, {**environment, "PS1": "ready> ", "TERM": "dumb"})
    try:
        until_said(terminal, "ready> ")
        os.write(terminal, b'eval "$(setup completion bash)"\n')
        until_said(terminal, "ready> ")
        os.write(terminal, b"setup email upd\t")
        until_said(terminal, "setup email update ")
        os.write(terminal, b"jane.doe@ex\t")
        until_said(terminal, "example.com ")
        os.write(terminal, b"\x15setup import /et\t")  # the path of a folder goes on
        until_said(terminal, "/etc/")
        os.write(terminal, b"host.con\t")
        until_said(terminal, "host.conf ")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def until_said(terminal: int, text: str) -> None:
    """Reads until a text has come; the time is for a machine that is busy."""
    said = b""
    while text.encode() not in said:
        assert select.select([terminal], [], [], 60)[0], said
        said += os.read(terminal, 4096)


def script_of(shell: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["setup", "completion", shell], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_script_serves_both_names_and_hands_the_line_over(
    shell: str, environment: dict[str, str]
) -> None:
    script = script_of(shell, environment)
    assert "MAILROSTER_COMPLETE" in script
    assert f"completion {shell} 2>/dev/null" in script
    registered = [line for line in script.splitlines() if line.startswith(("complete", "compdef"))]
    for name in ("setup", "mailroster"):
        assert any(name in line.split() for line in registered), name
    for opening, closing in ("()", "{}", "[]"):
        assert script.count(opening) == script.count(closing)
    assert script.count('"') % 2 == script.count("'") % 2 == 0


@pytest.mark.parametrize(
    ("shell", "quoted"), [("zsh", "o\\'neil@example.com"), ("fish", "o'neil@example.com")]
)
def test_each_shell_gets_addresses_quoted_as_it_wants_them(
    shell: str, quoted: str, environment: dict[str, str]
) -> None:
    line = {"MAILROSTER_COMPLETE": "setup email del o"}
    done = subprocess.run(
        ["setup", "completion", shell], env={**environment, **line}, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == [quoted]


def test_an_unknown_shell_is_not_understood(environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["setup", "completion", "tcsh"], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "use one of: bash, zsh, fish" in done.stderr
