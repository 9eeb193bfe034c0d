"""The manifests of `kubernetes/`, put together as kustomize would, and as arguments for podman.

Only what our manifests use is known of kustomize; anything else is an error, and none of it is
passed over in silence.
"""

import base64
import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.support.project import ROOT

KUBERNETES = ROOT / "kubernetes"
Manifest = dict[str, Any]
#: In the order in which kustomize goes about them.
_FIELDS = {
    "apiVersion", "kind", "namespace", "resources", "components", "patches", "images",
    "secretGenerator", "generatorOptions",
}  # fmt: skip


class Mount(NamedTuple):
    """What is mounted into the container: a folder of the volume's name, of a certain kind."""

    volume: str
    path: str
    kind: str  # secret, claim, empty
    read_only: bool
    files: Mapping[str, bytes] = {}
    mode: int = 0o644


def load(path: Path) -> Any:
    """The one document of a file of YAML."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def render(folder: Path) -> list[Manifest]:
    """What `kubectl kustomize FOLDER` prints, as values."""
    return _built(folder, [])


def _built(folder: Path, found: list[Manifest]) -> list[Manifest]:
    """The manifests of a folder, with those that were there before it."""
    said = load(folder / "kustomization.yaml")
    assert set(said) <= _FIELDS, f"{folder}: not known here: {set(said) - _FIELDS}"
    for name in said.get("resources", ()):
        path = (folder / name).resolve()
        found += render(path) if path.is_dir() else [load(path)]
    for generator in said.get("secretGenerator", ()):
        _generate(folder, generator, said["generatorOptions"], found)
    for name in said.get("components", ()):
        found = _built((folder / name).resolve(), found)
    for patch in said.get("patches", ()):
        _patch(folder, patch, found)
    for manifest in found:
        if "namespace" in said:
            manifest["metadata"]["namespace"] = said["namespace"]
    for image in said.get("images", ()):
        for container in (each for m in found for each in containers(m)):
            if container["image"] == image["name"]:
                container["image"] = f"{image['name']}:{image['newTag']}"
    return found


def _generate(folder: Path, generator: Manifest, options: Manifest, found: list[Manifest]) -> None:
    assert set(generator) <= {"name", "files", "behavior"}, generator
    assert options == {"disableNameSuffixHash": True}
    files = {Path(name).name: (folder / name).read_bytes() for name in generator["files"]}
    data = {name: base64.b64encode(content).decode() for name, content in files.items()}
    name, behavior = generator["name"], generator.get("behavior", "create")
    there = [m for m in found if m["kind"] == "Secret" and m["metadata"]["name"] == name]
    assert len(there) == {"create": 0, "replace": 1}[behavior], f"{name}: {behavior}"
    if there:
        there[0]["data"] = data
        return
    metadata = {"name": name}
    found.append({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})


def _patch(folder: Path, patch: Manifest, found: list[Manifest]) -> None:
    assert set(patch) == {"target", "path"}, patch
    target = patch["target"]
    fitting = [
        m for m in found if (m["kind"], m["metadata"]["name"]) == (target["kind"], target["name"])
    ]
    assert len(fitting) == 1, f"{patch} fits {len(fitting)}"
    for step in load(folder / patch["path"]):
        _step(fitting[0], **step)


def _step(manifest: Manifest, op: str, path: str, value: Any) -> None:
    """One operation of RFC 6902."""
    *way, last = path.removeprefix("/").split("/")
    place: Any = manifest
    for word in way:
        place = place[int(word)] if isinstance(place, list) else place[word]
    if op == "add" and isinstance(place, list) and last == "-":
        place.append(copy.deepcopy(value))
    elif op == "add" and isinstance(place, dict):
        assert last not in place, f"{path} is there already"
        place[last] = copy.deepcopy(value)
    elif op == "replace":
        assert last in place, f"{path} is not there"
        place[last] = value
    elif op == "test":
        assert place[last] == value, f"{path} is {place[last]!r}"
    else:
        raise AssertionError(f"{op} {path} is not known here")


# -- what is in them


def of_kind(kind: str, manifests: list[Manifest]) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def pod(manifest: Manifest) -> Manifest:
    """The pod of a manifest that has one, else an empty one."""
    found: Manifest = (
        manifest["spec"].get("template", {}).get("spec", {}) if "spec" in manifest else {}
    )
    return found


def containers(manifest: Manifest) -> list[Manifest]:
    found: list[Manifest] = pod(manifest).get("containers", [])
    return found


def mounts(manifests: list[Manifest]) -> list[Mount]:
    """What the one container has mounted, outer folders before inner ones."""
    (stateful,) = of_kind("StatefulSet", manifests)
    (container,) = containers(stateful)
    secrets = {m["metadata"]["name"]: m["data"] for m in of_kind("Secret", manifests)}
    volumes = {volume["name"]: volume for volume in pod(stateful)["volumes"]}
    claims = {claim["metadata"]["name"] for claim in stateful["spec"]["volumeClaimTemplates"]}
    found = []
    for mount in container["volumeMounts"]:
        name, path = mount["name"], mount["mountPath"]
        read_only = mount.get("readOnly", False)
        assert (name in claims) != (name in volumes), f"the volume {name}"
        if name in claims:
            found.append(Mount(name, path, "claim", read_only))
        elif "emptyDir" in volumes[name]:
            found.append(Mount(name, path, "empty", read_only))
        else:
            files = dict(_files(volumes[name], secrets))
            found.append(Mount(name, path, "secret", read_only, files, _mode(volumes[name])))
    return sorted(found, key=lambda mount: mount.path.count("/"))


def _files(volume: Manifest, secrets: Mapping[str, Manifest]) -> Iterator[tuple[str, bytes]]:
    """The files of a volume of secrets; none of a Secret that somebody else makes."""
    if "projected" in volume:
        sources = [source["secret"] for source in volume["projected"]["sources"]]
    else:
        sources = [{"name": volume["secret"]["secretName"]}]
    for source in sources:
        data = secrets.get(source["name"], {})
        places = {item["key"]: item["path"] for item in source.get("items", ())}
        for file, content in data.items():
            if not places or file in places:
                yield places.get(file, file), base64.b64decode(content)


def _mode(volume: Manifest) -> int:
    mode: int = (volume.get("projected") or volume["secret"])["defaultMode"]
    return mode


def environment(manifests: list[Manifest]) -> dict[str, str]:
    (stateful,) = of_kind("StatefulSet", manifests)
    (container,) = containers(stateful)
    return {each["name"]: each["value"] for each in container["env"]}


def limits(manifests: list[Manifest]) -> list[str]:
    """What `podman run` needs to run the container with the limits that a cluster would give it."""
    (stateful,) = of_kind("StatefulSet", manifests)
    (container,) = containers(stateful)
    security = container["securityContext"]
    arguments = []
    if security["readOnlyRootFilesystem"]:
        arguments += ["--read-only", "--read-only-tmpfs=false"]
    arguments += [f"--cap-drop={name}" for name in security["capabilities"]["drop"]]
    arguments += [f"--cap-add={name}" for name in security["capabilities"]["add"]]
    if security.get("allowPrivilegeEscalation") is False:
        arguments.append("--security-opt=no-new-privileges")
    arguments.append(f"--memory={_bytes(container['resources']['limits']['memory'])}")
    arguments.append(f"--stop-timeout={pod(stateful)['terminationGracePeriodSeconds']}")
    return arguments


def _bytes(size: str) -> int:
    """A quantity of Kubernetes, as 256Mi."""
    units = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}
    return int(size[:-2]) * units[size[-2:]]
