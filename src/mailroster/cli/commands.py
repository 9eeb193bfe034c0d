"""Every command, in the order of the help."""

from mailroster.cli.grammar import OPTIONAL, UNUSED, VERBATIM, Command, Option

_DRY_RUN = Option("--dry-run", "show what would change and its effect; change nothing")
_NO_WAIT = Option("--no-wait", "don't put the change in force; the running server will")
_JSON = Option("--json", "as JSON")
_TABLE = Option("--table", "in columns; with tabs between them if not on a terminal")
_EDIT = (_DRY_RUN, Option("--json", "with --dry-run: as JSON"), _NO_WAIT)
_REMOVALS = Option("--removals", "let the accounts of a lost accounts file go")
_SCHEME = Option("--scheme", "SHA512-CRYPT, BLF-CRYPT or ARGON2ID", "SCHEME")
_PASSWORD = (
    Option("--password-stdin", "read the password from standard input, one line"),
    Option("--generate", "make a password, and print it, this once"),
    Option("--hash", "take a ready hash instead of a password", "{SCHEME}HASH"),
    _SCHEME,
)
_COMMENT = Option("--comment", "a note above the entry; '' takes it away", "TEXT")
_UNTIL = Option("--until", "2026-12-31, 2026-12-31T18:00, 30d, 12h; '' for no end", "WHEN")
_NOTES = (_COMMENT, _UNTIL)
_FORMAT = Option("--format", "csv, jsonl or folder; else the name tells", "FORMAT")
_PICTURE = (
    Option("--svg", "draw it into a file, or - for standard output", "FILE"),
    Option("--dot", "print it in the language of Graphviz"),
)
_DELETE = (Option("-y", "delete the mail too"), Option("-n", "keep the mail, without a question"))
_ASKED = (
    "Without PASSWORD it is asked for twice on a terminal, without echo. A password on the command "
    "line can be seen by every user of the machine while the command runs; on a terminal a warning "
    "says so."
)
_PORTS = (
    ("smtp", "SMTP"),
    ("submission", "submission with STARTTLS"),
    ("submissions", "submission with TLS"),
    ("imap", "IMAP with STARTTLS"),
    ("imaps", "IMAP with TLS"),
    ("pop3", "POP3 with STARTTLS"),
    ("pop3s", "POP3 with TLS"),
    ("sieve", "ManageSieve"),
)

COMMANDS = (
    Command(
        ("email", "add"), "ADDRESS [PASSWORD]", "make an account", "email:add",
        (
            *_PASSWORD, Option("--if-not-exists", "an account that exists is fine, and stays"),
            *_NOTES, _REMOVALS, *_EDIT,
        ),
        f"{_ASKED} With --until it is locked at that time.",
    ),
    Command(
        ("email", "update"), "ADDRESS [PASSWORD]", "set the password of an account, or its notes",
        "email:update", (*_PASSWORD, *_NOTES, *_EDIT),
        f"{_ASKED} With --comment or --until alone the password stays.",
    ),
    Command(
        ("email", "del"), "ADDRESS…", "delete accounts", "email:delete", (*_DELETE, *_EDIT),
        "Takes the quota and the address out of every alias with it; an alias left without "
        "recipients goes. The mail stays unless -y is given or the question is answered with y.",
    ),
    Command(
        ("email", "forward"), "ADDRESS [TARGET…]", "send the mail of an account elsewhere",
        "email_show:forward",
        (
            Option("--keep-copy", "also keep a copy"),
            Option("--off", "stop forwarding"),
            *_EDIT,
        ),
        "An alias on the account's own address. The targets take the place of those before.",
    ),
    Command(
        ("email", "rename"), "OLD NEW", "give an account another address, with its mail",
        "email_rename:rename",
        (Option("--no-alias", "nothing of the old address stays"), *_EDIT),
        "Takes the quota, the restrictions, the aliases that lead to it, the mail folder and the "
        "Sieve script along. The old address becomes an alias for the new one.",
    ),
    Command(
        ("email", "password-check"), "ADDRESS", "say by the exit status whether a password is right",
        "password:check",
        (
            Option("--password-stdin", "read the password from standard input, one line"),
            Option("--rehash", "hash it anew if the settings ask for more than its hash is"),
            *_EDIT,
        ),
        "0: it is right. 1: it is wrong, the account is locked or isn't there, or its scheme can't be "
        "checked here. Without --password-stdin it is asked for on the terminal.",
    ),
    Command(
        ("email", "lock"), "ADDRESS", "let nobody log in to an account, which still gets its mail",
        "lock:lock", (*_NOTES, *_EDIT),
        "Its open sessions end. A master may still log in as it.",
    ),
    Command(
        ("email", "unlock"), "ADDRESS", "let an account log in again, with the password that it had",
        "lock:unlock", _EDIT,
    ),
    Command(
        ("email", "show"), "ADDRESS", "everything about one account, but its hash", "email_show:show",
        (_JSON,),
    ),
    Command(("email", "list"), "", "list the accounts, their use and aliases", "email_list:show", (_JSON, _TABLE)),
    Command(
        ("email", "restrict", "add"), "send|receive ADDRESS", "refuse mail from or to an address",
        "email_restrict:restrict", (*_NOTES, *_EDIT), question="Address: ",
    ),
    Command(
        ("email", "restrict", "del"), "send|receive ADDRESS", "let it pass again", "email_restrict:allow",
        _EDIT, question="Address: ",
    ),
    Command(
        ("email", "restrict", "list"), "send|receive [ADDRESS]", "list who is refused",
        "email_restrict:restricted", (_JSON, _TABLE),
    ),
    Command(
        ("alias", "add"), "ALIAS RECIPIENT[,RECIPIENT…]", "add recipients to an alias, new or not",
        "alias:add", (*_NOTES, *_EDIT),
        "ALIAS is user@domain, @domain (a catch-all) or user. With --until all of the "
        "alias goes at that time.",
    ),
    Command(
        ("alias", "del"), "ALIAS RECIPIENT[,RECIPIENT…]", "take recipients out of an alias",
        "alias:delete", _EDIT, "An alias left without recipients goes.",
    ),
    Command(
        ("alias", "list"), "", "list the aliases", "alias_list:show",
        (Option("--of", "what leads to an address, directly and through others", "ADDRESS"), _JSON, _TABLE),
    ),
    Command(
        ("regexp", "add"), "PATTERN RECIPIENT[,RECIPIENT…]",
        "add recipients to a rule by pattern, new or not", "regexp:add", (_COMMENT, *_EDIT),
        "PATTERN is a regular expression as it stands in the file, /^test[0-9]+@example\\.com$/. A "
        "new rule comes last. RECIPIENT may hold $1, what the first group matched. Refused is what "
        "Postfix would skip.",
    ),
    Command(
        ("regexp", "del"), "PATTERN [RECIPIENT[,RECIPIENT…]]", "delete a rule, or recipients of it",
        "regexp:delete", _EDIT, "A rule left without recipients goes.",
    ),
    Command(("regexp", "list"), "", "list the rules by pattern", "regexp:show", (_JSON,)),
    Command(
        ("regexp", "test"), "ADDRESS", "say which rule takes an address; exit 1 if none does, or no mail for it comes in",
        "regexp:test", (_JSON,),
    ),
    Command(
        ("sender", "add"), "ADDRESS AS", "let an account send as another address", "sender:add",
        (_COMMENT, *_EDIT),
        "AS is user@domain, or @domain for whatever in it has no mailbox or alias of its own. As "
        "itself and as the aliases that lead to it an account may send anyway.",
    ),
    Command(
        ("sender", "del"), "ADDRESS AS", "take that right away again", "sender:delete", _EDIT,
    ),
    Command(
        ("sender", "list"), "[ADDRESS]", "list who may send as what, all or one account's",
        "sender:show", (_JSON, _TABLE),
    ),
    Command(
        ("quota", "set"), "ADDRESS SIZE", "limit a mailbox", "quota:put",
        (_COMMENT, *_EDIT),
        "SIZE is an integer with B, k, M, G or T (binary: 5G = 5 GiB), or 0 for unlimited. "
        "On a terminal it is asked for if it is missing.",
        question="Size (5G, 500M, 0 for unlimited): ",
    ),
    Command(
        ("quota", "del"), "ADDRESS", "give a mailbox the server's default again", "quota:delete",
        _EDIT,
    ),
    Command(
        ("quota", "list"), "", "list the use and the limit of each mailbox", "quota_list:show",
        (Option("--sort", "address, use or percent", "BY"), _JSON, _TABLE),
        "In the order of the file; by use or percent the largest first. Without a running server "
        "the limits alone.",
    ),
    Command(
        ("dovecot-master", "add"), "NAME [PASSWORD]", "make a master, who may log in as anybody",
        "dovecot_master:add", (*_PASSWORD, _COMMENT, *_EDIT), _ASKED,
    ),
    Command(
        ("dovecot-master", "update"), "NAME [PASSWORD]", "set the password of a master",
        "dovecot_master:update", (*_PASSWORD, *_EDIT), _ASKED,
    ),
    Command(
        ("dovecot-master", "del"), "NAME…", "delete masters", "dovecot_master:delete",
        (Option("-y", "taken as elsewhere"), Option("-n", "taken as elsewhere"), *_EDIT),
    ),
    Command(("dovecot-master", "list"), "", "list the masters", "dovecot_master:show", (_JSON, _TABLE)),
    Command(
        ("relay", "add-domain"), "DOMAIN HOST [PORT]", "send the mail of a domain through a relay",
        "relay:add_domain", (_COMMENT, *_EDIT),
        "What was said of DOMAIN before is replaced. PORT is 25 unless it is given; on port 465 TLS "
        "is spoken from the first octet.",
    ),
    Command(
        ("relay", "add-auth"), "DOMAIN USER [PASSWORD]", "log in at the relay of a domain",
        "relay:add_auth", (_PASSWORD[0], *_EDIT),
        f"{_ASKED} It is kept in clear, in a file that only its owner reads.",
    ),
    Command(
        ("relay", "exclude-domain"), "DOMAIN", "never relay the mail of a domain",
        "relay:exclude_domain", (_COMMENT, *_EDIT),
        "Its mail goes straight to the recipients' servers, even where there is a relay for all.",
    ),
    Command(
        ("relay", "del"), "DOMAIN", "forget relay and login of a domain", "relay:delete", _EDIT,
    ),
    Command(("relay", "list"), "", "list the relays; no passwords", "relay:show", (_JSON, _TABLE)),
    Command(
        ("sieve", "list"), "", "list the Sieve scripts, and whether they are in force", "sieve:show",
        (_JSON,),
    ),
    Command(
        ("overlay", "list"), "", "list the files of an overlay, and how each differs from its source",
        "overlay:show", (_JSON,),
    ),
    Command(
        ("overlay", "diff"), "[FILE…]", "show what would have to be put into the source",
        "overlay:diff", (_JSON,),
        "- as it is in the source, + as it is here. Hashes of passwords are not shown.",
    ),
    Command(
        ("overlay", "export"), "[FOLDER]", "give out all files as they are here, to put them into the source",
        "overlay:export", (Option("--secret", "print them as a Secret of Kubernetes", "NAME"),),
        "FOLDER is made, and holds hashes of passwords. Without it give --secret.",
    ),
    Command(
        ("overlay", "drop"), "FILE…", "give up what was changed here: files follow the source again",
        "overlay:drop", (_REMOVALS, *_EDIT),
    ),
    Command(
        ("import",), "SOURCE", "take accounts and aliases from a file or a folder",
        "import_export:import_rows",
        (
            _FORMAT,
            Option("--update", "what exists already gets what its row says"),
            Option("--skip-bad", "take the good rows even if others are bad"),
            _SCHEME, _REMOVALS, *_EDIT,
        ),
        "SOURCE is a CSV file, a file of JSON lines, another config folder, or - for standard input. "
        "Nothing is changed if any row is bad; each that is bad is named.",
    ),
    Command(
        ("export",), "[DESTINATION]", "write accounts and aliases to a file, as import reads them",
        "import_export:export_rows",
        (
            _FORMAT,
            Option("--secrets", "with the hashes of the passwords"),
            Option("--force", "write over what is there"),
        ),
        "Without DESTINATION as CSV to standard output. A folder has the hashes in it, and so wants "
        "--secrets.",
    ),
    Command(
        ("explain",), "ADDRESS",
        "say where mail to an address goes, by which line, and what Postfix and Dovecot say of it",
        "explain:show",
        (_JSON, *_PICTURE),
        "Each step, with what was tried before it; the mailboxes and what they hold; whether it can "
        "log in; who may send as it. With a running server every step is compared with the server's "
        "own answers, and the exit status is 1 if they differ.",
    ),
    Command(
        ("map",), "[DOMAIN]", "draw what leads where, for all domains or for one", "explain:draw",
        _PICTURE, "Mailboxes to which nothing leads are drawn as one if they are many.",
    ),
    Command(
        ("log",), "[ADDRESS]", "what was changed in the files, the newest first", "history:log",
        (
            Option("-n", "so many changes at the most (20); 0 for all", "N"),
            Option("--patch", "with the lines that went and came"), _JSON,
        ),
        "With ADDRESS the changes whose command or lines name it.",
    ),
    Command(
        ("undo",), "[ID]", "take back the newest change, or another one", "undo:undo",
        (_REMOVALS, *_EDIT),
        "That is a change too, so undo it to have it again. Refused if the lines that it would "
        "touch were changed since.",
    ),
    Command(
        ("check",), "", "everything that is wrong with the folder; exit 1 on an error",
        "check:check",
        (
            Option("--format", "text, json, github or sarif", "FORMAT"),
            _JSON,
            Option("--strict", "exit 1 on a warning too"),
            Option("--info", "show notes too, which nobody has to fix"),
            Option("--rule", "only these codes, with commas between", "CODE"),
            Option("--ignore", "all but these codes, with commas between", "CODE"),
            Option("--explain", "print the page of a code, and check nothing", "CODE"),
        ),
        "A comment `# mailroster: allow CODE` above an entry, or at the top of a file with an empty "
        "line behind it, allows a finding.",
    ),
    Command(
        ("diff",), "[FOLDER]", "what would change if FOLDER were put in force", "diff:diff",
        (
            Option("--served", "compare with what is served now, not with the config folder"),
            Option("--exit-code", "exit 1 if anything differs"),
            _JSON,
        ),
        "FOLDER is another config folder: a git checkout, a backup. A file that it lacks is taken as "
        "one without entries. Shows what becomes of each file (- as it is now, + as in FOLDER), the "
        "effect, and what is wrong with FOLDER and is not now; an error is exit 1. With --served and "
        "without FOLDER: what of the config folder is not in force yet. Changes nothing.",
    ),
    Command(
        ("apply",), "", "put the folder in force now", "apply:apply",
        (
            Option("--removals", "also the removals that are held back"),
            Option("--verify", "compare every row of every table"),
            Option("--clock-is-right", "put end dates into effect that wait for the clock"),
        ),
    ),
    Command(
        ("adopt",), "FOLDER", "what would be served from the folder of a docker-mailserver",
        "adopt:adopt",
        (
            Option("--mail", "the mail folder, if it is elsewhere", "DIR"),
            Option("--state", "the state folder, if it is elsewhere", "DIR"),
            Option("--strict", "exit 1 also if anything else is to be done"),
            _JSON,
        ),
        "FOLDER is its config folder, the folder with config/ and mail-data/, or that of its compose "
        "project, whose compose.yaml and mailserver.env are read too. Tells what is served, what differs, "
        "what is not done here, and the next command. Needs no server, and changes nothing.",
        folders=OPTIONAL,
    ),
    Command(
        ("up",), "", "run a mail server on this folder until it is told to stop",
        "server:up",
        (
            Option("--layout", "private, or system: in the servers' own places", "LAYOUT"),
            Option("--adopt", "replace existing server files; a backup is kept"),
            Option("--listen", "the address on which all ports listen", "ADDRESS"),
            Option("--hostname", "the name of the server", "NAME"),
            *(Option(f"--{port}-port", f"port of {what}", "PORT") for port, what in _PORTS),
        ),
        "Writes the servers' configuration below the state folder, starts Postfix and Dovecot, "
        "follows edits by hand, restarts what dies, and makes the state folder anew if it is lost. "
        "Stops both on SIGTERM, SIGINT and SIGQUIT; SIGHUP reloads certificates.",
    ),
    Command(
        ("tables",), "", "make the tables for a Postfix and a Dovecot of the host's own, once",
        "host:tables", (),
        "Makes the state folder and the mail folder where they are missing; starts nothing, and "
        "writes no server's configuration (see integrate). The layout is `host` from then on.",
    ),
    Command(
        ("watch",), "", "keep these tables in step until it is told to stop", "host:watch", (),
        "Follows edits by hand, makes the state folder anew if it is lost, and runs the policy "
        "service. Stops on SIGTERM, SIGINT and SIGQUIT; mail goes on "
        "without it.",
    ),
    Command(
        ("integrate",), "", "show what the host's servers lack to read the tables",
        "host_commands:integrate",
        (
            Option("--apply", "write them, with a backup of each file"),
            Option("--undo", "put the files back as they were before"),
            Option("--check", "exit 1 if a file is not as it has to be"),
            Option("--keep-system-users", "let the machine's own users log in as before"),
            Option("--reload", "after it: have the servers that run read them"),
            Option("--force", "with --undo: also a file that was changed since"),
            _JSON,
        ),
        "Prints the settings that Postfix and Dovecot need. With --apply they are written only if both "
        "can read them, and all or none.",
    ),
    Command(
        ("health",), "", "say by the exit status whether SMTP and IMAP answer", "server:health",
    ),
    Command(("status",), "", "what runs, what is live, what is held back", "server:status", (_JSON,)),
    Command(
        ("debug", "login"), VERBATIM, "run a command in the environment of the server, or a shell",
        "debug:login", (),
        "The programs of Postfix and Dovecot (postqueue, postconf, doveadm, …) then work on this "
        "instance, and setup on its folders. COMMAND is a line for the shell; all words behind it "
        "belong to it. The exit status is that of the command.",
    ),
    Command(
        ("debug", "show-mail-logs"), "", "print the mail log of this instance", "debug:show_mail_logs",
    ),
    Command(
        ("completion",), "bash|zsh|fish", "print a script for the shell", "completion:script",
        folders=UNUSED,
    ),
    Command(("version",), "", "print the version", "help:version", folders=UNUSED),
)  # fmt: skip
