"""What `up` refuses before anything starts, and what it warns of at its start."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest

from mailroster.servers import version
from tests.support.host import propagation
from tests.support.instance import HASH, Instance


@pytest.fixture
def new() -> Iterator[Instance]:
    """An instance that was never started."""
    instance = Instance()
    try:
        yield instance
    finally:
        instance.close()


def configure(instance: Instance, lines: str) -> None:
    with instance.file("mailroster.toml").open("a") as file:
        file.write(lines)


def pair(instance: Instance, name: str, host: str) -> None:
    """A certificate and its key in the config folder: `NAME.crt` and `NAME.key`."""
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    argv += ["-nodes", "-subj", f"/CN={host}", "-keyout", str(instance.file(f"{name}.key"))]
    subprocess.run(
        [*argv, "-out", str(instance.file(f"{name}.crt"))], check=True, capture_output=True
    )


def test_a_certificate_that_cannot_work_is_refused_by_name(new: Instance) -> None:
    pair(new, "a", "mail.example.test")
    pair(new, "b", "mail.example.test")
    configure(new, 'tls_certificate = "a.crt"\ntls_key = "b.key"\n')
    done = new.run("up")
    assert done.returncode == 1
    assert f"the TLS key {new.config}/b.key does not belong to the certificate" in done.stderr
    assert not (new.state / "spool").exists()


def test_a_start_warns_of_a_certificate_and_of_variables_and_goes_on(
    new: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair(new, "a", "other.test")
    configure(new, 'tls_certificate = "a.crt"\ntls_key = "a.key"\n')
    monkeypatch.setenv("RELAY_HOST", "smtp.provider.test")
    monkeypatch.setenv("PERMIT_DOCKER", "network")
    monkeypatch.setenv("ENABLE_RSPAMD", "")
    new.start()
    log = new.log.read_text()
    assert f"warning: the TLS certificate {new.config}/a.crt is not for mail.example.test" in log
    lines = [line.partition(" ")[2] for line in log.splitlines()]
    assert [line.partition(": ")[0] for line in lines[:2]] == ["warning", "warning"]
    assert lines[0].startswith("warning: RELAY_HOST has no effect: ")
    assert lines[1].startswith("warning: PERMIT_DOCKER has no effect: ")
    assert "ENABLE_RSPAMD" not in log
    for port in ("imaps", "submissions"):
        shown = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{new.ports[port]}"],
            input="", capture_output=True, text=True,
        )  # fmt: skip
        assert "CN=other.test" in shown.stdout.replace(" = ", "=")
    # An override that would defer all mail is not put in force at the next start.
    new.file("postfix-main.cf").write_text("# a\ntransport_maps = hash:/nowhere\n")
    new.stop()
    new.start()
    assert "postfix-main.cf:2: error: Postfix says of hash:/nowhere: open" in new.log.read_text()
    assert new.rcpt("nobody@elsewhere.test")[0] == 554


def test_the_certificate_of_another_mail_server_is_found_by_ssl_type(
    new: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_TYPE", "custom")
    done = new.run("up")
    assert done.returncode == 1
    path = new.config / "ssl/mail.example.test-full.pem"
    assert f"there is no TLS file {path}" in done.stderr
    pair(new, "a", "mail.example.test")
    path.parent.mkdir()
    path.write_text(new.file("a.key").read_text() + new.file("a.crt").read_text())
    new.start()
    shown = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{new.ports['imaps']}"],
        input="", capture_output=True, text=True,
    )  # fmt: skip
    assert new.file("a.crt").read_text().strip() in shown.stdout


def test_an_override_that_would_defer_all_mail_is_refused_at_the_first_start(
    new: Instance,
) -> None:
    new.file("postfix-main.cf").write_text("smtpd_helo_restrictions = pcre:/nowhere\n")
    done = new.run("up")
    assert done.returncode == 1
    assert "postfix-main.cf:1: error: Postfix says of pcre:/nowhere: open /nowhere" in done.stderr


def test_sieve_extensions_of_the_folder_count_without_a_server(new: Instance) -> None:
    new.file("postfix-accounts.cf").write_text(f"u@x.com|{HASH}\n")
    script = 'require "editheader";\naddheader "X-Seen" "yes";\n'
    new.file("u@x.com.dovecot.sieve").write_text(script)
    assert "[bad-sieve]" in new.run("check").stdout
    extension = {
        "2.3": "plugin {\n  sieve_extensions = +editheader\n}\n",
        "2.4": "sieve_extensions {\n  editheader = yes\n}\n",
    }[version.version()]
    new.file("dovecot.cf").write_text(extension)
    done = new.run("check")
    assert done.returncode == 0
    assert "bad-sieve" not in done.stdout
    assert "bad-sieve" not in new.run("adopt", str(new.config)).stdout


def test_the_servers_have_the_full_name_of_the_machine() -> None:
    """As in a container with `--hostname mail --domainname example.test`."""
    program = (
        "import os; from mailroster.app.configure import sources_of; "
        "from mailroster.base.settings import load; "
        "print(load(sources_of({'home': '/nonexistent'}, {})).hostname)"
    )
    script = (
        'hostname mail && printf \'127.0.0.1 localhost\\n%s\\n\' "$1" >"$2" && '
        f'mount --bind "$2" /etc/hosts && hostname -f && \'{sys.executable}\' -c "$3"'
    )
    inside = ["unshare", "--uts", "--mount", *propagation()]
    for line in ("172.17.0.2 mail.example.test mail", "127.0.1.1\tMAIL.example.test\tmail"):
        with tempfile.NamedTemporaryFile() as hosts:
            done = subprocess.run(
                [*inside, "sh", "-c", script, "sh", line, hosts.name, program],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
        full, ours = done.stdout.split()
        assert ours == full.lower() == "mail.example.test"
