"""Attacks by the owner of the mail (uid 5000), and by the users `dovecot` and `postfix`."""
