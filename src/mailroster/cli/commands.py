"""The table of all commands, for the parser, the help, the completions and the docs."""

from mailroster.cli.grammar import OPTIONAL, UNUSED, VERBATIM, Command, Option

_DRY_RUN = Option("--dry-run", "show the change and its effect; change nothing")
_NO_WAIT = Option("--no-wait", "don't publish the change; the running server does it")
_KEYSIZE = Option("--keysize", "1024, 2048 or 4096 bits; 2048 by default", "N")
_JSON = Option("--json", "print JSON")
_TABLE = Option("--table", "print columns; if not on a terminal, with tabs between them")
_EDIT = (_DRY_RUN, Option("--json", "with --dry-run: print JSON"), _NO_WAIT)
_REMOVALS = Option("--removals", "also remove the accounts of a lost accounts file")
_SCHEME = Option("--scheme", "SHA512-CRYPT, BLF-CRYPT or ARGON2ID", "SCHEME")
_PASSWORD = (
    Option("--password-stdin", "read the password from standard input, one line"),
    Option("--generate", "generate a password, and print it once"),
    Option("--hash", "set this hash instead of a password", "{SCHEME}HASH"),
    _SCHEME,
)
_COMMENT = Option("--comment", "a comment above the entry; '' removes it", "TEXT")
_UNTIL = Option("--until", "2026-12-31, 2026-12-31T18:00, 30d, 12h; '' for no end", "WHEN")
_NOTES = (_COMMENT, _UNTIL)
_FORMAT = Option("--format", "csv, jsonl or folder; by default from the name", "FORMAT")
_PICTURE = (
    Option("--svg", "draw into a file; - for standard output", "FILE"),
    Option("--dot", "print the graph in the language of Graphviz"),
)
_DELETE = (Option("-y", "delete the mail too"), Option("-n", "keep the mail; don't ask"))
_PROMPT = (
    "Without PASSWORD the command asks for it twice on the terminal, without echo. Every user of the "
    "machine can see a password on the command line while the command runs; on a terminal the command "
    "warns of this."
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
        ("email", "add"), "ADDRESS [PASSWORD]", "add an account", "email:add",
        (
            *_PASSWORD, Option("--if-not-exists", "if the account exists, keep it and exit with 0"),
            *_NOTES, _REMOVALS, *_EDIT,
        ),
        f"{_PROMPT} With --until the account is locked at that time.",
    ),
    Command(
        ("email", "update"), "ADDRESS [PASSWORD]", "set the password or the notes of an account",
        "email:update", (*_PASSWORD, *_NOTES, *_EDIT),
        f"{_PROMPT} With only --comment or --until the password stays.",
    ),
    Command(
        ("email", "del"), "ADDRESS…", "delete accounts", "email:delete", (*_DELETE, *_EDIT),
        "Deletes the quota too, and removes the address from all aliases; an alias without recipients is "
        "deleted. The mail is kept unless you give -y or answer y.",
    ),
    Command(
        ("email", "forward"), "ADDRESS [TARGET…]", "forward the mail of an account",
        "email_show:forward",
        (
            Option("--keep-copy", "deliver a copy to the account as well"),
            Option("--off", "stop forwarding"),
            *_EDIT,
        ),
        "A forward is an alias of the account's own address. The new targets replace the old ones.",
    ),
    Command(
        ("email", "rename"), "OLD NEW", "change the address of an account; keep its mail",
        "email_rename:rename",
        (Option("--no-alias", "add no alias for the old address"), *_EDIT),
        "Renames the quota, the restrictions, the aliases that lead to the account, the mail folder and "
        "the Sieve script too. The old address becomes an alias for the new one.",
    ),
    Command(
        ("email", "password-check"), "ADDRESS", "check a password; the exit status is the result",
        "email:check_password",
        (
            Option("--password-stdin", "read the password from standard input, one line"),
            Option("--rehash", "replace the hash if it is weaker than the settings require"),
            *_EDIT,
        ),
        "0: the password is right. 1: it is wrong, the account is locked or does not exist, or its scheme "
        "can't be checked here. Without --password-stdin the command asks for it on the terminal.",
    ),
    Command(
        ("email", "lock"), "ADDRESS", "forbid the login to an account; mail still arrives",
        "email:lock", (*_NOTES, *_EDIT),
        "Open sessions end. A master may still log in as the account.",
    ),
    Command(
        ("email", "unlock"), "ADDRESS", "allow the login again; the password is unchanged",
        "email:unlock", _EDIT,
    ),
    Command(
        ("email", "show"), "ADDRESS", "show one account, without its hash", "email_show:show",
        (_JSON,),
    ),
    Command(("email", "list"), "", "list the accounts with their use and aliases", "email_list:show", (_JSON, _TABLE)),
    Command(
        ("email", "app-password", "add"), "ADDRESS LABEL",
        "generate a password for one device or program", "app_password:add",
        (
            Option("--for", "what it opens: imap,smtp,pop3,sieve; all by default", "PROTOCOLS"),
            Option("--until", "2026-12-31, 2026-12-31T18:00, 30d, 12h", "WHEN"),
            Option("--allow-nets", "only from these: 192.0.2.0/24,2001:db8::/32", "NETWORKS"),
            _COMMENT, *_EDIT,
        ),
        "Prints the password once; the file has only its digest. smtp is submission, sieve is ManageSieve. "
        "LABEL is the name of the device: letters, digits and . - _",
    ),
    Command(
        ("email", "app-password", "del"), "ADDRESS LABEL…", "delete app passwords of an account",
        "app_password:delete", _EDIT, "Open sessions of the account end; its other clients reconnect.",
    ),
    Command(
        ("email", "app-password", "list"), "[ADDRESS]", "list the app passwords of all accounts, or of one",
        "app_password:show", (_JSON, _TABLE),
    ),
    Command(
        ("email", "restrict", "add"), "send|receive ADDRESS", "refuse mail from or to an address",
        "email_restrict:restrict", (*_NOTES, *_EDIT), question="Address: ",
    ),
    Command(
        ("email", "restrict", "del"), "send|receive ADDRESS", "delete a restriction", "email_restrict:allow",
        _EDIT, question="Address: ",
    ),
    Command(
        ("email", "restrict", "list"), "send|receive [ADDRESS]", "list the restrictions",
        "email_restrict:show", (_JSON, _TABLE),
    ),
    Command(
        ("alias", "add"), "ALIAS RECIPIENT[,RECIPIENT…]", "add an alias, or recipients to it",
        "alias:add", (*_NOTES, *_EDIT),
        "ALIAS is user@domain, @domain (a catch-all) or user. With --until the whole "
        "alias is deleted at that time.",
    ),
    Command(
        ("alias", "del"), "ALIAS RECIPIENT[,RECIPIENT…]", "delete recipients of an alias",
        "alias:delete", _EDIT, "An alias without recipients is deleted.",
    ),
    Command(
        ("alias", "list"), "", "list the aliases", "alias:show",
        (Option("--of", "only entries that lead to this address, directly or not", "ADDRESS"), _JSON, _TABLE),
    ),
    Command(
        ("regexp", "add"), "PATTERN RECIPIENT[,RECIPIENT…]",
        "add a rule by pattern, or recipients to it", "regexp:add", (_COMMENT, *_EDIT),
        "PATTERN is a regular expression as in the file, /^test[0-9]+@example\\.com$/. A new rule comes "
        "last. RECIPIENT may contain $1, the match of the first group. A rule that Postfix would skip "
        "is refused.",
    ),
    Command(
        ("regexp", "del"), "PATTERN [RECIPIENT[,RECIPIENT…]]", "delete a rule by pattern, or recipients of it",
        "regexp:delete", _EDIT, "A rule without recipients is deleted.",
    ),
    Command(("regexp", "list"), "", "list the rules by pattern", "regexp:show", (_JSON,)),
    Command(
        ("regexp", "test"), "ADDRESS", "show which rule matches an address",
        "regexp:test", (_JSON,),
        "The exit status is 1 if no rule matches, or if Postfix accepts no mail for the domain.",
    ),
    Command(
        ("sender", "add"), "ADDRESS AS", "let an account send as another address", "sender:add",
        (_COMMENT, *_EDIT),
        "AS is user@domain, or @domain for all addresses of a domain that have no mailbox and no alias. "
        "An account may always send as itself and as the aliases that lead to it.",
    ),
    Command(
        ("sender", "del"), "ADDRESS AS", "delete the right to send as another address", "sender:delete", _EDIT,
    ),
    Command(
        ("sender", "list"), "[ADDRESS]", "list the rights of all accounts, or of one",
        "sender:show", (_JSON, _TABLE),
    ),
    Command(
        ("quota", "set"), "ADDRESS SIZE", "set the limit of a mailbox", "quota:put",
        (_COMMENT, *_EDIT),
        "SIZE is an integer with B, k, M, G or T (binary: 5G = 5 GiB), or 0 for unlimited. "
        "Without SIZE the command asks for it on the terminal.",
        question="Size (5G, 500M, 0 for unlimited): ",
    ),
    Command(
        ("quota", "del"), "ADDRESS", "delete the limit; the server's default applies again", "quota:delete",
        _EDIT,
    ),
    Command(
        ("quota", "list"), "", "list the use and the limit of each mailbox", "quota:show",
        (Option("--sort", "address, use or percent", "BY"), _JSON, _TABLE),
        "In the order of the file; with --sort use or percent the largest first. Without a running server "
        "only the limits are shown.",
    ),
    Command(
        ("dovecot-master", "add"), "NAME [PASSWORD]", "add a master, who may log in as any account",
        "dovecot_master:add", (*_PASSWORD, _COMMENT, *_EDIT), _PROMPT,
    ),
    Command(
        ("dovecot-master", "update"), "NAME [PASSWORD]", "set the password of a master",
        "dovecot_master:update", (*_PASSWORD, *_EDIT), _PROMPT,
    ),
    Command(
        ("dovecot-master", "del"), "NAME…", "delete masters", "dovecot_master:delete",
        (Option("-y", "accepted, without effect"), Option("-n", "accepted, without effect"), *_EDIT),
    ),
    Command(("dovecot-master", "list"), "", "list the masters", "dovecot_master:show", (_JSON, _TABLE)),
    Command(
        ("relay", "add-domain"), "DOMAIN HOST [PORT]", "send the mail of a domain through a relay",
        "relay:add_domain", (_COMMENT, *_EDIT),
        "Replaces the previous relay of DOMAIN. PORT is 25 by default; on port 465 the connection begins "
        "with TLS.",
    ),
    Command(
        ("relay", "add-auth"), "DOMAIN USER [PASSWORD]", "set the login at the relay of a domain",
        "relay:add_auth", (_PASSWORD[0], *_EDIT),
        f"{_PROMPT} The password is stored in clear, in a file that only its owner can read.",
    ),
    Command(
        ("relay", "exclude-domain"), "DOMAIN", "never relay the mail of a domain",
        "relay:exclude_domain", (_COMMENT, *_EDIT),
        "Its mail goes directly to the servers of the recipients, even if there is a relay for all mail.",
    ),
    Command(
        ("relay", "del"), "DOMAIN", "delete the relay and the login of a domain", "relay:delete", _EDIT,
    ),
    Command(("relay", "list"), "", "list the relays, without passwords", "relay:show", (_JSON, _TABLE)),
    Command(
        ("block", "add"), "ADDRESS", "forbid the login to a client", "block:add",
        (Option("--until", "2026-12-31, 2026-12-31T18:00, 30d, 12h", "WHEN"),),
        "ADDRESS is an IP address; of an IPv6 address its /64 is blocked. In force at the next login. "
        "Needs the setting block_guessing.",
    ),
    Command(
        ("block", "del"), "ADDRESS", "allow the login to a client again", "block:delete",
        (), "Also ends a block that began because the client guessed passwords.",
    ),
    Command(
        ("block", "list"), "", "list the clients that may not log in", "block:show", (_JSON, _TABLE),
    ),
    Command(
        ("sieve", "list"), "", "list the Sieve scripts, and whether they are live", "sieve:show",
        (_JSON,),
    ),
    Command(
        ("overlay", "list"), "", "list the files, and how each differs from its source",
        "overlay:show", (_JSON,),
    ),
    Command(
        ("overlay", "diff"), "[FILE…]", "show the local changes as a patch for the source",
        "overlay:diff", (_JSON,),
        "- is a line of the source, + a line of the overlay. Hashes of passwords are not shown.",
    ),
    Command(
        ("overlay", "export"), "[FOLDER]", "write all files as they are here, for the source",
        "overlay:export", (Option("--secret", "print the files as a Secret of Kubernetes", "NAME"),),
        "Creates FOLDER, which then contains hashes of passwords. Give FOLDER or --secret.",
    ),
    Command(
        ("overlay", "drop"), "FILE…", "drop the local changes of files: they follow the source again",
        "overlay:drop", (_REMOVALS, *_EDIT),
    ),
    Command(
        ("config", "dkim"), "[WORD…]", "create the missing DKIM keys, and print their DNS records",
        "dkim:make",
        (
            _KEYSIZE,
            Option("--keytype", "rsa or ed25519; rsa by default", "TYPE"),
            Option("--selector", "the name of the key in DNS; mail by default", "NAME"),
            Option("--domain", "only these domains, separated by commas", "DOMAINS"),
            _JSON,
        ),
        "Without a domain: for all domains of accounts and aliases. An existing key stays, and its record is "
        "printed. The options may also be words, as in docker-mailserver: keysize 2048 domain example.com. "
        "A new key signs at once, if the server runs.",
    ),
    Command(
        ("dkim", "rotate"), "DOMAIN", "replace the DKIM key of a domain by a new one, step by step",
        "dkim:rotate",
        (
            Option("--keytype", "which key of the domain: rsa or ed25519; rsa if there is one", "TYPE"),
            Option("--selector", "the name of the new key; by default year and month", "NAME"),
            _KEYSIZE,
            _JSON,
        ),
        "Creates a key with a new selector and prints its record. The new key signs as soon as DNS has the "
        "record; seven days later the old key is removed. The running server does both; repeat the command "
        "to see where it is.",
    ),
    Command(
        ("import",), "SOURCE", "import accounts and aliases from a file or a folder",
        "import_export:import_rows",
        (
            _FORMAT,
            Option("--update", "change existing entries as their rows say"),
            Option("--skip-bad", "import the good rows even if others are bad"),
            _SCHEME, _REMOVALS, *_EDIT,
        ),
        "SOURCE is a CSV file, a file of JSON lines, another config folder, or - for standard input. "
        "If any row is bad, nothing is changed and all bad rows are reported.",
    ),
    Command(
        ("export",), "[DESTINATION]", "export accounts and aliases in a format of import",
        "import_export:export_rows",
        (
            _FORMAT,
            Option("--secrets", "include the hashes of the passwords"),
            Option("--force", "overwrite existing files"),
        ),
        "Without DESTINATION prints CSV to standard output. A folder contains the hashes, so it needs "
        "--secrets.",
    ),
    Command(
        ("explain",), "ADDRESS",
        "show where mail to an address goes, and by which lines",
        "explain:show",
        (_JSON, *_PICTURE),
        "Shows each step, and the lookups without a match before it; the mailboxes and their use; whether "
        "the address can log in; who may send as it. With a running server each step is compared with "
        "the answers of Postfix and Dovecot; the exit status is 1 if they differ.",
    ),
    Command(
        ("map",), "[DOMAIN]", "draw a map of the mail routes, of all domains or of one", "explain:draw",
        _PICTURE, "Many mailboxes without an alias are drawn as one node.",
    ),
    Command(
        ("dns",), "DOMAIN", "show the DNS records that a domain needs; check those that it has",
        "dns:show",
        (
            Option("--check", "ask the name servers; report faults"),
            Option("--zone", "print lines for a zone file"),
            _JSON,
            Option("--address", "public addresses of this server, with commas", "IP"),
            Option("--hostname", "the name of the server", "NAME"),
            Option("--info", "also show notes, which need no fix"),
            Option("--ignore", "hide these codes, with commas", "CODE"),
            Option("--server", "ask this name server instead", "IP[:PORT]"),
        ),
        "Uses no network without --check. With --check the exit status is 1 if there is an error or a "
        "warning; 'setup check --explain CODE' prints the page of a code.",
    ),
    Command(
        ("log",), "[ADDRESS]", "list the changes of the files, the newest first", "history:log",
        (
            Option("-n", "how many changes to show; 20 by default, 0 for all", "N"),
            Option("--patch", "also show the removed and the added lines"), _JSON,
        ),
        "With ADDRESS only changes whose command or lines contain it.",
    ),
    Command(
        ("undo",), "[ID]", "undo the newest change, or the one with this ID", "history:undo",
        (_REMOVALS, *_EDIT),
        "The undo is a change too: undo it to redo the first one. Refused if a later change has touched the "
        "same lines.",
    ),
    Command(
        ("check",), "", "report the mistakes in the config folder",
        "check:check",
        (
            Option("--format", "text, json, github or sarif", "FORMAT"),
            _JSON,
            Option("--strict", "exit with 1 on a warning too"),
            Option("--info", "also show notes, which need no fix"),
            Option("--rule", "show only these codes, separated by commas", "CODE"),
            Option("--ignore", "hide these codes, separated by commas", "CODE"),
            Option("--explain", "print the page of a code; check nothing", "CODE"),
        ),
        "The exit status is 1 if there is an error. A comment `# mailroster: allow CODE` above an entry, or "
        "at the top of a file with an empty line after it, allows a finding.",
    ),
    Command(
        ("diff",), "[FOLDER]", "show what would change if FOLDER were published", "diff:diff",
        (
            Option("--served", "compare with the served files, not with the config folder"),
            Option("--exit-code", "exit with 1 if anything differs"),
            _JSON,
        ),
        "FOLDER is another config folder, such as a git checkout or a backup. A missing file counts as "
        "empty. Shows the change of each file (- is a current line, + a line of FOLDER), the effect, and "
        "the findings that FOLDER adds; the exit status is 1 if one of these is an error. With --served "
        "and without FOLDER: shows which changes of the config folder are not live yet. Changes nothing.",
    ),
    Command(
        ("apply",), "", "publish the config folder now", "apply:apply",
        (
            Option("--removals", "also apply the removals that wait"),
            Option("--verify", "compare every row of every table"),
            Option("--clock-is-right", "the clock is right: apply the end dates that wait"),
        ),
    ),
    Command(
        ("adopt",), "FOLDER", "show how a folder of docker-mailserver would be served",
        "adopt:adopt",
        (
            Option("--mail", "the mail folder, if it is elsewhere", "DIR"),
            Option("--state", "the state folder, if it is elsewhere", "DIR"),
            Option("--strict", "exit with 1 also if anything else is to be done"),
            _JSON,
        ),
        "FOLDER is the config folder, the folder with config/ and mail-data/, or the folder of the "
        "compose project, whose compose.yaml and mailserver.env are read too. Shows what is served, what "
        "differs, what is not supported, and the next command. Needs no server; changes nothing.",
        folders=OPTIONAL,
    ),
    Command(
        ("up",), "", "run a mail server on this folder until it is stopped",
        "server:up",
        (
            Option("--layout", "private, or system: the usual folders of the servers", "LAYOUT"),
            Option("--adopt", "replace existing files of the servers; keep a backup"),
            Option("--listen", "the address on which all ports listen", "ADDRESS"),
            Option("--hostname", "the name of the server", "NAME"),
            *(Option(f"--{port}-port", f"port of {what}", "PORT") for port, what in _PORTS),
        ),
        "Writes the configuration of the servers below the state folder, starts Postfix and Dovecot, "
        "publishes edits by hand, restarts processes that die, and creates the state folder again if it is lost. "
        "Stops both on SIGTERM, SIGINT and SIGQUIT; SIGHUP reloads certificates.",
    ),
    Command(
        ("filter",), "", "run the spam filter alone, for an `up` in another container",
        "server:spam_filter", (),
        "Runs Rspamd for an `up` that has the setting rspamd_process off, and shares the state folder "
        "and the config folder with it. Stops on SIGTERM, SIGINT and SIGQUIT; mail is then accepted "
        "without a check.",
    ),
    Command(
        ("tables",), "", "create the tables for the host's own servers, once",
        "host_commands:tables", (),
        "Creates the state folder and the mail folder if they are missing. Starts no server and writes no "
        "configuration of a server (see integrate). The layout is `host` from then on.",
    ),
    Command(
        ("watch",), "", "keep the tables for the host's own servers up to date", "host_commands:watch", (),
        "Publishes edits by hand, creates the state folder again if it is lost, and runs the policy "
        "service. Stops on SIGTERM, SIGINT and SIGQUIT; the mail servers work without it.",
    ),
    Command(
        ("integrate",), "", "show the settings that the host's own servers need",
        "host_commands:integrate",
        (
            Option("--apply", "write them, with a backup of each file"),
            Option("--undo", "restore the files from before"),
            Option("--check", "exit with 1 if a file has to change"),
            Option("--keep-system-users", "let the system users of the machine log in as before"),
            Option("--reload", "then reload the running servers"),
            Option("--force", "with --undo: also restore files that were changed since"),
            _JSON,
        ),
        "Prints the settings that Postfix and Dovecot need to read the tables. --apply writes all of them or "
        "none, and only if both servers can read them.",
    ),
    Command(
        ("health",), "", "check that SMTP and IMAP answer; exit with 1 if not", "server:health",
    ),
    Command(("status",), "", "show what runs, what is live, and what waits", "server:status", (_JSON,)),
    Command(
        ("debug", "login"), VERBATIM, "run a shell or a command in the server's environment",
        "debug:login", (),
        "There the programs of Postfix and Dovecot (postqueue, postconf, doveadm, …) use this instance, and "
        "setup uses its folders. COMMAND is a line for the shell; all words after it belong to it. The "
        "exit status is that of the command.",
    ),
    Command(
        ("debug", "show-mail-logs"), "", "print the mail log of this instance", "debug:show_mail_logs",
    ),
    Command(
        ("completion",), "bash|zsh|fish", "print a completion script for the shell", "completion:script",
        folders=UNUSED,
    ),
    Command(("version",), "", "print the version", "help:version", folders=UNUSED),
)  # fmt: skip
