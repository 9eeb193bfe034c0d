"""What to suggest for a command line that is not understood. Loaded for such lines only."""

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher, get_close_matches

#: The words of a command: `("email", "add")`.
Words = tuple[str, ...]
#: How alike a word and what was meant have to be: 1 is the same.
_ALIKE = 0.6
#: How alike a word and its beginning are.
_PREFIX = 0.9
#: No longer word is a command with a slip; to compare it would take long.
_WORD_MAX = 40
#: So many commands are suggested at the most.
_SUGGESTED_MAX = 6

#: Words of other programs for what is called otherwise here.
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

#: The programs behind docker-mailserver's `setup`, which its users know by name.
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

_DKIM = (
    "mailroster does not sign mail with DKIM; run OpenDKIM or Rspamd beside it, and name it as "
    "smtpd_milters in postfix-main.cf"
)
_FAIL2BAN = "mailroster has no fail2ban; run fail2ban on the machine, on mail.log and dovecot.log"
_FETCH = "mailroster fetches no mail; run {} beside it, and let it deliver by SMTP"
_FILTER = "mailroster has no filter; run {} beside it, and name it as smtpd_milters"
#: Commands of docker-mailserver that are not here, and what to do instead.
ELSEWHERE: dict[tuple[str, ...], str] = {
    ("config", "dkim"): _DKIM,
    ("config", "opendkim"): _DKIM,
    ("open-dkim",): _DKIM,
    ("generate-dkim-config",): _DKIM,
    ("rspamd-dkim",): _DKIM,
    ("dkim",): _DKIM,
    ("config", "ssl"): (
        "mailroster makes no certificates but its first one; name yours by tls_certificate and "
        "tls_key in mailroster.toml"
    ),
    ("config",): (
        "what 'setup config' does in docker-mailserver is not done here; settings are in "
        "mailroster.toml"
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
    ("rspamd",): _FILTER.format("Rspamd"),
    ("spamassassin",): _FILTER.format("SpamAssassin or Rspamd"),
    ("clamav",): _FILTER.format("ClamAV's milter or Rspamd"),
}  # fmt: skip
_PAGE = "see docs/guide/migrate.md"


def unknown_command(words: Sequence[str], commands: Sequence[Words]) -> str:
    """What to say of words that begin no command."""
    for length in (2, 1):
        if hint := ELSEWHERE.get(tuple(word.lower() for word in words[:length])):
            return f"{hint}; {_PAGE}"
    typed = list(words)[: _known_words(words, commands) + 1]
    message = f"there is no command {' '.join(typed)!r}"
    plain = [word for word in words if word and not word.startswith("-")]
    meant = suggestions(plain, commands) if plain else []
    if not meant:
        return f"{message}; see 'setup help'"
    named = [f"'setup {name}'" for name in meant[:_SUGGESTED_MAX]]
    last = f" or {named[-1]}" if named[1:] else named[0]
    return f"{message}; did you mean {', '.join(named[:-1])}{last}?"


def _known_words(words: Sequence[str], commands: Sequence[Words]) -> int:
    """How many words at the beginning are those of a command."""
    count = 0
    while count < len(words) and any(c[: count + 1] == tuple(words[: count + 1]) for c in commands):
        count += 1
    return count


def suggestions(words: Sequence[str], commands: Sequence[Words]) -> list[str]:
    """The names of the commands that were probably meant, or the words that they begin with; the
    likeliest alone, unless several are equally likely."""
    typed = [word.lower() for word in words]
    program = _PROGRAMS.get(typed[0], "")
    if program:
        return [program]
    names: dict[str, float] = {}
    for reading in _readings(typed):
        for command in commands:
            common = min(len(reading), len(command))
            score = _likeness(reading[:common], command[:common])
            # All words of a command tell more than its first one.
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
    """The words as they stand; the first two the other way round; `email-add` as two words."""
    apart = words[0].replace("_", "-").split("-")
    turned = [words[1], words[0], *words[2:]] if words[1:] else words
    return [words, turned, [*apart, *words[1:]]]


def _likeness(typed: Sequence[str], meant: Sequence[str]) -> float:
    """The mean likeness of some words to others, 0 if one of them is too different."""
    each = [_likeness_of_word(*pair) for pair in zip(typed, meant, strict=True)]
    return sum(each) / len(each) if all(each) else 0


def _likeness_of_word(typed: str, meant: str) -> float:
    if typed == meant:
        return 1
    if _SYNONYMS.get(typed) == meant:
        return 0.95
    if len(typed) > _WORD_MAX:
        return 0
    if len(typed) > 1 and (meant.startswith(typed) or typed.startswith(meant)):
        return _PREFIX
    ratio = SequenceMatcher(None, typed, meant).ratio()
    return ratio if ratio >= _ALIKE else 0


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """`; did you mean NAME?` for the nearest of some names, "" where none is near."""
    near = get_close_matches(word[:_WORD_MAX], list(names), 1, _ALIKE)
    return f"; did you mean {near[0]}?" if near else ""
