"""compose.yaml asks for the container that the other tests of the image run."""

import re
from typing import Any

import pytest
import yaml

from mailroster.base.settings import FOLDERS, SETTINGS, Sources, load
from tests.support.container import HOSTNAME, PORTS, VOLUMES
from tests.support.project import ROOT


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    (found,) = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"].values()
    assert isinstance(found, dict)
    return found


def test_it_publishes_every_port_under_its_own_number(service: dict[str, Any]) -> None:
    assert sorted(service["ports"]) == sorted(f"{port}:{port}" for port in PORTS.values())


def test_it_keeps_the_folders_of_the_contract_below_one_home(service: dict[str, Any]) -> None:
    wanted = {f"./docker-data/dms/{name}/:{place}/" for name, place in VOLUMES.items()}
    assert set(service["volumes"]) == wanted


def test_it_is_built_here_and_has_a_name_and_is_started_again(service: dict[str, Any]) -> None:
    assert (service["image"], service["build"]) == ("mailroster", ".")
    assert (service["hostname"], service["restart"]) == (HOSTNAME, "always")
    assert (ROOT / service["build"] / "Containerfile").is_file()


def test_its_variables_are_settings(service: dict[str, Any]) -> None:
    known = {setting.variable for setting in (*FOLDERS, *SETTINGS)}
    assert set(service["environment"]) <= known


def test_what_is_behind_a_number_sign_can_be_used(service: dict[str, Any]) -> None:
    text = re.sub(r"(?m)^( +)#(?=\S)", r"\1", (ROOT / "compose.yaml").read_text())
    (options,) = yaml.safe_load(text)["services"].values()
    assert set(options["volumes"]) - set(service["volumes"]) == {
        "/etc/letsencrypt/:/etc/letsencrypt/:ro"
    }
    environment = options["environment"]
    assert len(environment) > len(service["environment"])
    settings = load(Sources({}, environment, lambda path: b"", lambda path: False))
    assert settings.block_guessing and settings.enable_srs and settings.enable_rspamd
    assert settings.tls_type == "letsencrypt"
