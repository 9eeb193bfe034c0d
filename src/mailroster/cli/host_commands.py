"""`setup integrate`: what the host's own Postfix and Dovecot need to read the tables."""

from mailroster.base.findings import NotUnderstood
from mailroster.base.layout import Layout
from mailroster.cli.call import Call, print_json, warn
from mailroster.cli.host import of_host
from mailroster.servers.integrate.apply import Integration
from mailroster.servers.integrate.plan import Change, Planned

_ACTIONS = ("--apply", "--undo", "--check")


def integrate(call: Call) -> int:
    """Shows, writes or takes back what is needed."""
    chosen = [action for action in _ACTIONS if action in call.options]
    if len(chosen) > 1:
        raise NotUnderstood(f"{chosen[0]} and {chosen[1]} don't go together")
    if "--force" in call.options and chosen != ["--undo"]:
        raise NotUnderstood("--force goes with --undo")
    if "--reload" in call.options and chosen not in (["--apply"], ["--undo"]):
        raise NotUnderstood("--reload goes with --apply or --undo")
    settings = of_host(call.settings)
    layout = Layout(settings.state, settings.layout)
    from mailroster.servers.prepare import check_host

    check_host(settings, layout)
    integration = Integration(settings, layout)
    if chosen == ["--undo"]:
        return _undo(call, integration)
    keep = "--keep-system-users" in call.options
    if chosen == ["--apply"]:
        from mailroster.daemons.watch import Watch

        Watch(settings, once=True).once()
    plan = integration.planned(keep_system_users=keep)
    if chosen == ["--apply"]:
        return _apply(call, integration, plan, keep)
    _show(call, plan)
    return 1 if plan.changes and chosen else 0


def _apply(call: Call, integration: Integration, plan: Planned, keep: bool) -> int:
    if plan.changes:
        integration.apply(plan, keep_system_users=keep)
    if "--json" in call.options:
        _print(plan)
    else:
        for change in plan.changes:
            print(f"written: {change.path}")
        for warning in plan.warnings:
            warn(f"warning: {warning}")
        print("integrated")
    _reload(call, integration, bool(plan.changes))
    return 0


def _undo(call: Call, integration: Integration) -> int:
    for path in integration.undo(force="--force" in call.options):
        print(f"as it was: {path}")
    _reload(call, integration, True)
    return 0


def _reload(call: Call, integration: Integration, changed: bool) -> None:
    if "--reload" in call.options:
        for name in integration.reload():
            warn(f"{name} reads its files again")
    elif changed:
        warn("to have them read: postfix reload; doveadm reload (or start Postfix and Dovecot)")


def _show(call: Call, plan: Planned) -> None:
    if "--json" in call.options:
        _print(plan)
        return
    if not plan.changes:
        print("integrated")
    for change in plan.changes:
        print("\n".join(_lines(change, plan)))
    for warning in plan.warnings:
        warn(f"warning: {warning}")


def _lines(change: Change, plan: Planned) -> list[str]:
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


def _print(plan: Planned) -> None:
    print_json(
        {
            "integrated": not plan.changes,
            "files": [{"file": change.path, "new": change.old is None} for change in plan.changes],
            "settings": [one._asdict() for one in plan.settings],
            "warnings": plan.warnings,
        }
    )
