"""What `up` refuses before anything starts, and what it warns of at its start."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.servers.instance import Instance


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


def test_a_relative_certificate_for_another_name_is_used_with_a_warning(new: Instance) -> None:
    pair(new, "a", "other.test")
    configure(new, 'tls_certificate = "a.crt"\ntls_key = "a.key"\n')
    new.start()
    said = f"warning: the TLS certificate {new.config}/a.crt is not for mail.example.test"
    assert said in new.log.read_text()
    for port in ("imaps", "submissions"):
        shown = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{new.ports[port]}"],
            input="", capture_output=True, text=True,
        )  # fmt: skip
        assert "CN=other.test" in shown.stdout.replace(" = ", "=")
