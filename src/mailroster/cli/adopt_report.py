"""The report of `mailroster adopt`, for people and as JSON."""

import os
from collections.abc import Sequence

import mailroster
from mailroster.app.adopt.assessment import Assessment
from mailroster.app.adopt.locate import Place, near
from mailroster.app.adopt.remark import DIFFERS, FIX, MISSING, NOTE, OTHER_WAY, named
from mailroster.app.adopt.report import Outlook, listening
from mailroster.base.findings import ERROR, INFO, Finding, printable
from mailroster.base.setting_rules import SECRETS
from mailroster.base.settings import FOLDERS, SETTINGS, Settings
from mailroster.cli.call import Call, finding_fields, print_json

_HEADINGS = {
    FIX: "Fix these first",
    DIFFERS: "Served, but differently from before",
    OTHER_WAY: "Set differently here",
    MISSING: "Not supported",
    NOTE: "Notes",
}
#: Singular and plural of the served entries, in the order of the report.
_NOUNS = {
    "accounts": ("account", "accounts"),
    "domains": ("domain", "domains"),
    "aliases": ("alias", "aliases"),
    "patterns": ("pattern", "patterns"),
    "quotas": ("quota", "quotas"),
    "masters": ("master", "masters"),
    "restrictions": ("restriction", "restrictions"),
    "sender_rights": ("right to send as another", "rights to send as another"),
    "local_aliases": ("local alias", "local aliases"),
    "relays": ("relay", "relays"),
    "relay_logins": ("login at a relay", "logins at relays"),
    "sieve_scripts": ("Sieve script", "Sieve scripts"),
    "dkim_keys": ("DKIM key", "DKIM keys"),
}
_PORTS = ("smtp", "submission", "submissions", "imap", "imaps", "pop3", "pop3s", "sieve")
#: The port on which other servers deliver mail.
_SMTP = 25
_PACKAGED_DOCS = "/usr/share/doc/mailroster"
#: How many findings are printed for people.
_SHOWN_MAX = 20


def show(
    call: Call, assessed: Assessment, findings: Sequence[Finding], steps: Sequence[str]
) -> None:
    """Prints the report. `steps` are the next commands; empty if there are errors."""
    place, outlook, settings = assessed.place, assessed.outlook, assessed.settings
    if "--json" in call.options:
        print_json(_fields(assessed, findings, steps))
        return
    shown = [f for f in findings if f.severity != INFO]
    blocks = [[*_places(place), _served(outlook), *_mailboxes(place, outlook)]]
    for kind, heading in _HEADINGS.items():
        lines = [str(remark) for remark in outlook.remarks if remark.kind == kind]
        if kind == FIX:
            lines += _findings([f for f in shown if f.severity == ERROR], place)
        if lines:
            blocks.append([heading, *(f"  {line}" for line in lines)])
    if warnings := _findings([f for f in shown if f.severity != ERROR], place):
        heading = "Likely mistakes, served as they are"
        blocks.append([heading, *(f"  {line}" for line in warnings)])
    if len(blocks) == 1:
        blocks[0].append("All of it is served as before.")
    if steps:
        blocks.append(["Next, as root", *(f"  {step}" for step in steps)])
        blocks.append(_listening(settings))
    else:
        command = f"mailroster adopt {near(place.folder)}"
        blocks.append([f"Fix the errors above, then run '{command}' again for the next step."])
    if any("docs/" in line for block in blocks for line in block) and (pages := docs_folder()):
        blocks.append([f"The pages docs/… are in {pages}"])
    print("\n\n".join("\n".join(block) for block in blocks))


def steps(assessed: Assessment) -> list[str]:
    """The commands that start serving this folder on this machine."""
    place, settings = assessed.place, assessed.settings
    from shlex import join, quote

    names = [setting.name for setting in FOLDERS[1:]]
    usual = {s.name: os.path.join(place.home, str(s.default)) for s in FOLDERS[1:]}
    options = ["--home", near(place.home)] if place.home else []
    for name in names:
        path = getattr(place, name)
        if path and not (place.home and path == usual[name]):
            options += [f"--{name}", near(path)]
    stop = "stop the old server, so that only one server writes the mail"
    if any("compose" in file for file in place.project.files):
        folder = os.path.dirname(near(os.path.join(place.project.folder, "x"))) or "."
        stop = join(["docker", "compose", "--project-directory", folder, "stop"])
    given = {name: value for name, value in assessed.honoured.items() if place.project.files}
    if not os.path.exists(settings.tls_certificate):
        given.pop("SSL_TYPE", None)  # a start would refuse it; a remark reports this
    secret = {setting.variable for setting in SETTINGS if setting.name in SECRETS}
    variables = [f"{k}={'…' if k in secret else quote(v)}" for k, v in given.items()]
    return [stop, " ".join([*variables, join(["mailroster", *options, "up"])])]


def _listening(settings: Settings) -> list[str]:
    """Where the servers will listen, and with which certificate."""
    s = settings
    certificate = "its own certificate, which no client trusts"
    if os.path.exists(s.tls_certificate):
        certificate = s.tls_certificate
    lines = [f"It will listen on {s.listen}: {listening(s)}; with {certificate}."]
    if s.smtp_port != _SMTP:
        file = os.path.join(near(s.config), "mailroster.toml")
        lines.append(
            f"These ports are for a test. To take over, set listen and the ports in {file}, or set "
            f'layout = "system" for the usual ports on all addresses (docs/guide/operations.md).'
        )
    return lines


def docs_folder() -> str:
    """The folder of docs/ in the source or the package; "" if there is none."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(mailroster.__file__)))
    places = (os.path.join(root, "docs"), _PACKAGED_DOCS)
    return next((p for p in places if os.path.isfile(os.path.join(p, "guide", "migrate.md"))), "")


def _places(place: Place) -> list[str]:
    lines = [f"{name:8}{printable(near(path))}" for name, path in _paths(place).items() if path]
    if place.project.files:
        lines.append(f"project {', '.join(map(printable, place.project.files))}")
    return lines


def _paths(place: Place) -> dict[str, str]:
    return {setting.name: getattr(place, setting.name) for setting in FOLDERS[1:]}


def _served(outlook: Outlook) -> str:
    parts = [
        f"{count:,} {_NOUNS[name][count != 1]}" for name, count in outlook.served.items() if count
    ]
    return f"serves  {', '.join(parts) or 'nothing yet'}"


def _mailboxes(place: Place, outlook: Outlook) -> list[str]:
    if not place.mail or not outlook.served["accounts"]:
        return []
    count = outlook.mailboxes
    lines = [f"{count:,} {'mailbox has' if count == 1 else 'mailboxes have'} a folder already"]
    if outlook.missing:
        verb = "has" if len(outlook.missing) == 1 else "have"
        lines.append(f"{named(outlook.missing)} {verb} no folder yet; the first mail creates it")
    return [f"        {line}" for line in lines]


def _findings(findings: Sequence[Finding], place: Place) -> list[str]:
    lines = [str(finding) for finding in findings[:_SHOWN_MAX]]
    if len(findings) > _SHOWN_MAX:
        more = len(findings) - _SHOWN_MAX
        lines.append(f"and {more:,} more: setup --config {near(place.config)} check")
    return lines


def _fields(
    assessed: Assessment, findings: Sequence[Finding], steps: Sequence[str]
) -> dict[str, object]:
    place, outlook, settings = assessed.place, assessed.outlook, assessed.settings
    return {
        "folders": {name: path or None for name, path in _paths(place).items()},
        "project": place.project.files,
        "served": outlook.served,
        "mailboxes": {"existing": outlook.mailboxes, "missing": outlook.missing},
        "queued": outlook.queued,
        "remarks": [remark._asdict() for remark in outlook.remarks],
        "findings": [finding_fields(finding) for finding in findings],
        "next": list(steps),
        "listens": {
            "on": settings.listen,
            **{name: getattr(settings, f"{name}_port") for name in _PORTS},
        },
    }
