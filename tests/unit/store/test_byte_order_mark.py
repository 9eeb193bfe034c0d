"""A byte order mark, which editors of Windows write in front of UTF-8: skipped in every file of the
config folder, and kept by every edit."""

from codecs import BOM_UTF8
from pathlib import Path

import pytest

from mailroster.app.passwords.policy import Policy
from mailroster.base.settings import Sources, load
from mailroster.roster.documents.document import Document
from mailroster.roster.roster import Roster
from mailroster.servers.overrides import in_folder
from mailroster.servers.sieve import findings_in
from mailroster.store.links import ConfigFolder
from tests.support.folder import ACCOUNTS, Folder, H, folder

__all__ = ["folder"]  # the fixture

LINES = {
    "accounts": f"a@x.com|{H}",
    "quotas": "a@x.com:1G",
    "virtual": "i@x.com a@x.com",
    "regexp": "/^t@x\\.com$/ a@x.com",
    "masters": f"root|{H}",
    "send_access": "a@x.com REJECT",
    "receive_access": "a@x.com REJECT",
    "sender_logins": "news@x.com a@x.com",
    "local_aliases": "root: a@x.com",
    "relaymap": "@x.com [relay.example]:25",
    "sasl_passwords": "@x.com user:password",
    "app_passwords": f"a@x.com|phone|{{SHA256.HEX}}{'0123456789abcdef' * 4}",
}
EDITS = {
    "accounts": ["email", "update", "a@x.com", "new"],
    "quotas": ["quota", "set", "a@x.com", "2G"],
    "virtual": ["alias", "add", "i@x.com", "b@x.com"],
    "regexp": ["regexp", "add", "/^t@x\\.com$/", "b@x.com"],
    "masters": ["dovecot-master", "update", "root", "new"],
    "send_access": ["email", "restrict", "add", "send", "b@x.com"],
    "receive_access": ["email", "restrict", "add", "receive", "b@x.com"],
    "sender_logins": ["sender", "add", "b@x.com", "news@x.com"],
    "relaymap": ["relay", "add-domain", "x.com", "other.example"],
    "sasl_passwords": ["relay", "add-auth", "x.com", "user", "new"],
    "app_passwords": ["email", "app-password", "add", "a@x.com", "pc"],
}


@pytest.mark.parametrize("field", Roster._fields)
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_every_file_is_read_as_without_it(field: str, end: str) -> None:
    format = getattr(Roster(), field).format
    plain, marked = (Document(format, f"{bom}{LINES[field]}{end}") for bom in ("", "\ufeff"))
    assert marked.findings() == plain.findings() == []
    assert [*marked.items()] == [*plain.items()]
    assert len(marked.counted()) == 1
    comment = Document(format, f"\ufeff# c{end or chr(10)}{LINES[field]}{end}")
    assert [*comment.items()] == [*plain.items()]


@pytest.mark.parametrize("field", EDITS)
def test_every_edit_keeps_it(folder: Folder, field: str) -> None:
    folder.write(ACCOUNTS, f"a@x.com|{H}\nb@x.com|{H}\n")
    file = getattr(Roster(), field).format.file
    before = f"\ufeff{LINES[field]}\n" + (f"b@x.com|{H}\n" if field == "accounts" else "")
    folder.write(file, before)
    ran = folder.setup(*EDITS[field])
    assert ran.code == 0, ran.err
    after = folder.read(file)
    assert after != before
    assert after.startswith("\ufeff")
    assert after.count("\ufeff") == 1
    assert folder.setup("undo").code == 0
    assert folder.read(file) == before


def test_settings_overrides_scripts_and_lists(tmp_path: Path) -> None:
    files = {
        "mailroster.toml": b'hostname = "mail.example.com"\n',
        "postfix-main.cf": b"mail_name = x\n",
        "postfix-master.cf": b"smtp/inet/maxproc = 5\n",
        "dovecot.cf": b"mail_debug = no\n",
        "before.dovecot.sieve": b"keep;\n",
        "refused": b"secret\nother\n",
    }
    for file, raw in files.items():
        (tmp_path / file).write_bytes(BOM_UTF8 + raw)
    read = Path.read_bytes
    sources = Sources({"config": str(tmp_path)}, {}, lambda path: read(Path(path)), lambda _: True)
    assert load(sources).hostname == "mail.example.com"
    found = in_folder(str(tmp_path))
    texts = [
        files[file].decode() for file in ("postfix-main.cf", "postfix-master.cf", "dovecot.cf")
    ]
    assert [*found] == texts
    config = ConfigFolder(str(tmp_path))
    assert [f.code for f in findings_in(config, "", Roster().accounts)] == []
    assert set(Policy(1, "refused", config).faults(["Secret", "other", "third"])) == {
        "Secret",
        "other",
    }
