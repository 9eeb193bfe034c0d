"""Certificates by ACME (RFC 8555) from a local authority, Pebble: by dehydrated, as the image runs
it, and by certbot with its deploy hook. Clients that trust the authority verify the result."""

import json
import os
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.instance import Instance, free_ports, until
from tests.support.pki import Authority
from tests.support.project import ROOT

HOST = "mail.example.test"


class Pebble:
    """A running authority, and the DNS server that it asks: every name is this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        port, manage, dns, self.http_port, dns_manage, tls = free_ports(6)
        self.directory, self._roots = f"https://127.0.0.1:{port}/dir", f"https://127.0.0.1:{manage}"
        self.authority = Authority(folder / "ca")  # of the server's own certificate
        issued = self.authority.issue("127.0.0.1", address=True)
        (folder / "chain.pem").write_text(issued.chain)
        (folder / "key.pem").write_text(issued.key)
        self.bundle = folder / "root.pem"
        self.bundle.write_text(self.authority.root)
        config = {
            "listenAddress": f"127.0.0.1:{port}", "managementListenAddress": f"127.0.0.1:{manage}",
            "certificate": f"{folder}/chain.pem", "privateKey": f"{folder}/key.pem",
            "httpPort": self.http_port, "tlsPort": tls,
        }  # fmt: skip
        (folder / "pebble.json").write_text(json.dumps({"pebble": config}))
        server = ["pebble-challtestsrv", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""]
        server += ["-dns01", f"127.0.0.1:{dns}", "-management", f"127.0.0.1:{dns_manage}"]
        server += ["-http01", "", "-https01", "", "-tlsalpn01", ""]
        known = subprocess.run([server[0], "-h"], capture_output=True, text=True).stderr
        server += ["-doh", ""] if "-doh" in known else []
        self._log = (folder / "pebble.log").open("wb")
        environment = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
        argv = ["pebble", "-config", f"{folder}/pebble.json", "-dnsserver", f"127.0.0.1:{dns}"]
        self._processes = [
            subprocess.Popen(each, env=environment, stdout=self._log, stderr=self._log)
            for each in (server, argv)
        ]
        until(self._answers, 60, (folder / "pebble.log").read_text)

    def _answers(self) -> bool:
        try:
            return bool(self.root())
        except OSError:
            return False

    def root(self) -> str:
        """The certificate of the authority, which changes with each start."""
        context = ssl.create_default_context(cafile=str(self.bundle))
        with urllib.request.urlopen(f"{self._roots}/roots/0", context=context) as answer:
            return str(answer.read().decode())

    def close(self) -> None:
        for process in self._processes:
            process.terminate()
            process.wait()
        self._log.close()


@pytest.fixture(scope="module")
def pebble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    made = Pebble(tmp_path_factory.mktemp("pebble"))
    try:
        yield made
    finally:
        made.close()


def verified(instance: Instance, pebble: Pebble, port: str) -> str:
    """The serial number of the certificate, as a client sees it that verifies chain and name."""
    import socket

    context = ssl.create_default_context(cadata=pebble.root())
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    with (
        socket.create_connection(("127.0.0.1", instance.ports[port]), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as session,
    ):
        return str((session.getpeercert() or {})["serialNumber"])


def renewed(instance: Instance, pebble: Pebble, old: str) -> bool:
    return all(verified(instance, pebble, port) != old for port in ("imaps", "submissions"))


def is_followed(instance: Instance, pebble: Pebble, argv: list[str], env: dict[str, str]) -> None:
    """Asserts that a forced renewal is in force on the ports."""
    instance.start()
    old = verified(instance, pebble, "imaps")
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    until(lambda: renewed(instance, pebble, old), 60, instance.log.read_text)
    assert verified(instance, pebble, "pop3s")
    status = instance.run("status")
    assert (status.returncode, "valid until" in status.stdout) == (0, True), status.stdout


def test_dehydrated_as_the_image_runs_it(pebble: Pebble, tmp_path: Path) -> None:
    folder = tmp_path / "dehydrated"
    env = {
        **os.environ, "ACME_FOLDER": str(folder), "ACME_NAMES": f"{HOST} imap.example.test",
        "ACME_CA": pebble.directory, "ACME_PORT": str(pebble.http_port),
        "ACME_ACCEPT_TERMS": "1", "ACME_EMAIL": "admin@example.test",
        "CURL_CA_BUNDLE": str(pebble.bundle),
    }  # fmt: skip
    argv = ["sh", str(ROOT / "container/acme"), "once"]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    files = folder / "certs" / HOST
    assert (files / "privkey.pem").stat().st_mode & 0o077 == 0
    instance = Instance(
        tls_certificate=str(files / "fullchain.pem"), tls_key=str(files / "privkey.pem")
    )
    try:
        is_followed(instance, pebble, [*argv, "--force"], env)
    finally:
        instance.close()
    with pytest.raises(OSError, match="refused"):  # the web server has ended
        urllib.request.urlopen(f"http://127.0.0.1:{pebble.http_port}/")


@pytest.mark.parametrize("missing", ["ACME_NAMES", "ACME_ACCEPT_TERMS"])
def test_dehydrated_needs_a_name_and_a_consent(tmp_path: Path, missing: str) -> None:
    env = {"ACME_FOLDER": str(tmp_path), "ACME_NAMES": HOST, "ACME_ACCEPT_TERMS": "1"}
    del env[missing]
    argv = ["/bin/sh", str(ROOT / "container/acme"), "once"]
    done = subprocess.run(argv, env=env, capture_output=True, text=True)
    assert (done.returncode, missing in done.stderr) == (64, True)


def test_certbot_and_its_deploy_hook(pebble: Pebble, tmp_path: Path) -> None:
    env = {**os.environ, "REQUESTS_CA_BUNDLE": str(pebble.bundle)}
    folders = [
        word
        for name in ("config", "work", "logs")
        for word in (f"--{name}-dir", f"{tmp_path}/{name}")
    ]
    certbot = ["certbot", *folders, "--non-interactive"]
    argv = [*certbot, "certonly", "--standalone", "--http-01-port", str(pebble.http_port)]
    argv += ["--server", pebble.directory, "--agree-tos", "--register-unsafely-without-email"]
    done = subprocess.run([*argv, "-d", HOST], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    live = tmp_path / "config/live" / HOST
    instance = Instance(
        tls_certificate=str(live / "fullchain.pem"), tls_key=str(live / "privkey.pem")
    )
    reported = tmp_path / "reported"
    hook = f"sleep 10; {instance.command} status >{reported}"
    try:
        argv = [*certbot, "renew", "--force-renewal", "--no-random-sleep-on-renew"]
        is_followed(instance, pebble, [*argv, "--deploy-hook", hook], env)
        assert f"certificate: {live}/fullchain.pem, valid until" in reported.read_text()
    finally:
        instance.close()
