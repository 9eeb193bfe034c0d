"""Postfix and Dovecot: their configuration, their programs, their files, their mailboxes."""
