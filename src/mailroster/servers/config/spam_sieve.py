"""Sieve scripts for spam (RFC 5228): one that files it into Junk, and two that tell Rspamd what a
user moves into Junk or out of it (RFC 6785). Pure text.

Dovecot runs a script of ours for each moved message, which hands it to Rspamd on standard input.
Only scripts of ours may run a program, and only that one. It gets the message from Dovecot, so a
user can teach Rspamd only messages of the own mailbox.
"""

from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.servers.config.sieve_mail import PERL

#: The names of the scripts.
JUNK, SPAM, HAM = "junk", "learn-spam", "learn-ham"
#: The program that Dovecot runs.
PROGRAM = "rspamd-learn"
FOLDER = "Junk"
_LEARNED_MAX = "10M"


def is_learning(settings: Settings) -> bool:
    """Whether Rspamd learns from moved messages. It keeps what it has learned in Redis."""
    return settings.enable_rspamd and bool(settings.rspamd_redis)


def imap_plugins(settings: Settings) -> list[str]:
    """The plugin of Dovecot that runs scripts for moved messages."""
    return ["imap_sieve"] if is_learning(settings) else []


def scripts(settings: Settings) -> dict[str, str]:
    """The scripts by name."""
    if not settings.enable_rspamd:
        return {}
    result = {JUNK: _JUNK}
    if is_learning(settings):
        result |= {SPAM: _learning("spam", ""), HAM: _learning("ham", _NOT_TO_TRASH)}
    return result


_HEADER = "# Written by mailroster: changes made here are lost.\n"
_JUNK = f"""\
{_HEADER}\
require ["fileinto", "mailbox"];
if header :is "X-Spam" "Yes" {{
  fileinto :create "{FOLDER}";
  stop;
}}
"""
_NOT_TO_TRASH = 'if environment :is "imap.mailbox" "Trash" {\n  stop;\n}\n'


def _learning(kind: str, condition: str) -> str:
    return f"""\
{_HEADER}\
require ["copy", "environment", "imapsieve", "variables", "vnd.dovecot.pipe"];
{condition}if size :over {_LEARNED_MAX} {{
  stop;
}}
if environment :matches "imap.user" "*" {{
  set "user" "${{1}}";
}}
pipe :copy :try "{PROGRAM}" ["{kind}", "${{user}}"];
"""


def settings_2_3(settings: Settings, layout: Layout) -> str:
    """Lines for the block `plugin` of Dovecot 2.3."""
    if not settings.enable_rspamd:
        return ""
    folder = layout.spam_sieve
    junk = f"  sieve_before2 = {folder}/{JUNK}.sieve\n"
    if not is_learning(settings):
        return junk
    return f"""\
{junk}  sieve_plugins = sieve_imapsieve sieve_extprograms
  sieve_global_extensions = +vnd.dovecot.pipe
  sieve_pipe_bin_dir = {layout.spam_programs}
  imapsieve_mailbox1_name = {FOLDER}
  imapsieve_mailbox1_causes = COPY
  imapsieve_mailbox1_before = file:{folder}/{SPAM}.sieve
  imapsieve_mailbox2_name = *
  imapsieve_mailbox2_from = {FOLDER}
  imapsieve_mailbox2_causes = COPY
  imapsieve_mailbox2_before = file:{folder}/{HAM}.sieve
"""


def settings_2_4(settings: Settings, layout: Layout) -> str:
    """Settings of Dovecot 2.4."""
    if not settings.enable_rspamd:
        return ""
    folder = layout.spam_sieve
    junk = f"sieve_script {JUNK} {{\n  type = before\n  path = {folder}/{JUNK}.sieve\n}}\n"
    if not is_learning(settings):
        return junk
    return f"""\
{junk}sieve_plugins {{
  sieve_imapsieve = yes
  sieve_extprograms = yes
}}
sieve_global_extensions {{
  vnd.dovecot.pipe = yes
}}
sieve_pipe_bin_dir = {layout.spam_programs}
mailbox {FOLDER} {{
  sieve_script {SPAM} {{
    type = before
    cause = copy
    path = {folder}/{SPAM}.sieve
  }}
}}
imapsieve_from {FOLDER} {{
  sieve_script {HAM} {{
    type = before
    cause = copy
    path = {folder}/{HAM}.sieve
  }}
}}
"""


def program(layout: Layout) -> str:
    """The program that Dovecot runs as the mail's user: `rspamd-learn spam|ham ACCOUNT`, with the
    message as input. It never waits long: Rspamd may hang. Its errors go to Dovecot's log."""
    return f"#!{PERL}\n{_PROGRAM}".replace("__SOCKET__", layout.filter_control)


_PROGRAM = r"""# Written by mailroster: changes made here are lost.
# Hands a message to Rspamd. Arguments: spam|ham ACCOUNT.
use strict;
use warnings;
use Socket;

my ($kind, $account) = @ARGV;
sub failed { print STDERR "Rspamd has not learned a message as $kind: $_[0]\n"; exit 1; }
exit 2 if !defined $account || $kind !~ /\A(spam|ham)\z/;
failed('a control character in the account') if $account =~ /[\x00-\x1f\x7f]/;
$SIG{ALRM} = sub { failed('it does not answer') };
$SIG{PIPE} = 'IGNORE';
alarm 4;

binmode STDIN;
my $message = do { local $/; <STDIN> };
failed('no message') if !defined $message;
socket(my $rspamd, PF_UNIX, SOCK_STREAM, 0) or failed("socket: $!");
connect($rspamd, sockaddr_un('__SOCKET__')) or failed("its socket: $!");
binmode $rspamd;
select((select($rspamd), $| = 1)[0]);
print $rspamd "POST /learn$kind HTTP/1.0\r\nDeliver-To: $account\r\n",
    'Content-Length: ', length $message, "\r\n\r\n", $message;
my $status = <$rspamd>;
failed('it has closed the connection') if !defined $status;
# 208: it has learned this message before.
exit 0 if $status =~ m{\AHTTP/\S+ 20[08] };
my $answer = do { local $/; <$rspamd> };
my ($reason) = defined $answer ? $answer =~ /"error":"([^"]{1,200})/ : ();
$status =~ s/[^ -~]//g;
failed(defined $reason ? $reason : $status);
"""
