"""`setup completion`: prints the script of a shell, and the candidates that the script requests.

A script passes the line up to the cursor in the variable MAILROSTER_COMPLETE. The candidates come
from the table of commands and from the config files, for all shells alike.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mailroster.app.completion import roster_at_once
from mailroster.base.address import split
from mailroster.base.findings import UsageError
from mailroster.base.services import SERVICES
from mailroster.base.settings import FOLDERS, LAYOUTS, OVERLAY
from mailroster.cli.call import Call
from mailroster.cli.commands import COMMANDS
from mailroster.cli.grammar import Command, find, is_repeatable
from mailroster.cli.groups import GROUPS
from mailroster.cli.help import OPTIONS
from mailroster.edits.rows import FORMATS as ROW_FORMATS
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.hash_cost import SCHEMES
from mailroster.roster.roster import Roster

LINE, BREAKS = "MAILROSTER_COMPLETE", "MAILROSTER_BREAKS"

#: Arguments that are paths; DIR and FOLDER are folders.
_PATHS = ("SOURCE", "DESTINATION", "FOLDER", "FILE", "DIR")
#: More candidates than a shell lists without a question.
_CANDIDATES_MAX = 1000

#: Reads the roster, for the options before the command.
ReadRoster = Callable[[Mapping[str, str]], Roster]


def script(call: Call) -> int:
    """Prints the script of a shell, or the candidates for the line in MAILROSTER_COMPLETE."""
    shell = call.arguments[0]
    if shell not in _SCRIPTS:
        raise UsageError(f"unknown shell {shell!r}; use one of: {', '.join(_SCRIPTS)}")
    line = os.environ.get(LINE)
    if line is None:
        print(_SCRIPTS[shell], end="")
        return 0
    for word in candidates(line, _read_roster):
        # fish quotes the inserted text itself.
        quoted = word if shell == "fish" else re.sub(r"([^\w@%+=:,./-])", r"\\\1", word)
        print(quoted[len(_own_word(line, os.environ.get(BREAKS, ""))) :])
    return 0


def candidates(line: str, read_roster: ReadRoster) -> list[str]:
    """The completions of the last word of a line; that word is empty if the line ends in a blank."""
    words = line.split()[1:]
    word = "" if line[-1:].isspace() or not words else words.pop().replace("\\", "")
    return [text for text in _proposals(words, word, read_roster) if text.startswith(word)]


def _proposals(words: list[str], word: str, read_roster: ReadRoster) -> Iterable[str]:
    """The words that may follow some words. The caller drops those that do not begin with `word`."""
    option, equals, value = word.partition("=")
    if equals and option.startswith("--"):
        return [f"{option}={text}" for text in _proposals([*words, option], value, read_roster)]
    settings: dict[str, str] = {}
    while words and words[0].startswith("-"):
        option, equals, value = words.pop(0).partition("=")
        if not equals and not words:
            return _paths(word, folders_only=True)
        settings[option.removeprefix("--")] = value if equals else words.pop(0)
    command = find(words, COMMANDS)
    if command is None:
        return _verbs(words, word)
    arguments, open_option, unused = _split(command, words[len(command.words) :])
    if open_option:
        return _option_values(command, open_option, word)
    if word.startswith("-"):
        return unused
    return _values(command, arguments, word, lambda: read_roster(settings))


def _paths(word: str, *, folders_only: bool = False) -> list[str]:
    """The paths that begin with a word, folders with a slash at the end; hidden files only if the
    last part of the word begins with a dot."""
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
    """The next words of the commands that begin with some words."""
    if not words and word.startswith("-"):
        return [f"--{setting.name}" for setting in (*FOLDERS, OVERLAY)]
    prefix = tuple(words[1:] if words[:1] == ["help"] else words)
    length = len(prefix)
    verbs = [c.words[length] for c in COMMANDS if c.words[:length] == prefix != c.words]
    if not words:
        verbs.append("help")
    if words == ["help"]:
        verbs += [*GROUPS, OPTIONS]
    return list(dict.fromkeys(verbs))


def _split(command: Command, words: list[str]) -> tuple[list[str], str, list[str]]:
    """The arguments, the last option if its value is missing, and the options that are not used."""
    known = {option.name: option for option in command.options}
    arguments, open_option = [], ""
    for word in words:
        if open_option:
            open_option = ""
        elif word in known:
            open_option = word if known[word].value else ""
        else:
            arguments.append(word)
    return arguments, open_option, [name for name in known if name not in words]


def _option_values(command: Command, option: str, word: str) -> Iterable[str]:
    """The possible values of an option."""
    value = next(known.value for known in command.options if known.name == option)
    if value in _PATHS:
        return _paths(word, folders_only=value == "DIR")
    if command.words == ("dns",) and option == "--ignore":
        from mailroster.cli import check_pages

        return check_pages.codes(check_pages.DNS)
    if command.words == ("check",):
        from mailroster.cli import check_pages, check_reports

        dns = check_pages.codes(check_pages.DNS) if option == "--explain" else []
        return check_reports.REPORTS if option == "--format" else [*check_pages.codes(), *dns]
    from mailroster.cli.quota import ORDERS

    values = {
        "--scheme": SCHEMES, "--format": ROW_FORMATS, "--sort": ORDERS, "--layout": LAYOUTS,
        "--for": SERVICES,
    }  # fmt: skip
    return values.get(option, ())


def _values(
    command: Command, arguments: list[str], word: str, read_roster: Callable[[], Roster]
) -> Iterable[str]:
    """The possible values of the next argument."""
    names = command.arguments.split()
    if not names or (len(arguments) >= len(names) and not is_repeatable(names[-1])):
        return ()
    name = names[min(len(arguments), len(names) - 1)].strip("[]…")
    if name in _PATHS and command.words[0] != "overlay":
        return _paths(word, folders_only=name == "FOLDER")
    if command.words == ("overlay", "export"):
        return _paths(word, folders_only=True)
    if "|" in name:
        return name.split("|")
    if command.words in (("email", "add"), ("dovecot-master", "add")):
        return ()  # a new entry
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
        return _keys(_document(command, arguments, read_roster()), word)
    if name == "LABEL" and command.words[-1] == "del":
        prefix = f"{arguments[0].lower()}|"
        return [key.removeprefix(prefix) for key in _keys(read_roster().app_passwords, prefix)]
    if name.startswith("RECIPIENT"):
        before, comma, last = word.rpartition(",")
        if command.words == ("regexp", "del"):
            return ()
        alias = read_roster().virtual.get(arguments[0].lower())
        if command.words[-1] == "del":
            addresses: Iterable[str] = alias.recipients if alias else ()
        else:
            addresses = _keys(read_roster().accounts, last)
        return [before + comma + address for address in addresses]
    return ()


def _document(command: Command, arguments: list[str], roster: Roster) -> Document[Any]:
    """The document with the keys that ADDRESS may be."""
    if "restrict" not in command.words or command.words[-1] == "add":
        return roster.accounts
    return roster.send_access if arguments[0] == "send" else roster.receive_access


def _keys(document: Document[Any], word: str) -> list[str]:
    """The keys of a file that begin with a word. If they are many: the first ones, the least and the
    greatest; the common prefix of these two is that of all keys, which a shell inserts."""
    keys = [key for key in document.index if key.startswith(word)]
    if len(keys) > _CANDIDATES_MAX:
        keys = list(dict.fromkeys([*keys[:_CANDIDATES_MAX], min(keys), max(keys)]))
    return [key for key in keys if key in document]


def _domains(roster: Roster) -> set[str]:
    keys = (*roster.accounts.index, *roster.virtual.index)
    return {split(key)[1] for key in keys} - {""}


def _read_roster(settings: Mapping[str, str]) -> Roster:
    options = {name: os.path.expanduser(value) for name, value in settings.items()}
    return roster_at_once(options, os.environ)


def _own_word(line: str, breaks: str) -> str:
    """The part of the last word that bash treats as a separate word (COMP_WORDBREAKS)."""
    word = "" if line[-1:].isspace() else line.split()[-1]
    cut = max((word.rfind(char) for char in "@=:" if char in breaks), default=-1)
    return word[: cut + 1]


_BASH = f"""\
# bash completion for setup and mailroster: eval "$(setup completion bash)"
_mailroster() {{
  mapfile -t COMPREPLY < <({BREAKS}=$COMP_WORDBREAKS {LINE}=${{COMP_LINE:0:COMP_POINT}} \\
    "${{COMP_WORDS[0]}}" completion bash 2>/dev/null)
  # No blank after the slash of a folder: the path may continue.
  [[ ${{COMPREPLY[0]}} != */ ]] || compopt -o nospace 2>/dev/null
}}
complete -F _mailroster setup mailroster
"""
_ZSH = f"""\
# zsh completion for setup and mailroster: eval "$(setup completion zsh)"
_mailroster() {{
  local -a candidates
  candidates=(${{(f)"$({LINE}="${{(j: :)words[1,CURRENT-1]}} $PREFIX" \\
    "$words[1]" completion zsh 2>/dev/null)"}})
  local -a folders=(${{(M)candidates:#*/}}) others=(${{candidates:#*/}})
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
