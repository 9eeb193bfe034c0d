"""The versions of Dovecot, and the form of extra fields in each."""

from mailroster.roster.dovecot.fields import Form

#: The oldest first.
VERSIONS = ("2.3", "2.4")


def form(version: str) -> Form:
    """The form of a version, one of VERSIONS."""
    if version == "2.3":
        from mailroster.roster.dovecot import fields_2_3

        return fields_2_3
    from mailroster.roster.dovecot import fields_2_4

    return fields_2_4
