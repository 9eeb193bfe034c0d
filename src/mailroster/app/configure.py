"""The settings of a process: from its options, the environment and the config folder."""

import os
from collections.abc import Callable, Mapping, Sequence

from mailroster.base.findings import Refused, TryAgain
from mailroster.base.layout import Layout
from mailroster.base.settings import (
    LINKED,
    NOWHERE,
    Settings,
    Sources,
    UnsafeDefault,
    config_folders,
    linked_folders,
    load,
)
from mailroster.servers.in_force import apply_running
from mailroster.store.links import ConfigFolder
from mailroster.system.files import SMALL_MAX_BYTES, read_small


def without_folders(options: Mapping[str, str]) -> Settings:
    """The settings of a process that reads no folder. Raises UsageError."""
    return load(sources_of({**options, "home": NOWHERE}, {}))


def with_folders(
    options: Mapping[str, str],
    environment: Mapping[str, str],
    warn: Callable[[str], None],
    *,
    optional: bool = False,
) -> Settings:
    """The settings of a process that reads its folders. Updates an overlay from its source first,
    since it contains settings.

    Raises UsageError, and UnsafeDefault for a default folder that is not safe. `optional`: treat
    such a folder as missing instead.
    """
    sources = sources_of(options, environment)
    try:
        config, source = config_folders(sources)
        if source:
            _update_overlay(source, config, linked_folders(sources.given(LINKED) or ""), warn)
        return load(sources)
    except UnsafeDefault:
        if not optional:
            raise
        return load(sources_of({**options, "home": NOWHERE}, environment))


def as_running(settings: Settings, options: Mapping[str, str]) -> Settings:
    """The settings of the running instance, except those that options set."""
    return apply_running(settings, Layout(settings.state, settings.layout), options)


def sources_of(options: Mapping[str, str], environment: Mapping[str, str]) -> Sources:
    """The sources of settings for the user who runs the process."""

    def fault(path: str, owned: bool) -> tuple[str, bool]:
        from mailroster.system import folder_trust  # 1 ms: only if no folder is named

        uid = os.geteuid()
        also = folder_trust.sudo_user(uid, environment)
        return folder_trust.judge(path, uid, owned=owned, also=also)

    def in_container() -> bool:
        from mailroster.system import folder_trust

        return folder_trust.in_container()

    path = os.path
    return Sources(
        options, environment, read_small, path.isdir, fault, in_container, path.ismount,
        path.isfile, read_config_file, os.uname().nodename, os.getcwd,
    )  # fmt: skip


def read_config_file(config: str, file: str, linked: Sequence[str]) -> bytes:
    """The bytes of a file of a config folder (Sources.read_there)."""
    return ConfigFolder(config, tuple(linked)).look(file, SMALL_MAX_BYTES)[0]


def _update_overlay(
    source: str, overlay: str, linked: Sequence[str], warn: Callable[[str], None]
) -> None:
    from mailroster.store.overlay.overlay import Overlay
    from mailroster.store.overlay.source import names

    try:
        Overlay(source, overlay, linked=linked).update()
    except (TryAgain, Refused) as error:
        if not os.path.isdir(overlay) or not names(overlay):
            raise
        warn(f"warning: {error}")
