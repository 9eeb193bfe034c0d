"""The tasks that take Dovecot's reports of logins, beside `up` or `watch`: the listener, and the
writers of what follows from the reports."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.daemons.last_uses import LastUses
from mailroster.daemons.login_reports import LoginReport, ReportTaker, listen
from mailroster.servers.login_key import login_key


def login_tasks(
    settings: Settings, layout: Layout, stop: asyncio.Event
) -> list[Coroutine[Any, Any, None]]:
    """The tasks of an instance whose Dovecot reports logins; they run until `stop` is set. Raises
    OSError."""
    takers: list[ReportTaker] = [LastUses(layout)]
    if settings.block_guessing:
        from mailroster.daemons.blocker import Blocker

        takers.append(Blocker(settings, layout))

    def take(report: LoginReport) -> None:
        for taker in takers:
            taker.take(report)

    listening = listen(settings.reports_port(), login_key(layout), take, stop)
    return [listening, *(taker.write(stop) for taker in takers)]
