"""`setup completion`: a script for each shell, and the answers that the scripts come back for.

A script only hands over the line up to the cursor, in the variable MAILROSTER_COMPLETE; what may
follow is worked out here, once for all shells, from the table of commands and the files.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mailroster.app.completion import roster_at_once
from mailroster.base.address import split
from mailroster.base.findings import UsageError
from mailroster.base.settings import FOLDERS, LAYOUTS, OVERLAY
from mailroster.cli.call import Call
from mailroster.cli.commands import COMMANDS
from mailroster.cli.grammar import Command, find, may_be_many
from mailroster.cli.quota_list import ORDERS
from mailroster.edits.rows import FORMATS as ROW_FORMATS
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.hash_cost import SCHEMES
from mailroster.roster.roster import Roster

LINE, BREAKS = "MAILROSTER_COMPLETE", "MAILROSTER_BREAKS"

#: Words of a usage that stand for a path; DIR and FOLDER for one of a folder.
_PATHS = ("SOURCE", "DESTINATION", "FOLDER", "FILE", "DIR")
#: More proposals than a shell shows without a question.
_PROPOSED_MAX = 1000

#: The roster behind the options that stand before the command.
ReadRoster = Callable[[Mapping[str, str]], Roster]


def script(call: Call) -> int:
    shell = call.arguments[0]
    if shell not in _SCRIPTS:
        raise UsageError(f"{shell!r} is none of bash, zsh, fish")
    line = os.environ.get(LINE)
    if line is None:
        print(_SCRIPTS[shell], end="")
        return 0
    for word in candidates(line, _read_roster):
        # fish quotes what it inserts, the others take it as it is.
        quoted = word if shell == "fish" else re.sub(r"([^\w@%+=:,./-])", r"\\\1", word)
        print(quoted[len(_apart(line, os.environ.get(BREAKS, ""))) :])
    return 0


def candidates(line: str, read_roster: ReadRoster) -> list[str]:
    """What the last word of a line may become; the word is empty where the line ends in a blank."""
    words = line.split()[1:]
    word = "" if line[-1:].isspace() or not words else words.pop().replace("\\", "")
    return [found for found in _possible(words, word, read_roster) if found.startswith(word)]


def _possible(words: list[str], word: str, read_roster: ReadRoster) -> Iterable[str]:
    option, equals, value = word.partition("=")
    if equals and option.startswith("--"):  # as if a blank stood in the place of the sign
        found = _possible([*words, option], value, read_roster)
        return [f"{option}={one}" for one in found]
    given: dict[str, str] = {}
    while words and words[0].startswith("-"):
        option, equals, value = words.pop(0).partition("=")
        if not equals and not words:
            return _paths(word, folders_only=True)
        given[option.removeprefix("--")] = value if equals else words.pop(0)
    command = find(words, COMMANDS)
    if command is None:
        return _verbs(words, word)
    arguments, waiting, left = _taken(command, words[len(command.words) :])
    if waiting:
        return _option_values(command, waiting, word)
    if word.startswith("-"):
        return left
    return _values(command, arguments, word, lambda: read_roster(given))


def _paths(word: str, *, folders_only: bool = False) -> list[str]:
    """The paths that begin with a word, folders with a slash behind; hidden ones only if the word
    asks for them."""
    parent, start = os.path.split(word)
    try:
        with os.scandir(os.path.expanduser(parent) or ".") as entries:
            return sorted(
                os.path.join(parent, entry.name) + ("/" if entry.is_dir() else "")
                for entry in entries
                if (entry.is_dir() or not folders_only)
                and (start.startswith(".") or not entry.name.startswith("."))
            )
    except OSError:
        return []


def _verbs(words: list[str], word: str) -> list[str]:
    """The next word of the commands that begin with some words."""
    if not words and word.startswith("-"):
        return [f"--{setting.name}" for setting in (*FOLDERS, OVERLAY)]
    said = tuple(words[1:] if words[:1] == ["help"] else words)
    fitting = [c.words[len(said)] for c in COMMANDS if c.words[: len(said)] == said != c.words]
    return list(dict.fromkeys([*fitting, *(() if words else ("help",))]))


def _taken(command: Command, rest: list[str]) -> tuple[list[str], str, list[str]]:
    """Arguments so far, the option that waits for its value, and the options not yet given."""
    known = {option.name: option for option in command.options}
    arguments, waiting = [], ""
    for word in rest:
        if waiting:
            waiting = ""
        elif word in known:
            waiting = word if known[word].value else ""
        else:
            arguments.append(word)
    return arguments, waiting, [name for name in known if name not in rest]


def _option_values(command: Command, option: str, word: str) -> Iterable[str]:
    """What the value of an option may be."""
    value = next(known.value for known in command.options if known.name == option)
    if value in _PATHS:
        return _paths(word, folders_only=value == "DIR")
    if command.words == ("check",):
        from mailroster.cli import check_pages, check_reports

        return check_reports.REPORTS if option == "--format" else check_pages.codes()
    known = {
        "--scheme": SCHEMES, "--format": ROW_FORMATS, "--sort": ORDERS, "--layout": LAYOUTS,
    }  # fmt: skip
    return known.get(option, ())


def _values(
    command: Command, arguments: list[str], word: str, read_roster: Callable[[], Roster]
) -> Iterable[str]:
    """What the next argument may be."""
    names = command.arguments.split()
    if not names or (len(arguments) >= len(names) and not may_be_many(names[-1])):
        return ()
    name = names[min(len(arguments), len(names) - 1)].strip("[]…")
    if name in _PATHS and command.words[0] != "overlay":
        return _paths(word, folders_only=name == "FOLDER")
    if command.words == ("overlay", "export"):
        return _paths(word, folders_only=True)
    if "|" in name:
        return name.split("|")
    if command.words in (("email", "add"), ("dovecot-master", "add")):
        return ()  # a new one
    if name == "NAME":
        return _keys(read_roster().masters, word)
    if name == "ALIAS":
        return _keys(read_roster().virtual, word)
    if name in ("OLD", "TARGET"):
        return _keys(read_roster().accounts, word)
    if command.words == ("relay", "del"):
        roster = read_roster()
        keys = (*_keys(roster.relaymap, f"@{word}"), *_keys(roster.sasl_passwords, f"@{word}"))
        return dict.fromkeys(key.removeprefix("@") for key in keys)
    if name == "DOMAIN":
        return _domains(read_roster())
    if command.words in (("explain",), ("regexp", "test")):
        roster = read_roster()
        return [*_keys(roster.accounts, word), *_keys(roster.virtual, word)]
    if name == "AS":
        roster = read_roster()
        granted = command.words[-1] == "del"
        return _keys(roster.sender_logins if granted else roster.virtual, word)
    if name == "ADDRESS":
        return _keys(_listed(command, arguments, read_roster()), word)
    if name.startswith("RECIPIENT"):
        before, comma, last = word.rpartition(",")
        if command.words == ("regexp", "del"):
            return ()
        alias = read_roster().virtual.get(arguments[0].lower())
        if command.words[-1] == "del":
            found: Iterable[str] = alias.recipients if alias else ()
        else:
            found = _keys(read_roster().accounts, last)
        return [before + comma + address for address in found]
    return ()


def _listed(command: Command, arguments: list[str], roster: Roster) -> Document[Any]:
    """The document whose keys an ADDRESS is one of."""
    if command.words == ("email", "restrict", "add"):
        return roster.accounts
    if command.words[1] == "restrict":
        return roster.send_access if arguments[0] == "send" else roster.receive_access
    return roster.accounts


def _keys(document: Document[Any], word: str) -> list[str]:
    """The keys of a file that begin with a word. Of many the first, and the outermost in
    alphabetical order: these two begin alike only as far as all of them do, which is what a shell
    inserts."""
    keys = [key for key in document.index if key.startswith(word)]
    if len(keys) > _PROPOSED_MAX:
        keys = list(dict.fromkeys([*keys[:_PROPOSED_MAX], min(keys), max(keys)]))
    return [key for key in keys if key in document]


def _domains(roster: Roster) -> set[str]:
    keys = (*roster.accounts.index, *roster.virtual.index)
    return {split(key)[1] for key in keys} - {""}


def _read_roster(given: Mapping[str, str]) -> Roster:
    """The roster to complete from."""
    options = {name: os.path.expanduser(value) for name, value in given.items()}
    return roster_at_once(options, os.environ)


def _apart(line: str, breaks: str) -> str:
    """The part of the last word that bash takes for a word of its own (COMP_WORDBREAKS)."""
    word = "" if line[-1:].isspace() else line.split()[-1]
    cut = max((word.rfind(char) for char in "@=:" if char in breaks), default=-1)
    return word[: cut + 1]


_BASH = f"""\
# bash completion for setup and mailroster: eval "$(setup completion bash)"
_mailroster() {{
  mapfile -t COMPREPLY < <({BREAKS}=$COMP_WORDBREAKS {LINE}=${{COMP_LINE:0:COMP_POINT}} \\
    "${{COMP_WORDS[0]}}" completion bash 2>/dev/null)
  # The path goes on behind the slash of a folder.
  [[ ${{COMPREPLY[0]}} != */ ]] || compopt -o nospace 2>/dev/null
}}
complete -F _mailroster setup mailroster
"""
_ZSH = f"""\
# zsh completion for setup and mailroster: eval "$(setup completion zsh)"
_mailroster() {{
  local -a found
  found=(${{(f)"$({LINE}="${{(j: :)words[1,CURRENT-1]}} $PREFIX" \\
    "$words[1]" completion zsh 2>/dev/null)"}})
  local -a folders=(${{(M)found:#*/}}) others=(${{found:#*/}})
  compadd -Q -S '' -a folders
  compadd -Q -a others
}}
compdef _mailroster setup mailroster
"""
_FISH = f"""\
# fish completion for setup and mailroster: setup completion fish | source
function __mailroster_complete
  set -lx {LINE} (commandline --cut-at-cursor --current-process)
  set -l words (commandline --tokenize --cut-at-cursor --current-process)
  $words[1] completion fish 2>/dev/null
end
complete --command setup --no-files --arguments '(__mailroster_complete)'
complete --command mailroster --no-files --arguments '(__mailroster_complete)'
"""
_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
