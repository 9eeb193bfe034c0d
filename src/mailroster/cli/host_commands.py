"""`setup integrate`: what the host's own Postfix and Dovecot need to read the tables."""

from mailroster.app.host_servers import FileChange, HostPlan, HostServers
from mailroster.base.findings import UsageError
from mailroster.cli.call import Call, print_json, warn
from mailroster.cli.host import of_host

_ACTIONS = ("--apply", "--undo", "--check")


def integrate(call: Call) -> int:
    """Shows, writes or takes back what is needed."""
    chosen = [action for action in _ACTIONS if action in call.options]
    if len(chosen) > 1:
        raise UsageError(f"{chosen[0]} and {chosen[1]} don't go together")
    if "--force" in call.options and chosen != ["--undo"]:
        raise UsageError("--force goes with --undo")
    if "--reload" in call.options and chosen not in (["--apply"], ["--undo"]):
        raise UsageError("--reload goes with --apply or --undo")
    settings = of_host(call.settings)
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
    return 1 if plan.files and chosen else 0


def _apply(call: Call, servers: HostServers, keep: bool) -> int:
    plan = servers.apply(keep_system_users=keep)
    if "--json" in call.options:
        _print(plan)
    else:
        for change in plan.files:
            print(f"written: {change.path}")
        for warning in plan.warnings:
            warn(f"warning: {warning}")
        print("integrated")
    _reload(call, servers, bool(plan.files))
    return 0


def _undo(call: Call, servers: HostServers) -> int:
    for path in servers.undo(force="--force" in call.options):
        print(f"as it was: {path}")
    _reload(call, servers, True)
    return 0


def _reload(call: Call, servers: HostServers, changed: bool) -> None:
    if "--reload" in call.options:
        for name in servers.reload():
            warn(f"{name} reads its files again")
    elif changed:
        warn("to have them read: postfix reload; doveadm reload (or start Postfix and Dovecot)")


def _show(call: Call, plan: HostPlan) -> None:
    if "--json" in call.options:
        _print(plan)
        return
    if not plan.files:
        print("integrated")
    for change in plan.files:
        print("\n".join(_lines(change, plan)))
    for warning in plan.warnings:
        warn(f"warning: {warning}")


def _lines(change: FileChange, plan: HostPlan) -> list[str]:
    """What becomes of a file: its settings if they are known, its whole text if it is new."""
    if change.old is None:
        text = change.new.decode("utf-8", "backslashreplace").rstrip("\n")
        replaced = [one for one in plan.settings if one.file == change.path]
        was = [f"# was: {one.name} = {one.old}" for one in replaced]
        return [f"# {change.path}: a new file", *was, text, ""]
    found = [f"# {change.path}"]
    for one in (one for one in plan.settings if one.file == change.path):
        if change.path.endswith("master.cf"):
            found.append(one.new)
            continue
        found += [f"# was: {one.name} = {one.old}"] if one.old else []
        found += [f"{one.name} = {one.new}"] if one.new else []
    if len(found) == 1:
        old = change.old.decode("utf-8", "backslashreplace").split("\n")
        new = change.new.decode("utf-8", "backslashreplace").split("\n")
        found += [f"# was: {line}" for line in old if line not in new]
        found += [line for line in new if line not in old]
    return [*found, ""]


def _print(plan: HostPlan) -> None:
    print_json(
        {
            "integrated": not plan.files,
            "files": [{"file": change.path, "new": change.old is None} for change in plan.files],
            "settings": [one._asdict() for one in plan.settings],
            "warnings": plan.warnings,
        }
    )
