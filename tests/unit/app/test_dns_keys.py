"""The public part of DKIM keys, in the places of docker-mailserver, against openssl."""

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mailroster.app.dns import domain_keys
from mailroster.base.settings import Settings, Sources, load

DOMAIN = "example.com"
OPENDKIM = f"opendkim/keys/{DOMAIN}"


def openssl(*words: str, stdin: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *words], input=stdin, capture_output=True, check=True).stdout


def rsa(bits: int = 1024) -> bytes:
    return openssl("genrsa", str(bits))


def spki(key: bytes) -> str:
    der = openssl("pkey", "-pubout", "-outform", "DER", stdin=key)
    return base64.b64encode(der).decode()


def write(folder: Path, file: str, content: bytes) -> Path:
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def settings(folder: Path) -> Settings:
    given = {"config": str(folder)}
    return load(Sources(given, {}, lambda path: b"", lambda path: False))


def read(folder: Path, warnings: list[str] | None = None) -> dict[str, tuple[str, str, int]]:
    """Selector -> type, public key, bits."""
    warn = pytest.fail if warnings is None else warnings.append
    keys = domain_keys(settings(folder), DOMAIN, warn)
    return {key.selector: (key.kind, key.public, key.bits) for key in keys}


def test_the_keys_of_both_layouts_are_read(tmp_path: Path) -> None:
    first, second = rsa(), rsa(2048)
    write(tmp_path, f"{OPENDKIM}/mail.private", first)
    write(tmp_path, f"{OPENDKIM}/mail.txt", b"not read")
    write(tmp_path, f"rspamd/dkim/rsa-2048-2026-a-{DOMAIN}.private.txt", second)
    assert read(tmp_path) == {
        "mail": ("rsa", spki(first), 1024),
        "2026-a": ("rsa", spki(second), 2048),
    }


def test_a_key_of_ed25519_is_read_in_each_form(tmp_path: Path) -> None:
    pem = openssl("genpkey", "-algorithm", "ed25519")
    der = openssl("pkey", "-outform", "DER", stdin=pem)
    seed, public = der[-32:], openssl("pkey", "-pubout", "-outform", "DER", stdin=pem)[-32:]
    write(tmp_path, f"{OPENDKIM}/pem.private", pem)
    write(tmp_path, f"rspamd/dkim/ed25519-seed-{DOMAIN}.private.txt", base64.b64encode(seed))
    both = base64.b64encode(seed + public) + b"\n"
    write(tmp_path, f"rspamd/dkim/ed25519-both-{DOMAIN}.private.txt", both)
    expected = ("ed25519", base64.b64encode(public).decode(), 256)
    assert read(tmp_path) == {"pem": expected, "seed": expected, "both": expected}


def test_keys_of_other_domains_and_other_files_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, "opendkim/keys/other.example/mail.private", rsa())
    write(tmp_path, f"rspamd/dkim/rsa-1024-mail-sub.{DOMAIN}.private.txt.bak", b"x")
    write(tmp_path, "rspamd/dkim/rsa-1024-mail-notexample.com.private.txt", rsa())
    write(tmp_path, f"{OPENDKIM}/a\nb.private", rsa())
    write(tmp_path, f"{OPENDKIM}/.private", rsa())
    write(tmp_path, f"{OPENDKIM}/mail.txt", b"x")
    assert read(tmp_path) == {}


def test_the_name_of_a_file_of_rspamd_means_the_longest_domain_that_is_served(
    tmp_path: Path,
) -> None:
    write(tmp_path, f"rspamd/dkim/rsa-1024-mail-my-{DOMAIN}.private.txt", rsa())
    assert list(read(tmp_path)) == ["mail-my"]
    write(tmp_path, "postfix-accounts.cf", f"a@my-{DOMAIN}|x\n".encode())
    assert list(read(tmp_path)) == []


def test_of_two_files_for_a_selector_the_first_counts(tmp_path: Path) -> None:
    key = rsa()
    write(tmp_path, f"{OPENDKIM}/mail.private", key)
    write(tmp_path, f"rspamd/dkim/rsa-1024-mail-{DOMAIN}.private.txt", rsa())
    assert read(tmp_path)["mail"][1] == spki(key)


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"\0\xff" * 99, b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"],
)
def test_a_file_that_is_no_key_is_named_and_not_shown(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, f"{OPENDKIM}/mail.private", content)
    warnings: list[str] = []
    assert read(tmp_path, warnings) == {}
    (warning,) = warnings
    assert warning.startswith(f"warning: the DKIM key {OPENDKIM}/mail.private is not used: ")
    assert "AAAA" not in warning


def test_a_key_with_a_passphrase_is_refused_without_a_question(tmp_path: Path) -> None:
    key = openssl("genrsa", "-aes128", "-passout", "pass:secret", "1024")
    write(tmp_path, f"{OPENDKIM}/mail.private", key)
    warnings: list[str] = []
    assert read(tmp_path, warnings) == {}
    assert "without a passphrase" in warnings[0]


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    outside = write(tmp_path, "outside.pem", rsa())
    config = tmp_path / "config"
    (config / OPENDKIM).mkdir(parents=True)
    (config / OPENDKIM / "mail.private").symlink_to(outside)
    warnings: list[str] = []
    assert read(config, warnings) == {}
    assert "outside of the config folder" in warnings[0]


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    (tmp_path / OPENDKIM).mkdir(parents=True)
    os.mkfifo(tmp_path / OPENDKIM / "mail.private")
    warnings: list[str] = []
    assert read(tmp_path, warnings) == {}
    assert "not a regular file" in warnings[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_user_who_may_not_read_the_key_gets_it_from_the_record(tmp_path: Path) -> None:
    key = rsa()
    write(tmp_path, f"{OPENDKIM}/mail.private", key)
    half = len(spki(key)) // 2
    record = f'mail._domainkey IN TXT ( "v=DKIM1; k=rsa; "\n "p={spki(key)[:half]}"\n'
    record += f'  "{spki(key)[half:]}" )  ; ----- DKIM key mail for {DOMAIN}\n'
    write(tmp_path, f"{OPENDKIM}/mail.txt", record.encode()).chmod(0o644)
    code = (
        "import base64, os\n"
        "from mailroster.app.dns import domain_keys\n"
        "from mailroster.base.settings import Sources, load\n"
        "from mailroster.servers import dkim_keys\n"
        "os.setuid(65534)\n"
        f"given = {{'config': {str(tmp_path)!r}}}\n"
        "settings = load(Sources(given, {}, lambda path: b'', lambda path: False))\n"
        f"print(domain_keys(settings, {DOMAIN!r}, print)[0].public)"
    )
    for folder in [tmp_path, *tmp_path.parents][:4]:
        if folder != Path("/tmp"):
            folder.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == spki(key), done.stderr
