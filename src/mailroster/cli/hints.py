"""Suggestions for an unknown command. This module is loaded only for those."""

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher, get_close_matches

from mailroster.cli.groups import GROUPS

#: The words of a command: `("email", "add")`.
Words = tuple[str, ...]
#: The least likeness of a suggestion; 1 means equal.
_ALIKE = 0.6
#: The likeness of a word and its beginning.
_PREFIX = 0.9
#: Longer words are not compared, which would be slow.
_WORD_MAX = 40
#: The most suggestions.
_SUGGESTED_MAX = 6

#: Words of other programs, and their names here.
_SYNONYMS = {
    "remove": "del", "rm": "del", "delete": "del", "drop": "del", "ls": "list", "create": "add",
    "new": "add", "make": "add", "passwd": "update", "password": "update", "edit": "update",
    "change": "update", "modify": "update", "info": "show", "get": "show", "mv": "rename",
    "user": "email", "account": "email", "accounts": "email", "mailbox": "email",
    "disable": "lock", "enable": "unlock", "block": "lock", "unblock": "unlock",
    "master": "dovecot-master", "start": "up", "run": "up", "serve": "up", "logs": "log",
    "history": "log", "validate": "check", "test": "check", "lint": "check", "migrate": "adopt",
    "revert": "undo", "reload": "apply",
}  # fmt: skip

#: The programs behind `setup` of docker-mailserver.
_PROGRAMS = {
    "addmailuser": "email add", "updatemailuser": "email update", "delmailuser": "email del",
    "listmailuser": "email list", "restrict-access": "email restrict", "addalias": "alias add",
    "delalias": "alias del", "listalias": "alias list", "setquota": "quota set",
    "delquota": "quota del", "adddovecotmasteruser": "dovecot-master add",
    "updatedovecotmasteruser": "dovecot-master update",
    "deldovecotmasteruser": "dovecot-master del", "listdovecotmasteruser": "dovecot-master list",
    "addrelayhost": "relay add-domain", "addsaslpassword": "relay add-auth",
    "excluderelaydomain": "relay exclude-domain",
}  # fmt: skip

_DKIM = "use 'setup config dkim'"
_FAIL2BAN = "use 'setup block list', 'setup block add ADDRESS' or 'setup block del ADDRESS'"
_FETCH = "mailroster fetches no mail; run {}, and let it deliver by SMTP"
_RSPAMD = "ENABLE_RSPAMD=1 runs Rspamd (docs/topics/spam.md)"
#: Commands of docker-mailserver that do not exist here, and what to do instead.
ELSEWHERE: dict[tuple[str, ...], str] = {
    ("config", "opendkim"): _DKIM,
    ("open-dkim",): _DKIM,
    ("generate-dkim-config",): _DKIM,
    ("rspamd-dkim",): _DKIM,
    ("dkim",): "use 'setup config dkim', or 'setup dkim rotate'",
    ("config", "ssl"): (
        "mailroster creates only a first certificate; set tls_certificate and tls_key in "
        "mailroster.toml to yours"
    ),
    ("config",): (
        "mailroster has no 'setup config'; its settings are in mailroster.toml"
    ),
    ("fail2ban",): _FAIL2BAN,
    ("debug", "fail2ban"): _FAIL2BAN,
    ("debug", "fetchmail"): _FETCH.format("fetchmail"),
    ("debug-fetchmail",): _FETCH.format("fetchmail"),
    ("fetchmail",): _FETCH.format("fetchmail"),
    ("debug", "getmail"): _FETCH.format("getmail"),
    ("debug-getmail",): _FETCH.format("getmail"),
    ("getmail",): _FETCH.format("getmail"),
    ("debug", "inspect"): "use 'setup status' and 'setup check'",
    ("rspamd",): f"{_RSPAMD}; its own command is rspamc",
    ("spamassassin",): f"mailroster has no SpamAssassin; {_RSPAMD}",
    ("clamav",): f"mailroster has no ClamAV; {_RSPAMD}, which can ask one",
}  # fmt: skip
_PAGE = "see docs/guide/migrate.md"


def unknown_command(words: Sequence[str], commands: Sequence[Words]) -> str:
    """The message for words that begin no command."""
    for length in (2, 1):
        if hint := ELSEWHERE.get(tuple(word.lower() for word in words[:length])):
            return f"{hint}; {_PAGE}"
    group = GROUPS.get(words[0]) if words else None
    if group is not None and group.words and group.name not in _SYNONYMS:
        options = ", ".join(f"'setup {word}'" for word in group.words)
        return f"{group.name!r} is a group of the help, not a command; use one of: {options}"
    typed = list(words)[: _known_words(words, commands) + 1]
    message = f"there is no command {' '.join(typed)!r}"
    plain = [word for word in words if word and not word.startswith("-")]
    names = suggestions(plain, commands) if plain else []
    if not names:
        return f"{message}; see 'setup help'"
    quoted = [f"'setup {name}'" for name in names[:_SUGGESTED_MAX]]
    last = f" or {quoted[-1]}" if quoted[1:] else quoted[0]
    return f"{message}; did you mean {', '.join(quoted[:-1])}{last}?"


def _known_words(words: Sequence[str], commands: Sequence[Words]) -> int:
    """The number of leading words that are those of a command."""
    count = 0
    while count < len(words) and any(c[: count + 1] == tuple(words[: count + 1]) for c in commands):
        count += 1
    return count


def suggestions(words: Sequence[str], commands: Sequence[Words]) -> list[str]:
    """The most likely command, or the words with which commands begin; several if they are equally
    likely."""
    typed = [word.lower() for word in words]
    program = _PROGRAMS.get(typed[0], "")
    if program:
        return [program]
    names: dict[str, float] = {}
    for reading in _readings(typed):
        for command in commands:
            common = min(len(reading), len(command))
            score = _likeness(reading[:common], command[:common])
            # Prefer the match of all words of a command to that of its first word.
            score += 0.01 * common if score else 0
            name = " ".join(command[:common])
            names[name] = max(score, names.get(name, 0))
    best = max(names.values())
    verbs = (typed[0], _SYNONYMS.get(typed[0], ""))
    with_verb = [" ".join(command) for command in commands if command[-1] in verbs]
    if with_verb and best < _PREFIX:
        return with_verb
    return [name for name, score in names.items() if best and score == best]


def _readings(words: list[str]) -> list[list[str]]:
    """The words as typed; with the first two swapped; with `email-add` as two words."""
    parts = words[0].replace("_", "-").split("-")
    swapped = [words[1], words[0], *words[2:]] if words[1:] else words
    return [words, swapped, [*parts, *words[1:]]]


def _likeness(typed: Sequence[str], command: Sequence[str]) -> float:
    """The mean likeness of two lists of words; 0 if one word is too different."""
    each = [_likeness_of_word(*pair) for pair in zip(typed, command, strict=True)]
    return sum(each) / len(each) if all(each) else 0


def _likeness_of_word(typed: str, word: str) -> float:
    if typed == word:
        return 1
    if _SYNONYMS.get(typed) == word:
        return 0.95
    if len(typed) > _WORD_MAX:
        return 0
    if len(typed) > 1 and (word.startswith(typed) or typed.startswith(word)):
        return _PREFIX
    ratio = SequenceMatcher(None, typed, word).ratio()
    return ratio if ratio >= _ALIKE else 0


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """`; did you mean NAME?` for the nearest of some names; "" if none is near."""
    near = get_close_matches(word[:_WORD_MAX], list(names), 1, _ALIKE)
    return f"; did you mean {near[0]}?" if near else ""
