"""Outgoing messages of Sieve scripts: redirect, vacation, reject and notify. Pure text.

Dovecot's lmtp runs our `sendmail` (SENDMAIL) as the mail's user, with the account of the script.
That program speaks SMTP over a UNIX socket of Dovecot, to which only the mail's group can connect.
Dovecot runs an smtpd(8) on standard input (`-S`) for each message, with the main.cf of this
Postfix: so no port is open, and no other user of the machine can connect.

The program names the account (XCLIENT LOGIN), and smtpd treats the message as a submission of that
account: relays, restrictions, spoof protection, milters and full mailboxes are the same. Only a
forwarded message gets no signature (DKIM): its author may be a stranger who claims an address of
ours, and a message that one of our users sent has its signature already.

Dovecot treats every error of sendmail as temporary, and would retry for days. So if smtpd rejects a
message permanently, dovecot-lda delivers it, through another socket, to the mailbox of the account:
a message that could not be forwarded, or a rejection that could not be sent. A rejected vacation
reply is only logged, since the message itself is in the mailbox.
"""

import shlex
from collections.abc import Sequence

from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.servers.config import rspamd
from mailroster.servers.config.lookups import lookups, policy

SMTPD = "/usr/lib/postfix/sbin/smtpd"
LDA = "/usr/lib/dovecot/dovecot-lda"
#: From perl-base, an essential package of Debian. It starts in 3 ms. The mail's user can run it;
#: our Python may be in a folder that only root can read.
PERL = "/usr/bin/perl"
_PROCESSES = 100


def sendmail_path(settings: Settings, layout: Layout, user: str) -> str:
    """The value of Dovecot's sendmail_path. `user`: Dovecot's variable for the account."""
    own = "own" if settings.spoof_protection else "any"
    return f"{PERL} {layout.sieve_sendmail} {layout.sieve_mail} {settings.hostname} {own} {user}"


def senders(settings: Settings) -> str:
    """Settings of Pigeonhole. With spoof protection the account is the envelope sender of forwarded
    messages and of notices. By default these have the original sender, which may be forged as
    another account, and the postmaster."""
    if not settings.spoof_protection:
        return ""
    names = ("sieve_redirect_envelope_from", "sieve_notify_mailto_envelope_from")
    return "".join(f"{name} = user_email\n" for name in names)


def services(layout: Layout) -> str:
    """The services of dovecot.conf for the two sockets. They start as root: smtpd as Postfix's
    master would start it, to become Postfix's user before it reads input; dovecot-lda to become
    the mail's user."""
    programs = {"smtpd": layout.sieve_smtpd, "keep": layout.sieve_keep}
    return "".join(
        f"""\
service sieve-{name} {{
  executable = script -p {program}
  client_limit = 1
  process_limit = {_PROCESSES}
  unix_listener {layout.sieve_mail}/{name}.socket {{
    mode = 0666
  }}
}}
"""
        for name, program in programs.items()
    )


def smtpd_script(settings: Settings, layout: Layout, milters: str = "") -> str:
    """The script that Dovecot runs as root for each connection. The first line of its input says
    what follows: `own`, or `forward`, which is not signed. `milters`: the parameter of main.cf with
    the milters of submissions, "" for those of all smtpd(8)."""
    restrictions = [*lookups(settings, layout).senders]
    if settings.spoof_protection:
        restrictions += [policy(layout, "sender"), "reject_authenticated_sender_login_mismatch"]
    options = {
        "syslog_name": "postfix/sieve",
        "smtpd_authorized_xclient_hosts": "127.0.0.1",  # the address of a UNIX socket for smtpd
        "smtpd_upstream_proxy_protocol": "",
        "smtpd_client_event_limit_exceptions": "127.0.0.0/8",
        # XCLIENT LOGIN works only where clients can log in.
        "smtpd_sasl_auth_enable": "yes",
        "smtpd_tls_security_level": "none",
        "smtpd_tls_auth_only": "no",
        "smtpd_delay_reject": "yes",
        "smtpd_client_restrictions": "permit_sasl_authenticated, reject",
        "smtpd_helo_restrictions": "",
        "smtpd_sender_restrictions": ", ".join(restrictions),
        "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
        "smtpd_discard_ehlo_keywords": "",
    }
    if settings.enable_rspamd:
        options[rspamd.MILTER] = ""
    words = [f"{name}={value}" for name, value in options.items()]
    own = f"-o {shlex.quote(f'smtpd_milters=${milters}')}" if milters else ""
    # The maps would sign by the address of the client.
    forward = "-o smtpd_milter_maps=" if milters else ""
    return f"""\
#!/bin/sh
# Written by mailroster: changes made here are lost.
IFS= read -r kind || exit 1
case $kind in
own) set -- {own} ;;
forward) set -- {forward} ;;
*) exit 1 ;;
esac
MAIL_CONFIG={shlex.quote(layout.postfix)} exec {SMTPD} -S -u "$@" \\
  {" ".join(f"-o {shlex.quote(word)}" for word in words)}
"""


def keep_script(layout: Layout, options: Sequence[str]) -> str:
    """The script that Dovecot runs as root to keep a message. Its input is the account in a line,
    then the message; it prints a line once the message is in the INBOX. `options`: those of
    Dialect.no_sieve."""
    words = " ".join(f"-o {shlex.quote(option)}" for option in options)
    return f"""\
#!/bin/sh
# Written by mailroster: changes made here are lost.
IFS= read -r account || exit 1
case $account in
-*) exit 1 ;;
?*@?*) ;;
*) exit 1 ;;
esac
{LDA} -c {shlex.quote(layout.dovecot_conf)} -d "$account" -e {words} && echo kept
"""


#: Run as `perl sendmail FOLDER HELO own|any ACCOUNT -i -f SENDER -- RECIPIENT…`, with the message
#: as input. It exits with 0 if Postfix has accepted the message, or has rejected it and it is not
#: lost. Otherwise it exits with 1, and Postfix retries the delivery. If a message is not sent, it
#: writes a line to stderr, which Dovecot logs.
SENDMAIL = r"""# Written by mailroster: changes made here are lost.
# Sends a message of a Sieve script to Postfix. Arguments: FOLDER HELO own|any ACCOUNT -i -f SENDER
# -- RECIPIENT...; `own`: From may contain only the account and the addresses that lead to it.
use strict;
use warnings;
use Socket;

my ($folder, $helo, $whose, $account, @rest) = @ARGV;
my ($sender, @recipients);
while (@rest) {
    my $word = shift @rest;
    if ($word eq '-f') { $sender = shift @rest; }
    elsif ($word eq '--') { @recipients = @rest; last; }
}

# A temporary failure: Postfix keeps the message in its queue.
sub later { print STDERR "not sent for $account, tried again later: $_[0]\n"; exit 1; }
later('no sender or recipient') if !@recipients || !defined $sender;
$sender =~ s/^<|>$//g;
binmode STDIN;
my $message = do { local $/; <STDIN> };
later('no message') if !defined $message;
$SIG{ALRM} = sub { later('the server does not answer') };
$SIG{PIPE} = 'IGNORE';
alarm 240;

my ($header) = $message =~ /\A(.*?\n)(?:\r?\n|\z)/s;
$header = '' if !defined $header;
$header =~ s/\r?\n[ \t]+/ /g;
my @fields = split /\r?\n/, $header;
# From has the author of a forwarded message, and the postmaster in a rejection. Pigeonhole writes
# the headers that mark these before all headers that a script may write.
my $forwarded = grep { defined && /^X-Sieve-Redirected-From:/i } @fields[0, 1];
my ($automatic) = grep { /^Auto-Submitted\s*:/i } @fields;
my $scripted = @fields && $fields[0] =~ /^X-Sieve:/i;
my $rejected = !$scripted && defined $automatic && $automatic =~ /:\s*auto-replied \(rejected\)/i;

sub connected {
    my $path = "$folder/$_[0].socket";
    socket(my $end, PF_UNIX, SOCK_STREAM, 0) or later("socket: $!");
    connect($end, sockaddr_un($path)) or later("$path: $!");
    binmode $end;
    select((select($end), $| = 1)[0]);
    return $end;
}

# A permanent failure. A message that would be lost is put into the mailbox of the account.
sub refused {
    print STDERR "not sent for $account: $_[0]\n";
    exit 0 if !$forwarded && !$rejected;
    my $mailbox = connected('keep');
    print $mailbox "$account\n$message";
    shutdown $mailbox, 1;
    my $answer = <$mailbox>;
    later('it could not be kept in the mailbox') if !defined $answer || $answer ne "kept\n";
    exit 0;
}
for my $word ($sender, @recipients) {
    refused('a control character in an address') if $word =~ /[\x00-\x1f\x7f]/;
}

my $postfix = connected('smtpd');
print $postfix $forwarded ? "forward\n" : "own\n";

# Reads an answer. Its code must begin with the given digit.
sub answer {
    my ($expected) = @_;
    my $line;
    do {
        $line = <$postfix>;
        later('Postfix ended the connection') if !defined $line;
    } while $line =~ /^\d{3}-/;
    $line =~ s/\s+\z//;
    return if $line =~ /^$expected/;
    refused($line) if $line =~ /^5/;
    later($line);
}

sub command { print $postfix "$_[0]\r\n"; answer($_[1]); }

my $more = ($message =~ /[^\x00-\x7f]/ ? ' BODY=8BITMIME' : '') . ' SIZE=' . length $message;

sub envelope {
    my ($from, @to) = @_;
    command("MAIL FROM:<$from>$more", 2);
    command("RCPT TO:<$_>", 2) for @to;
}

answer(2);
command("EHLO $helo", 2);
# A rejection is not from the account, which may be forbidden to send.
my $login = $rejected ? "postmaster\@$helo" : $account;
$login =~ s/([^!-*,-<>-~])/sprintf '+%02X', ord $1/ge;
command("XCLIENT LOGIN=$login", 2);
command("EHLO $helo", 2);

if ($whose eq 'own' && !$forwarded && !$rejected) {
    for my $field (grep { /^(?:Resent-)?(?:From|Sender)\s*:/i } @fields) {
        (my $value = $field) =~ s/^[^:]*://;
        $value =~ s/"(?:[^"\\]|\\.)*"(?!\s*@)//g;
        $value =~ s/["\\]//g;
        1 while $value =~ s/\([^()]*\)//;
        $value =~ s/\s*([@.])\s*/$1/g;
        my @authors = $value =~ /([^\s<>(),;:]+@[^\s<>(),;:]+)/g;
        refused("no address in '$field'") if !@authors;
        for my $author (@authors) {
            envelope($author, $recipients[0]);
            command('RSET', 2);
        }
    }
}
envelope($sender, @recipients);
command('DATA', 3);
(my $data = $message) =~ s/\r?\n/\r\n/g;
$data .= "\r\n" if $data !~ /\r\n\z/;
$data =~ s/^\./../mg;
print $postfix $data;
command('.', 2);
print $postfix "QUIT\r\n";
exit 0;
"""
