"""The files of a private instance: a whole Postfix and a whole Dovecot below the state folder."""
