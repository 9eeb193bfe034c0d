"""Counts the keys for DKIM of a docker-mailserver, and reports those that would not sign."""

import os
from collections.abc import Iterator
from typing import NamedTuple

from mailroster.app.adopt.remark import FIX, OTHER_WAY, Remark, named
from mailroster.base.findings import printable
from mailroster.base.settings import Settings
from mailroster.servers import dkim_keys
from mailroster.servers.config import dkim
from mailroster.store.links import ConfigFolder

#: The settings of Rspamd's own signer, which may name keys of other places.
_SIGNING = "rspamd/override.d/dkim_signing.conf"


class SigningKeys(NamedTuple):
    """The number of keys that sign, and remarks."""

    number: int
    remarks: list[Remark]


def examine(config: str, settings: Settings) -> SigningKeys:
    """Examines the keys of a config folder. Reads no key."""
    folder = ConfigFolder(config, settings.linked())
    files = [key.file for key in dkim_keys.key_files(folder)]
    if not settings.signs():
        return SigningKeys(0, [])
    return SigningKeys(len(files), list(_remarks(config, set(files))))


def _remarks(config: str, used: set[str]) -> Iterator[Remark]:
    others = [
        printable(f"{dkim.RSPAMD_KEYS}/{name}")
        for name in _names(os.path.join(config, dkim.RSPAMD_KEYS))
        if "private" in name and f"{dkim.RSPAMD_KEYS}/{name}" not in used
    ]
    if others:
        example = "rename it as rsa-2048-SELECTOR-DOMAIN.private.txt (docs/topics/dkim.md)"
        message = "its name does not say for which domain it is, so it does not sign"
        yield Remark(FIX, named(others), message, example)
    if os.path.lexists(os.path.join(config, _SIGNING)):
        message = "not read: OpenDKIM signs, with the keys in opendkim/keys and rspamd/dkim"
        hint = "see that 'setup config dkim' prints the record of each domain, as it is in DNS"
        yield Remark(OTHER_WAY, _SIGNING, message, hint)


def _names(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []
