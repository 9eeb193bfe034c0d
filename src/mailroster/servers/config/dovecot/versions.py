"""What differs between the versions of Dovecot, but for the rows: a module for each."""

from collections.abc import Mapping
from typing import Protocol

from mailroster.base.layout import Layout
from mailroster.base.settings import Settings


class Dialect(Protocol):
    """The configuration of one version: a module."""

    #: A configuration in which nothing stands, for programs that want one.
    MINIMAL: str
    #: The option of dovecot-lda with which no quota is enforced.
    NOT_ENFORCED: str
    #: Settings that an override had better leave alone.
    PILLARS: frozenset[str]
    #: What the setting `full_text_search` needs: the Debian package, and a file that it brings.
    SEARCH_PACKAGE: tuple[str, str]
    #: How `dovecot.cf` adds a plugin to `mail_plugins`.
    ADD_PLUGIN: str
    #: Where the manual is.
    MANUAL: str

    def files(self, settings: Settings, layout: Layout) -> dict[str, str]:
        """Contents by name, for the folder `dovecot` below the state folder."""

    def no_sieve(self, settings: Settings, layout: Layout) -> tuple[str, ...]:
        """Options of dovecot-lda with which it runs no Sieve script and enforces no quota."""

    def drop_in(self, settings: Settings, layout: Layout, had: Mapping[str, str]) -> str:
        """What a Dovecot that somebody else configures has to read last of all. `had` is what it
        says now of `auth_mechanisms`, and of `mail_plugins`, `imap/mail_plugins` and
        `lmtp/mail_plugins`, as `doveconf -h` prints them."""


def dialect(version: str) -> Dialect:
    """That of a version, one of mailroster.roster.dovecot.fields.VERSIONS."""
    if version == "2.3":
        from mailroster.servers.config.dovecot import conf_2_3

        return conf_2_3
    from mailroster.servers.config.dovecot import conf_2_4

    return conf_2_4
