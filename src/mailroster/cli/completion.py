"""`setup completion`: scripts for the shells, made from the table of commands.

The scripts know words and options; addresses they ask of the folder, by `email list`.
"""

from mailroster.cli.call import Call
from mailroster.cli.commands import COMMANDS
from mailroster.finding import NotUnderstood


def script(call: Call) -> int:
    shell = call.arguments[0]
    if shell not in _SCRIPTS:
        raise NotUnderstood(f"{shell!r} is none of bash, zsh, fish")
    print(_SCRIPTS[shell](), end="")
    return 0


def next_words() -> dict[str, list[str]]:
    """What may follow each beginning of a command: words, then options."""
    follow: dict[str, list[str]] = {}
    for command in COMMANDS:
        for place, word in enumerate(command.words):
            words = follow.setdefault(" ".join(command.words[:place]), [])
            if word not in words:
                words.append(word)
        first = command.arguments.split(" ")[0]
        choices = first.split("|") if "|" in first else []
        follow[command.name()] = [*choices, *(option.name for option in command.options)]
    follow[""].append("help")
    return follow


def _cases() -> str:
    rows = (f'    "{start}") echo "{" ".join(words)}" ;;' for start, words in next_words().items())
    return "\n".join(rows)


def _bash() -> str:
    return f"""\
# bash completion for setup and mailroster: eval "$(setup completion bash)"
_mailroster_words() {{
  case "$1" in
{_cases()}
  esac
}}
_mailroster_addresses() {{
  "$1" email list 2>/dev/null | sed -n 's/^\\* \\([^ ]*\\).*/\\1/p'
}}
_mailroster() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} line="" found="" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    [[ -n $(_mailroster_words "${{line:+$line }}${{COMP_WORDS[i]}}") ]] && line="${{line:+$line }}${{COMP_WORDS[i]}}"
  done
  found=$(_mailroster_words "$line")
  case "$line" in
    "email update"|"email del"|"quota "*|"email restrict "*|"alias add"|"alias del")
      found="$found $(_mailroster_addresses "${{COMP_WORDS[0]}}")" ;;
  esac
  COMPREPLY=($(compgen -W "$found" -- "$word"))
}}
COMP_WORDBREAKS=${{COMP_WORDBREAKS//@/}}
complete -F _mailroster setup mailroster
"""


def _zsh() -> str:
    return f"""\
#compdef setup mailroster
# zsh completion for setup and mailroster: source <(setup completion zsh)
autoload -U +X bashcompinit && bashcompinit
{_bash()}"""


def _fish() -> str:
    lines = ["# fish completion for setup and mailroster: setup completion fish | source"]
    for name in ("setup", "mailroster"):
        lines.append(f"complete -c {name} -f")
        for start, words in next_words().items():
            said = start.split()
            rules = [f"__fish_seen_subcommand_from {word}" for word in said]
            plain = [word for word in words if not word.startswith("-")]
            if plain:
                rules.append(f"not __fish_seen_subcommand_from {' '.join(plain)}")
            condition = "; and ".join(rules) or "true"
            if plain:
                lines.append(f"complete -c {name} -n '{condition}' -a '{' '.join(plain)}'")
            for option in words[len(plain) :]:
                flag = f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"
                lines.append(f"complete -c {name} -n '{condition}' {flag}")
    return "\n".join([*lines, ""])


_SCRIPTS = {"bash": _bash, "zsh": _zsh, "fish": _fish}
