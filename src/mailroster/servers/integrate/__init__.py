"""Our settings in the Postfix and Dovecot that an administrator configures."""
