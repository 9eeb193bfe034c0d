"""compose.yaml asks for the container that the other tests of the image run."""

from typing import Any

import pytest
import yaml

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
    from mailroster.base.settings import FOLDERS, SETTINGS

    known = {setting.variable for setting in (*FOLDERS, *SETTINGS)}
    assert set(service["environment"]) <= known
