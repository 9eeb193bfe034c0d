"""`setup tables`, `setup watch` and `setup integrate`: for the host's own Postfix and Dovecot."""

from mailroster.app.host_servers import Change, HostServers, Plan
from mailroster.base.findings import UsageError
from mailroster.base.settings import Settings
from mailroster.cli.call import Call, print_json
from mailroster.cli.streams import warn

_ACTIONS = ("--apply", "--undo", "--check")


def _host_settings(settings: Settings) -> Settings:
    """The settings with the layout `host` in place of `private`; `system` stays."""
    return settings._replace(layout="host") if settings.layout == "private" else settings


def tables(call: Call) -> int:
    """Creates the tables and reconciles them once."""
    from mailroster.daemons.watch import Watch

    settings = _host_settings(call.settings)
    Watch(settings, once=True).once()
    print(f"the tables in {settings.state} are up to date with {settings.config}")
    return 0


def watch(call: Call) -> int:
    """Keeps the tables up to date until a signal ends it."""
    from mailroster.daemons.watch import serve

    serve(_host_settings(call.settings))
    return 0


def integrate(call: Call) -> int:
    """Shows, writes or undoes the settings that the host's servers need."""
    chosen = [action for action in _ACTIONS if action in call.options]
    if len(chosen) > 1:
        raise UsageError(f"{chosen[0]} and {chosen[1]} exclude each other")
    if "--force" in call.options and chosen != ["--undo"]:
        raise UsageError("--force needs --undo")
    if "--reload" in call.options and chosen not in (["--apply"], ["--undo"]):
        raise UsageError("--reload needs --apply or --undo")
    settings = _host_settings(call.settings)
    servers = HostServers(settings)
    keep = "--keep-system-users" in call.options
    if chosen == ["--undo"]:
        return _undo(call, servers)
    if chosen == ["--apply"]:
        from mailroster.daemons.watch import Watch

        Watch(settings, once=True).once()
        return _apply(call, servers, keep)
    plan = servers.plan(keep_system_users=keep)
    _show(call, plan)
    return 1 if plan.changes and chosen else 0


def _apply(call: Call, servers: HostServers, keep: bool) -> int:
    plan = servers.apply(keep_system_users=keep)
    if "--json" in call.options:
        _print(plan)
    else:
        for change in plan.changes:
            print(f"{'removed' if change.new is None else 'written'}: {change.path}")
        for warning in plan.warnings:
            warn(f"warning: {warning}")
        print("integrated")
    _reload(call, servers, bool(plan.changes))
    return 0


def _undo(call: Call, servers: HostServers) -> int:
    for path in servers.undo(force="--force" in call.options):
        print(f"restored: {path}")
    _reload(call, servers, True)
    return 0


def _reload(call: Call, servers: HostServers, changed: bool) -> None:
    if "--reload" in call.options:
        for name in servers.reload():
            warn(f"{name} has reloaded its files")
    elif changed:
        warn("to load the files: postfix reload; doveadm reload (or start Postfix and Dovecot)")


def _show(call: Call, plan: Plan) -> None:
    if "--json" in call.options:
        _print(plan)
        return
    if not plan.changes:
        print("integrated")
    for change in plan.changes:
        print("\n".join(_lines(change, plan)))
    for warning in plan.warnings:
        warn(f"warning: {warning}")


def _lines(change: Change, plan: Plan) -> list[str]:
    """The change of a file: its whole text if it is new, its settings if they are known, else the
    lines that differ."""
    if change.new is None:
        return [f"# {change.path}: removed", ""]
    if change.is_secret:
        new = "a new file" if change.old is None else "changed"
        return [f"# {change.path}: {new}, which only root can read", ""]
    settings = [setting for setting in plan.settings if setting.file == change.path]
    new = change.new.decode("utf-8", "backslashreplace")
    if change.old is None:
        was = [f"# was: {setting.name} = {setting.old}" for setting in settings]
        return [f"# {change.path}: a new file", *was, new.rstrip("\n"), ""]
    lines = []
    for setting in settings:
        if change.path.endswith("master.cf"):
            lines.append(setting.new)
            continue
        lines += [f"# was: {setting.name} = {setting.old}"] if setting.old else []
        lines += [f"{setting.name} = {setting.new}"] if setting.new else []
    if not lines:
        old_lines = change.old.decode("utf-8", "backslashreplace").split("\n")
        new_lines = new.split("\n")
        lines += [f"# was: {line}" for line in old_lines if line not in new_lines]
        lines += [line for line in new_lines if line not in old_lines]
    return [f"# {change.path}", *lines, ""]


def _print(plan: Plan) -> None:
    print_json(
        {
            "integrated": not plan.changes,
            "files": [
                {"file": change.path, "new": change.old is None, "removed": change.new is None}
                for change in plan.changes
            ],
            "settings": [setting._asdict() for setting in plan.settings],
            "warnings": plan.warnings,
        }
    )
