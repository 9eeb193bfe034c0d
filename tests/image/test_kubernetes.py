"""The manifests' container, with the mounts and limits that they name: a read-only root, few
capabilities, and a config folder that is only read, and live when it is swapped."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import kubernetes
from tests.support.container import Container, Mount, container
from tests.support.dns import Dns
from tests.support.instance import HASH, PASSWORD, until
from tests.support.kubelet import Volume
from tests.support.pki import new_key
from tests.support.signed import FRIEND, signers
from tests.support.sink import Sink, Taken

ACCOUNTS, TOML = "postfix-accounts.cf", "mailroster.toml"
TEXTS = {ACCOUNTS: f"john@example.com|{HASH}\n"}


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    """The servers elsewhere."""
    server = Sink()
    yield server
    server.close()


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, sink: Sink
) -> Iterator[tuple[Container, Volume]]:
    """The container of the example, and the volume of its config folder."""
    manifests = kubernetes.render(kubernetes.KUBERNETES / "example")
    folder = tmp_path_factory.mktemp("volumes")
    mounts, volumes = list[Mount](), dict[str, Volume]()
    for name, path, kind, read_only, files, mode in kubernetes.mounts(manifests):
        mounts.append(Mount(None if kind == "empty" else folder / name, path, read_only))
        if kind == "secret":
            texts = {file: content.decode() for file, content in files.items()}
            volumes[name] = Volume(folder / name, texts or pem(folder), mode)
        elif kind == "claim":
            (folder / name).mkdir()
    environment = kubernetes.environment(manifests)
    made = container(environment, mounts, kubernetes.limits(manifests))
    made.environment["DEFAULT_RELAY_HOST"] = f"[{made.this_machine}]:{sink.port}"
    config = volumes["config"]
    config.put({**TEXTS, TOML: made.settings()})
    try:
        made.start()
        yield made, config
    finally:
        made.close()


def pem(folder: Path) -> dict[str, str]:
    """The files of a Secret for TLS, as a cluster's issuer of certificates makes them."""
    key, certificate = folder / "tls.key", folder / "tls.crt"
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=cluster"]
    argv += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(argv, check=True, capture_output=True)
    return {path.name: path.read_text() for path in (key, certificate)}


def test_it_is_well_with_the_mounts_and_limits_of_the_manifests(
    cluster: tuple[Container, Volume],
) -> None:
    made, _ = cluster
    assert made.can_log_in("john@example.com")
    made.send("john@example.com", subject="into the cluster")
    made.arrives("john@example.com", "into the cluster")
    for place in ("/", "/etc", "/usr", "/tmp/docker-mailserver"):
        assert made.run("touch", f"{place}/here").returncode != 0, place


def test_a_swapped_secret_is_live(cluster: tuple[Container, Volume]) -> None:
    made, config = cluster
    both = TEXTS[ACCOUNTS] + f"jane@example.com|{HASH}\n"
    config.put({ACCOUNTS: both, TOML: made.settings()})
    until(lambda: made.can_log_in("jane@example.com"))


def test_a_command_works_in_the_overlay_and_is_live(cluster: tuple[Container, Volume]) -> None:
    made, _ = cluster
    made.bash("setup alias add info@example.com john@example.com")
    made.send("info@example.com", subject="through the overlay")
    made.arrives("john@example.com", "through the overlay")


def test_a_key_in_a_secret_signs_beside_one_that_a_command_has_made(
    cluster: tuple[Container, Volume], sink: Sink, dns: Dns
) -> None:
    made, config = cluster
    accounts = f"{TEXTS[ACCOUNTS]}jane@example.org|{HASH}\n"
    texts = {ACCOUNTS: accounts, TOML: made.settings()}
    config.put({**texts, "opendkim/keys/example.org/mail.private": new_key("rsa")})
    until(lambda: made.can_log_in("jane@example.org"))
    zone = made.bash("setup config dkim")
    names = re.findall(r"^(\S+)\. IN TXT", zone, re.M)
    assert names == ["mail._domainkey.example.com", "mail._domainkey.example.org"]
    dns.publish(zone)
    numbers = iter(range(1000))

    def signed_by(sender: str) -> list[str]:
        subject = f"number {next(numbers)} of {sender}"
        with made.smtp("submission") as session:
            session.login(sender, PASSWORD)
            text = f"From: {sender}\r\nSubject: {subject}\r\n\r\nHello.\r\n"
            session.sendmail(sender, [FRIEND], text)

        def taken() -> list[Taken]:
            return [one for one in list(sink.taken) if f"{subject}\r".encode() in one.content]

        until(lambda: bool(taken()), 60, made.logs)
        return signers(taken()[0], dns)

    for domain, name in (("example.com", "john"), ("example.org", "jane")):
        until(lambda: signed_by(f"{name}@{domain}") == [f"mail.{domain}"], 60, made.logs)  # noqa: B023


def test_it_stops_in_the_time_that_the_cluster_gives(cluster: tuple[Container, Volume]) -> None:
    made, _ = cluster
    made.stop()
    assert made.exit_code() == 0
