"""What must hold of the files and names around DKIM keys, and of commands for Rspamd."""

from mailroster.base.findings import ERROR
from mailroster.base.layout import Layout
from mailroster.servers.config import dkim, rspamd
from mailroster.servers.config.dkim import Key, KeyFile

_LAYOUT = Layout("/s")
_SERVED = frozenset(("x.com", "b-x.com"))
_DIGEST = "rsa-0123"


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def rotation(raw: bytes) -> None:
    """The file of a rotation: what is read is written and read again as the same."""
    read = dkim.parse_rotation(raw.decode("ascii", "replace"))
    if read is None:
        return
    assert dkim.parse_rotation(dkim.rotation_text(read)) == read
    assert not dkim.selector_fault(read.new)
    assert not dkim.selector_fault(read.old)
    assert 0 <= read.since < 10**18
    assert read.signing() == (read.new if read.since else read.old)


def key_names(raw: bytes) -> None:
    """The name of a folder, and of a file in it, with a NUL between: one without is a file of
    Rspamd."""
    folder, nul, name = _text(raw).partition("\0")
    if "/" in folder + name:
        return  # no name in a folder
    found = dkim.opendkim_key(folder, name) if nul else dkim.rspamd_key(folder, _SERVED)
    if found is None:
        return
    assert found.file.rpartition("/")[2] == (name or folder)
    _is_a_line_of_each_table(found)
    if nul:
        assert name == found.selector + dkim.PRIVATE
        return
    ending = f"{folder.partition('-')[2].removesuffix(dkim.RSPAMD_PRIVATE)}"
    longest = [domain for domain in _SERVED if ending.lower().endswith(f"-{domain}")]
    if found.domain in _SERVED:
        assert found.domain == max(longest, key=len)


def _is_a_line_of_each_table(file: KeyFile) -> None:
    """OpenDKIM reads the tables line by line, and columns with blanks and colons between."""
    key = Key(*file, dkim.RSA, b"", _DIGEST)
    name, value = dkim.key_table([key], _LAYOUT).removesuffix("\n").split(" ")
    domain, selector, path = value.split(":")
    assert (domain, selector) == (file.domain, file.selector)
    assert name == f"{selector}._domainkey.{domain}"
    assert path == f"{_LAYOUT.signer_keys}/{_DIGEST}"
    author, other = dkim.signing_table([key], "mail.y.com").removesuffix("\n").split(" ")
    assert (author, other) == (f"*@{domain}", name)
    assert (name + path).isascii()
    assert (name + path).isprintable()
    assert dkim.opendkim_key(domain, selector + dkim.PRIVATE) is not None


def signing_table(raw: bytes) -> None:
    """A SigningTable of docker-mailserver: it chooses between the keys that exist, nothing else."""
    text = raw.decode("utf-8", "replace")
    named = dkim.preferred(text)
    keys = [
        Key(domain, selector, f"opendkim/keys/{domain}/{selector}.private", kind, b"", _DIGEST)
        for domain in ("x.com", "b-x.com")
        for selector in ("mail", "a", "b")
        for kind in dkim.KINDS
    ]
    chosen = dkim.chosen(keys, named, {})
    kinds = {(key.domain, key.kind) for key in keys}
    assert [(key.domain, key.kind) for key in chosen] == sorted(kinds)
    for key in chosen:
        others = named.get(key.domain, set()) & {"mail", "a", "b"}
        assert key.selector in (others or {"mail"})
    assert dkim.chosen(keys[::-1], named, {}) == chosen


def commands(raw: bytes) -> None:
    """A custom-commands.conf of Rspamd: no other file is named, and our sockets are the last."""
    text = _text(raw)
    files = {"multimap.conf": "x = 1;\n", "worker-proxy.inc": "count = 2;"}
    changed, findings = rspamd.with_commands(files, text)
    assert all(map(rspamd.is_override, changed))
    for finding in findings:
        assert finding.severity == ERROR
        assert finding.where.file == rspamd.COMMANDS
        assert 1 <= finding.where.line <= text.count("\n") + 1
        assert str(finding).isprintable()
        assert len(str(finding)) < 600
    override = rspamd.override_files(_LAYOUT, changed)
    assert override["dkim_signing.conf"].endswith("\nenabled = false;\n")
    for name in ("worker-proxy.inc", "worker-controller.inc"):
        last = override[name].split("\n")[-2:]
        assert last[0].startswith('bind_socket = "/s/')
        assert last[1] == ""
    without = "\n".join(line for line in text.split("\n") if "add-line" not in line)
    once, _ = rspamd.with_commands(files, without)
    assert rspamd.with_commands(once, without)[0] == once
