"""The configuration of Dovecot 2.3 and 2.4 as text."""
