"""Mail accounts in plain text files, live on a real Postfix and Dovecot."""

__version__ = "0.1.0"
