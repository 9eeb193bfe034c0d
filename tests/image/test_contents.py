"""What the image has, and what it has not."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.container import PORTS, VOLUMES, Container, container, image
from tests.support.instance import until


@pytest.fixture(scope="module")
def inspected() -> dict[str, Any]:
    done = subprocess.run(["podman", "inspect", image()], capture_output=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)[0]
    return found


@pytest.fixture(scope="module")
def shell() -> Iterator[Container]:
    """A container in which commands can be run."""
    made = container()
    try:
        made.begin()
        yield made
    finally:
        made.close()


def test_the_image_says_what_it_is(inspected: dict[str, Any]) -> None:
    labels = inspected["Config"]["Labels"]
    names = ("title", "description", "licenses", "version", "revision")
    assert all(labels.get(f"org.opencontainers.image.{name}") for name in names)


def test_its_folders_and_ports_are_those_of_the_contract(inspected: dict[str, Any]) -> None:
    assert set(inspected["Config"]["Volumes"]) == set(VOLUMES.values())
    assert set(inspected["Config"]["ExposedPorts"]) == {f"{port}/tcp" for port in PORTS.values()}


def test_it_is_small(inspected: dict[str, Any]) -> None:
    """With the base of the tests, which is larger than debian:13-slim."""
    assert inspected["Size"] < 260_000_000


def test_the_last_use_of_app_passwords_is_known_in_it(inspected: dict[str, Any]) -> None:
    """Dovecot's reports go to a port, which nobody else can have in the network of a container."""
    assert "LOGIN_REPORTS_PORT=940" in inspected["Config"]["Env"]


def test_a_health_check_asks_the_servers(inspected: dict[str, Any]) -> None:
    assert inspected["Healthcheck"]["Test"] == ["CMD", "mailroster", "health"]


def test_a_health_check_by_ss_works_as_in_the_compose_files_of_others(shell: Container) -> None:
    port = f"smtp|{shell.ports['smtp']}"  # the second where it has this machine's network
    check = f"ss --listening --tcp | grep -P 'LISTEN.+:({port})\\b' || :"
    until(lambda: "LISTEN" in shell.bash(check), 60)


def test_no_secret_of_the_build_is_in_it_and_no_tool_of_it(shell: Container) -> None:
    found = shell.bash(
        "find /etc /opt /root /home /var/lib -name '*.key' -o -name 'ssl-cert-*' "
        "-o -path '/etc/*/private/*'\n"
        "for tool in gcc cc make pip pip3; do command -v $tool; done || :\n"
        "ls /var/lib/apt/lists\n"
        "ls -A /root | grep -v '^[.]' || :\n"
    )
    assert found == ""


def test_it_has_the_pages_that_messages_name(shell: Container) -> None:
    guide = "/usr/share/doc/mailroster/guide"
    found = shell.bash(f"cd {guide} && ls migrate.md operations.md kubernetes.md")
    assert found.split() == ["kubernetes.md", "migrate.md", "operations.md"]


def test_it_can_request_certificates(shell: Container) -> None:
    said = shell.bash("command -v dehydrated; mailroster-acme once 2>&1 || echo $?")
    assert "set ACME_ACCEPT_TERMS=1" in said or "set ACME_NAMES" in said
    assert said.split()[0] == "/usr/bin/dehydrated"
    assert said.split()[-1] == "64"


def test_its_bill_of_materials_names_what_is_installed(shell: Container) -> None:
    bill = json.loads(shell.bash("cat /usr/share/sbom/mailroster.cdx.json"))
    installed = shell.bash("dpkg-query -W -f '${Package}=${Version}\\n'").split()
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    listed = {f"{c['name']}={c['version']}" for c in bill["components"] if "pkg:deb" in c["purl"]}
    assert listed == set(installed)
    python = {c["name"].lower() for c in bill["components"] if c["purl"].startswith("pkg:pypi/")}
    assert {"mailroster", "lmdb", "argon2-cffi", "idna", "asyncinotify"} <= python
    assert "pip" not in python
