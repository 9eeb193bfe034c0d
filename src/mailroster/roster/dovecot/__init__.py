"""The extra fields of an account, in the words of each version of Dovecot. Pure."""
