"""The manifests of `kubernetes/`: what kubectl would refuse, what would fail in the cluster."""

import copy
from collections.abc import Callable
from pathlib import Path

import kubernetes_validate
import pytest

from mailroster.base.settings import FOLDERS, OVERLAY, SETTINGS
from mailroster.servers.config.dkim import OPENDKIM_KEYS, opendkim_key
from mailroster.store.overlay import source
from tests.support.kubernetes import (
    KUBERNETES,
    Manifest,
    containers,
    environment,
    limits,
    load,
    mounts,
    of_kind,
    pod,
    render,
)

FOLDERS_TO_APPLY = ("base", "example")
#: The oldest that is likely to be met, and the newest that the library knows.
VERSIONS = ("1.29", kubernetes_validate.latest_version())
PORTS = {
    "smtp": 25, "submission": 587, "submissions": 465, "imap": 143, "imaps": 993, "pop3": 110,
    "pop3s": 995, "sieve": 4190,
}  # fmt: skip


@pytest.fixture(params=FOLDERS_TO_APPLY)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return render(KUBERNETES / request.param)


def stateful(manifests: list[Manifest]) -> Manifest:
    (found,) = of_kind("StatefulSet", manifests)
    return found


def container(manifests: list[Manifest]) -> Manifest:
    (found,) = containers(stateful(manifests))
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_what_kubernetes_takes(manifests: list[Manifest], version: str) -> None:
    assert {manifest["kind"] for manifest in manifests} == {"StatefulSet", "Service", "Secret"}
    for manifest in manifests:
        kubernetes_validate.validate(manifest, version, strict=True)


def misspelt(manifest: Manifest) -> None:
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    container["readynessProbe"] = container.pop("readinessProbe")


def without_selector(manifest: Manifest) -> None:
    del manifest["spec"]["selector"]


def port_as_text(manifest: Manifest) -> None:
    manifest["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"] = "25"


def env_as_number(manifest: Manifest) -> None:
    manifest["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = 1


@pytest.mark.parametrize("harm", [misspelt, without_selector, port_as_text, env_as_number])
def test_a_mistake_in_a_manifest_is_seen(harm: Callable[[Manifest], None]) -> None:
    manifest = copy.deepcopy(stateful(render(KUBERNETES / "base")))
    harm(manifest)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, VERSIONS[-1], strict=True)


def test_every_file_belongs_to_a_kustomization() -> None:
    named = set()
    for path in KUBERNETES.glob("*/kustomization.yaml"):
        said = load(path)
        names = [*said.get("resources", ()), *(each["path"] for each in said.get("patches", ()))]
        names += [file for each in said.get("secretGenerator", ()) for file in each["files"]]
        named |= {path, *((path.parent / name).resolve() for name in names)}
    assert {path for path in KUBERNETES.rglob("*") if path.is_file()} == {
        path for path in named if path.is_file()
    }


@pytest.mark.parametrize(
    "text",
    [
        "resources: [missing.yaml]",
        "helmCharts: []",
        "components: [missing]",
        "secretGenerator: [{name: a, files: [missing]}]\ngeneratorOptions: "
        "{disableNameSuffixHash: true}",
        "patches: [{target: {kind: Service, name: none}, path: p.yaml}]",
    ],
)
def test_what_can_not_be_put_together_is_seen(text: str, tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text(text)
    (tmp_path / "p.yaml").write_text("[]")
    with pytest.raises((AssertionError, OSError)):
        render(tmp_path)


def test_a_patch_that_would_hit_something_else_is_seen(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("{kind: Service, metadata: {name: s}, spec: {a: [{b: 1}]}}")
    (tmp_path / "kustomization.yaml").write_text(
        "resources: [s.yaml]\npatches: [{target: {kind: Service, name: s}, path: p.yaml}]"
    )
    for step in ("test, path: /spec/a/0/b", "replace, path: /spec/c", "add, path: /spec/a"):
        (tmp_path / "p.yaml").write_text(f"[{{op: {step}, value: 2}}]")
        with pytest.raises(AssertionError):
            render(tmp_path)


def test_what_is_mounted_is_there_and_nothing_is_mounted_for_nobody(
    manifests: list[Manifest],
) -> None:
    found = mounts(manifests)
    made = {volume["name"] for volume in pod(stateful(manifests))["volumes"]}
    made |= {
        claim["metadata"]["name"] for claim in stateful(manifests)["spec"]["volumeClaimTemplates"]
    }
    assert {mount.volume for mount in found} == made
    assert len({mount.path for mount in found}) == len(found)
    by_path = {mount.path: mount for mount in found}
    config = by_path["/tmp/docker-mailserver"]
    assert (config.kind, config.read_only, config.mode) == ("secret", True, 0o400)
    assert "postfix-accounts.cf" in config.files
    for path in ("/var/mail", "/var/mail-state"):
        assert by_path[path].kind == "claim", "it would be lost with the pod"
    for mount in found:
        assert mount.read_only == (mount.kind == "secret")
        assert mount.mode == 0o400 or mount.kind != "secret"


def test_a_change_of_the_secret_does_not_restart_the_server(manifests: list[Manifest]) -> None:
    """kubelet never changes files that are mounted one by one, and kustomize's hash in the name of
    a Secret would make another pod."""
    for mount in container(manifests)["volumeMounts"]:
        assert "subPath" not in mount
    names = {secret["metadata"]["name"] for secret in of_kind("Secret", manifests)}
    assert names == {"mailroster-config", "mailroster-settings"}


def test_every_variable_is_a_setting_and_every_file_is_mounted(manifests: list[Manifest]) -> None:
    variables = {setting.variable for setting in (*FOLDERS, OVERLAY, *SETTINGS)} - {""}
    found = mounts(manifests)
    theirs = {"tls.crt", "tls.key"}  # kubernetes.io/tls
    assert environment(manifests)
    for name, value in environment(manifests).items():
        assert name.removesuffix("__FILE") in variables, name
        if value.startswith("/") and name != "MAILROSTER_OVERLAY":
            folder, _, file = value.rpartition("/")
            (mount,) = [mount for mount in found if mount.path == folder]
            assert file in mount.files or (not mount.files and file in theirs), value


def test_keys_for_dkim_are_where_they_sign_and_may_be_missing() -> None:
    (volume,) = (
        each
        for each in pod(stateful(render(KUBERNETES / "example")))["volumes"]
        if each["name"] == "config"
    )
    (keys,) = (
        source["secret"]
        for source in volume["projected"]["sources"]
        if source["secret"]["name"] == "mailroster-dkim"
    )
    assert keys["optional"] is True
    for item in keys["items"]:
        folder, domain, name = item["path"].rsplit("/", 2)
        key = opendkim_key(domain, name)
        assert (folder, key and key.domain) == (OPENDKIM_KEYS, item["key"])


def test_with_an_overlay_it_is_kept_and_can_be_written() -> None:
    manifests = render(KUBERNETES / "example")
    overlay = environment(manifests)["MAILROSTER_OVERLAY"]
    (mount,) = [mount for mount in mounts(manifests) if mount.path == overlay]
    assert (mount.kind, mount.read_only) == ("claim", False)
    assert "MAILROSTER_OVERLAY" not in environment(render(KUBERNETES / "base"))


def test_ports_agree_everywhere(manifests: list[Manifest]) -> None:
    (service,) = of_kind("Service", manifests)
    inside = {port["name"]: port["containerPort"] for port in container(manifests)["ports"]}
    outside = {port["targetPort"]: port["port"] for port in service["spec"]["ports"]}
    assert inside == outside == PORTS
    labels = stateful(manifests)["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == labels
    assert stateful(manifests)["spec"]["selector"]["matchLabels"] == labels
    assert stateful(manifests)["spec"]["serviceName"] == service["metadata"]["name"]


def test_probes_ask_the_health_check_and_wait_for_it(manifests: list[Manifest]) -> None:
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = container(manifests)[name]
        assert probe["exec"]["command"] == ["mailroster", "health"]
        assert probe["timeoutSeconds"] >= 12, "a greeting may take 10 s (health.py)"


def test_no_capability_is_there_by_default_and_the_root_is_read_only(
    manifests: list[Manifest],
) -> None:
    security = container(manifests)["securityContext"]
    assert security["readOnlyRootFilesystem"] is True
    assert security["capabilities"]["drop"] == ["ALL"]
    assert "privileged" not in security
    assert pod(stateful(manifests))["automountServiceAccountToken"] is False


def test_a_spam_filter_is_a_second_container_of_the_same_image(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text(
        f"resources: [{KUBERNETES}/base]\ncomponents: [{KUBERNETES}/with-rspamd]\n"
    )
    manifests = render(tmp_path)
    for manifest in manifests:
        kubernetes_validate.validate(manifest, VERSIONS[-1], strict=True)
    server, rspamd = containers(stateful(manifests))
    assert rspamd["image"] == server["image"]
    assert rspamd["args"] == ["mailroster", "filter"]
    for each in (server, rspamd):
        variables = {one["name"]: one.get("value") for one in each["env"]}
        assert (variables["ENABLE_RSPAMD"], variables["MAILROSTER_RSPAMD_PROCESS"]) == ("1", "0")
    places = [(each["name"], each["mountPath"]) for each in server["volumeMounts"]]
    for each in rspamd["volumeMounts"]:
        assert (each["name"], each["mountPath"]) in places
    security = rspamd["securityContext"]
    assert security["readOnlyRootFilesystem"] is True
    assert {*security["capabilities"]["add"]} < {*server["securityContext"]["capabilities"]["add"]}


def test_base_has_no_namespace_and_a_version_of_its_image() -> None:
    base = render(KUBERNETES / "base")
    assert all("namespace" not in manifest["metadata"] for manifest in base)
    image = container(base)["image"]
    name, _, tag = image.partition(":")
    assert name == "mailroster"
    assert tag[:1].isdigit()


def test_every_name_in_a_secret_is_one_that_a_folder_gives(manifests: list[Manifest]) -> None:
    """So that no file of the config folder is passed over by who brings them."""
    files = [file for mount in mounts(manifests) for file in mount.files]
    assert files
    assert [file for file in files if not source.belongs(file)] == []


def test_the_limits_are_arguments_for_podman() -> None:
    found = limits(render(KUBERNETES / "example"))
    assert {"--read-only", "--cap-drop=ALL", "--cap-add=SETUID"} <= set(found)
    assert f"--memory={1 << 30}" in found
    assert "--stop-timeout=30" in found


def test_what_is_mounted_into_a_mount_comes_after_it() -> None:
    found = [mount.path for mount in mounts(render(KUBERNETES / "example"))]
    assert found.index("/tmp") < found.index("/tmp/docker-mailserver")
