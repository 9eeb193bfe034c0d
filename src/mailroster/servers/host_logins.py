"""Whether a host's own Dovecot reports logins to `watch`, and reads the blocks: by the files that
`integrate` writes."""

import os

from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.servers.config.dovecot.common import BLOCKS, DROP_IN, REPORTS_FILE
from mailroster.servers.config.dovecot.versions import dialect
from mailroster.servers.login_key import known_key
from mailroster.servers.version import version
from mailroster.system.files import read


def are_reported(settings: Settings, layout: Layout) -> bool:
    """Whether Dovecot's files have the settings for reports of logins to this port with this
    key. Raises OSError."""
    wanted = dialect(version()).login_reports(settings, known_key(layout)).encode()
    is_wanted = read(os.path.join(layout.dovecot, REPORTS_FILE)) == wanted
    return is_wanted and REPORTS_FILE.encode() in _drop_in(layout)


def are_blocked(layout: Layout) -> bool:
    """Whether Dovecot's files say that blocked clients are refused. Raises OSError."""
    return BLOCKS.encode() in _drop_in(layout)


def _drop_in(layout: Layout) -> bytes:
    return read(os.path.join(os.path.dirname(layout.dovecot_conf), DROP_IN))
