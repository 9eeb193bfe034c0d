"""`setup dns` on a config folder, and `--check` with a test server."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from mailroster.cli import check_pages
from tests.support.folder import ACCOUNTS, Folder, H, folder
from tests.support.name_server import NameServer, parsed

__all__ = ["folder"]  # the fixture

ADDRESS = "203.0.113.25"
HOST = "mail.example.com"
SELECTOR = "mail._domainkey.example.com"


@pytest.fixture
def home(folder: Folder) -> Folder:
    folder.write(ACCOUNTS, f"postmaster@example.com|{H}\n")
    folder.write("mailroster.toml", f'hostname = "{HOST}"\nsmtp_port = 25\n')
    (folder.config / ACCOUNTS).chmod(0o600)
    keys = folder.config / "opendkim/keys/example.com"
    keys.mkdir(parents=True)
    key = subprocess.run(["openssl", "genrsa", "2048"], capture_output=True, check=True).stdout
    (keys / "mail.private").write_bytes(key)
    return folder


@pytest.fixture
def server(home: Folder) -> Iterator[NameServer]:
    """A server with the records that `--zone` prints, those in comments too."""
    text = home.setup("dns", "example.com", "--zone", "--address", ADDRESS).out
    lines = [line.removeprefix("; in another zone: ") for line in text.splitlines()]
    with NameServer("\n".join(line for line in lines if " 3600 IN " in line)).running() as running:
        for record in json.loads(home.setup("dns", "example.com", "--json").out):
            if record["condition"] and record["zone"]:
                running.add(record["zone"])
        yield running


def checked(home: Folder, server: NameServer, *options: str) -> Any:
    where = ("--server", server.place, "--address", ADDRESS)
    return home.setup("dns", "example.com", "--check", *where, *options)


def test_with_the_records_that_it_prints_nothing_is_found(home: Folder, server: NameServer) -> None:
    ran = checked(home, server)
    assert (ran.code, ran.out, ran.err) == (0, "the records of example.com are right\n", "")


def test_a_fault_is_an_exit_status_and_a_line_with_a_code_that_has_a_page(
    home: Folder, server: NameServer
) -> None:
    server.remove(f"{SELECTOR}", "TXT")
    server.remove("_smtp._tls.example.com", "TXT")
    ran = checked(home, server)
    assert ran.code == 1
    (line,) = ran.out.splitlines()
    assert line.startswith(f"{SELECTOR} TXT: error: there is no record for the key opendkim/keys/")
    assert line.endswith("[no-dkim]")
    assert ran.err == "setup: 1 error; 2 notes (setup dns DOMAIN --check --info)\n"
    explained = home.setup("check", "--explain", "no-dkim")
    assert (explained.code, explained.out) == (0, check_pages.page("no-dkim", check_pages.DNS))


def test_a_warning_is_an_exit_status_too_and_a_note_is_not(
    home: Folder, server: NameServer
) -> None:
    server.remove("_smtp._tls.example.com", "TXT")
    ran = checked(home, server, "--info")
    assert (ran.code, "[no-tls-rpt]" in ran.out) == (0, True)
    assert ran.out.endswith("the records of example.com are right\n")
    server.remove("_dmarc.example.com", "TXT")
    ran = checked(home, server)
    assert (ran.code, "[no-dmarc]" in ran.out) == (1, True)


def test_codes_that_are_ignored_are_no_fault(home: Folder, server: NameServer) -> None:
    server.remove(SELECTOR, "TXT")
    server.remove("_dmarc.example.com", "TXT")
    ran = checked(home, server, "--ignore", "no-dkim")
    assert (ran.code, "[no-dkim]" in ran.out, "[no-dmarc]" in ran.out) == (1, False, True)
    ran = checked(home, server, "--ignore", "no-dkim,no-dmarc")
    assert (ran.code, "[no-d" in ran.out) == (0, False)
    ran = checked(home, server, "--ignore", "no-dmark")
    assert (ran.code, "did you mean no-dmarc?" in ran.err) == (2, True)


def test_findings_as_json(home: Folder, server: NameServer) -> None:
    server.remove("example.com", "TXT")
    (finding,) = json.loads(checked(home, server, "--json").out)
    assert finding["code"] == "no-spf"
    assert finding["where"] == {"file": "example.com TXT", "line": 0}
    assert finding["hint"] == "add the record example.com TXT v=spf1 mx -all"


def test_another_key_on_disk_is_found(home: Folder, server: NameServer) -> None:
    path = home.config / "opendkim/keys/example.com/mail.private"
    key = subprocess.run(["openssl", "genrsa", "2048"], capture_output=True, check=True).stdout
    path.write_bytes(key)
    ran = checked(home, server)
    assert (ran.code, "[wrong-dkim]" in ran.out) == (1, True)
    assert "PRIVATE" not in ran.out + ran.err


def test_of_another_spelling_the_a_labels_are_asked(home: Folder) -> None:
    with NameServer().running() as server:
        ran = home.setup("dns", "Müller.example.", "--check", "--server", server.place)
        assert (ran.code, "xn--mller-kva.example NS: error" in ran.out) == (1, True)
        assert "no account and no alias is in xn--mller-kva.example" in ran.err
        assert set(server.asked) == {"xn--mller-kva.example. MX"}


def test_without_check_nothing_is_asked(home: Folder) -> None:
    code = (
        "import sys, socket\n"
        "def audit(event, args):\n"
        "    if event in ('socket.sendto', 'socket.sendmsg', 'socket.getaddrinfo') or (\n"
        "        event == 'socket.connect' and args[0].type != socket.SOCK_DGRAM):\n"
        "        raise SystemExit(f'{event} {args}')\n"
        "sys.addaudithook(audit)\n"
        "from mailroster.cli import main\n"
        f"status = main(['--home', {str(home.home)!r}, 'dns', 'example.com'])\n"
        "assert not {'dns', 'dns.message', 'ssl'} & {*sys.modules}, 'dnspython was imported'\n"
        "sys.exit(status)"
    )
    import sys

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "v=DKIM1; h=sha256; k=rsa; p=" in done.stdout


def test_as_json_each_record_has_its_reason(home: Folder) -> None:
    records = json.loads(home.setup("dns", "example.com", "--json", "--address", ADDRESS).out)
    by_place = {(record["name"], record["type"]): record for record in records}
    assert by_place["example.com", "MX"] == {
        "name": "example.com", "type": "MX", "ttl": 3600, "value": f"10 {HOST}",
        "zone": f"example.com. 3600 IN MX 10 {HOST}.", "level": "needed",
        "reason": "Other servers look here for the server that receives the mail of the domain.",
        "condition": None,
    }  # fmt: skip
    (key,) = parsed(by_place[SELECTOR, "TXT"]["zone"]).values()
    assert b"".join(key[0].strings).decode() == by_place[SELECTOR, "TXT"]["value"]
    assert len(key[0].strings) == 2
    assert by_place["mta-sts.example.com", "CNAME"]["condition"]


def test_people_see_the_letters_of_an_idna_domain(home: Folder) -> None:
    out = home.setup("dns", "müller.example").out
    assert out.startswith(f"Mail for müller.example (xn--mller-kva.example) on {HOST}\n")
    assert "  xn--mller-kva.example MX\n" in out


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("example.com --zone --json", 2, "exclude each other"),
        ("example.com --zone --check", 2, "exclude each other"),
        ("example.com --server 192.0.2.1", 2, "--server needs --check"),
        ("example.com --ignore no-mx", 2, "--ignore needs --check"),
        ("example.com --info", 2, "--info needs --check"),
        ("example.com --check --server localhost", 2, "not an IP address"),
        ("example.com --check --server 192.0.2.1:0", 2, "not an IP address"),
        ("example.com --check --server 192.0.2.1:99999", 2, "not an IP address"),
        ("example.com --check --server [::1:53", 2, "not an IP address"),
        ("example.com --address 10.0.0.1", 1, "not a public IP address"),
        ("example.com --hostname mail_1.example.com", 2, "is not a host name"),
        ("example.com --address x", 1, "not a public IP address"),
        ("com", 1, "'com' is not a domain"),
        ("192.0.2.1", 1, "is not a domain"),
        ("a..b", 1, "has an empty part"),
        ("a_b.example", 1, "letters, digits and hyphens"),
        ("a@example.com", 1, "letters, digits and hyphens"),
        ("", 1, "empty part"),
        ("a\n.example", 1, "letters, digits and hyphens"),
    ],
)  # fmt: skip
def test_what_is_not_valid_is_refused(home: Folder, line: str, code: int, words: str) -> None:
    ran = home.setup("dns", *line.split(" "))
    assert (ran.code, ran.out) == (code, "")
    assert words in ran.err


@pytest.mark.parametrize("name", ["localhost", "mail", "mail.localdomain"])
def test_a_server_without_a_name_in_the_dns_is_refused(home: Folder, name: str) -> None:
    home.write("mailroster.toml", f'hostname = "{name}"\n')
    ran = home.setup("dns", "example.com")
    assert (ran.code, ran.out) == (1, "")
    assert "set hostname (OVERRIDE_HOSTNAME)" in ran.err
    out = home.setup("dns", "example.com", "--hostname", "mx.example.com").out
    assert out.startswith("Mail for example.com on mx.example.com\n")


def test_the_relay_of_the_domain_is_in_spf(home: Folder) -> None:
    home.write("postfix-relaymap.cf", "@example.com [smtp.provider.example]:587\n")
    out = home.setup("dns", "example.com", "--zone").out
    assert '"v=spf1 mx a:smtp.provider.example ~all"' in out
