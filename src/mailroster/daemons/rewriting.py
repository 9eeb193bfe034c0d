"""postsrsd, which rewrites senders (SRS), as a server beside `up` or `watch`."""

from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.daemons.supervisor import Server
from mailroster.servers import running
from mailroster.servers.config import srs
from mailroster.servers.ports import srs_ports_in_use


def srs_server(settings: Settings, layout: Layout, hostname: str) -> Server:
    """postsrsd. `hostname`: Postfix's $myhostname."""
    return Server(
        "postsrsd",
        srs.argv(settings, layout, hostname),
        lambda: running.srs_pid(layout),
        layout.srs_pid,
        lambda: srs_ports_in_use(settings),
    )
