"""Where the mail of an account is, for every part that shows it or looks there. Pure.

Without an extra field it is a Maildir at MAIL/DOMAIN/USER, with the home below it. The meaning of a
field depends on the version of Dovecot (roster/dovecot/fields_2_*.py).
"""

from typing import NamedTuple

from mailroster.base.address import Address
from mailroster.base.layout import maildir
from mailroster.roster.dovecot.fields import Fields
from mailroster.roster.dovecot.served import expanded, fields_with_places
from mailroster.roster.dovecot.versions import VERSIONS
from mailroster.roster.formats.accounts import Account


class Place(NamedTuple):
    """A mail location: Dovecot's driver, an absolute path, 2.3's options (`INBOX=/…`), the home."""

    driver: str
    path: str
    home: str
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        """As `userdb_mail` has it; of a plain Maildir the path alone."""
        if self.is_plain_maildir():
            return self.path
        return ":".join((self.driver, self.path, *self.options))

    def is_plain_maildir(self) -> bool:
        return self.driver == "maildir" and not self.options


def plain(mail: str, address: Address | str) -> Place:
    """The place of an account that has no extra field for it."""
    folder = f"{mail}/{maildir(address)}"
    return Place("maildir", folder, f"{folder}/home")


def place_of(account: Account, mail: str, version: str = "") -> Place | None:
    """The place of the mail of an account, for a version of Dovecot, or for any of them ("").

    None if only Dovecot can tell: a variable is not about the address, the versions differ, or a
    field can't be used.
    """
    if not account.extra:
        return plain(mail, account.address)
    places = {_place(account, mail, name) for name in ((version,) if version else VERSIONS)}
    return places.pop() if len(places) == 1 else None


def _place(account: Account, mail: str, version: str) -> Place | None:
    from mailroster.roster.dovecot.variables import NoSuchVariable, in_2_3

    usual = plain(mail, account.address)
    fields = fields_with_places(account, mail, version)
    try:
        home = expanded(in_2_3(fields.value("userdb_home") or ""), account.address) or usual.home
        location = _location(fields, account)
    except (KeyError, NoSuchVariable):
        return None
    if location is None:
        return usual._replace(home=home)
    parts = [part.replace("\0", ":") for part in location.replace("::", "\0").split(":")]
    driver = parts.pop(0) if parts[0].isalnum() else "auto"
    path, *options = parts or [""]
    if version == "2.3" and not path:
        return None  # Dovecot looks for mail in several places
    path = _below(path, home) or usual.path
    named = (option.partition("=") for option in options)
    options = [f"{name}{equals}{_below(value, home)}" for name, equals, value in named]
    if driver == "maildir":
        options = [option for option in options if option != f"INBOX={path}"]
    return Place(driver, path, home, tuple(options))


def _location(fields: Fields, account: Account) -> str | None:
    """The mail location in the form of 2.3, with `~` for the home; None if no field has any. The
    variables of the address are expanded; any other raises KeyError or NoSuchVariable."""
    from mailroster.roster.dovecot.mail_location import SETTINGS, location
    from mailroster.roster.dovecot.variables import in_2_3

    if (mail := fields.value("userdb_mail")) is None:
        names = (name for name in SETTINGS if f"userdb_{name}" in fields.written)
        settings = {name: fields.value(f"userdb_{name}") or "" for name in names}
        if not settings:
            return None
        mail = in_2_3(location(settings))
    return expanded(mail.replace("%{home}", "~").replace("%h/", "~/"), account.address)


def _below(path: str, home: str) -> str:
    """A path in which `~` is the home."""
    return home + path[1:] if path == "~" or path.startswith("~/") else path
