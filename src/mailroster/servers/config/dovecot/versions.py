"""What differs between the configurations of the versions of Dovecot: a module for each."""

from collections.abc import Mapping
from typing import Protocol

from mailroster.base.layout import Layout
from mailroster.base.settings import Settings


class Dialect(Protocol):
    """A module with the configuration of one version."""

    #: The shortest valid configuration, for programs that require one.
    MINIMAL: str
    #: The option of dovecot-lda that switches off the quota.
    NOT_ENFORCED: str
    #: Settings on which accounts depend, so that `check` warns of an override.
    RISKY_SETTINGS: frozenset[str]
    #: The Debian package that the setting `full_text_search` needs, and a file in it.
    SEARCH_PACKAGE: tuple[str, str]
    #: How `dovecot.cf` adds a plugin to `mail_plugins`.
    ADD_PLUGIN: str
    #: The address of the manual.
    MANUAL: str

    def files(self, settings: Settings, layout: Layout) -> dict[str, str]:
        """The files of the folder Layout.dovecot: their contents by name."""

    def login_reports(self, settings: Settings, key: str) -> str:
        """The settings with which Dovecot reports logins. `key` is a secret."""

    def no_sieve(self, settings: Settings, layout: Layout) -> tuple[str, ...]:
        """The options of dovecot-lda that switch off Sieve scripts and the quota."""

    def drop_in(self, settings: Settings, layout: Layout, current: Mapping[str, str]) -> str:
        """A file that a host's own Dovecot must read after its other files. `current`: its present
        values of `auth_mechanisms`, `mail_plugins`, `imap/mail_plugins` and `lmtp/mail_plugins`, as
        `doveconf -h` prints them."""


def dialect(version: str) -> Dialect:
    """The dialect of a version, one of mailroster.roster.dovecot.versions.VERSIONS."""
    if version == "2.3":
        from mailroster.servers.config.dovecot import conf_2_3

        return conf_2_3
    from mailroster.servers.config.dovecot import conf_2_4

    return conf_2_4
