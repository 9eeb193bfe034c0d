"""Where a setting comes from: option, environment, mailroster.toml, default, in this order."""

import os
from collections.abc import Mapping
from typing import Any

import pytest

from mailroster.base.findings import UsageError
from mailroster.base.settings import (
    Settings,
    Sources,
    UnsafeDefault,
    load,
    name_warning,
    percentages,
    relay_warning,
)

CONTAINER = "/tmp/docker-mailserver"


def settings(
    options: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
    folders: tuple[str, ...] = (),
    unsafe: Mapping[str, bool] | None = None,
    mounts: tuple[str, ...] = (),
    *,
    container: bool = True,
    node: str = "localhost",
) -> Settings:
    """The settings from sources that are all in memory; a toml is that of /c. `unsafe`: the default
    folders that others can write, and whether they exist."""
    faults = {os.path.abspath(path): exists for path, exists in (unsafe or {}).items()}

    def fault(path: str, owned: bool) -> tuple[str, bool]:
        return (
            ("every user can write to it; chmod o-w it", faults[path])
            if path in faults
            else ("", True)
        )

    def read(path: str) -> bytes:
        return (files or {}).get(path, "").encode("utf-8", "surrogateescape")

    return load(
        Sources(
            options or {}, environment or {}, read, lambda path: path in folders, fault,
            lambda: container, lambda path: path in mounts, node=node, folder=os.getcwd,
        )
    )  # fmt: skip


def test_the_default_home_is_in_the_current_folder() -> None:
    found = settings()
    assert found.config == os.path.abspath("docker-data/dms/config")
    assert found.mail == os.path.abspath("docker-data/dms/mail-data")
    assert found.state == os.path.abspath("docker-data/dms/mail-state")
    assert found.logs == os.path.abspath("docker-data/dms/mail-logs")


def test_in_a_container_its_folders_are_the_default() -> None:
    found = settings(folders=(CONTAINER,))
    assert found[:4] == (CONTAINER, "/var/mail", "/var/mail-state", "/var/log/mail")
    assert settings(folders=(CONTAINER, "docker-data/dms")).mail.endswith("dms/mail-data")
    assert settings({"home": "/h"}, folders=(CONTAINER,)).config == "/h/config"


@pytest.mark.parametrize(
    ("options", "environment", "found"),
    [
        pytest.param({}, {}, ("/c", ""), id="none"),
        pytest.param({"overlay": "/o"}, {}, ("/o", "/c"), id="an option"),
        pytest.param({}, {"MAILROSTER_OVERLAY": "/o"}, ("/o", "/c"), id="the environment"),
        pytest.param(
            {"overlay": "/p"}, {"MAILROSTER_OVERLAY": "/o"}, ("/p", "/c"), id="an option first"
        ),
        pytest.param(
            {"config": "/d"}, {"MAILROSTER_OVERLAY": "/o"}, ("/d", ""), id="of another folder"
        ),
        pytest.param(
            {"home": "/h"}, {"MAILROSTER_OVERLAY": "/o"}, ("/h/config", ""), id="of another home"
        ),
        pytest.param({"config": "/d", "overlay": "/o"}, {}, ("/o", "/d"), id="of that folder"),
    ],
)
def test_an_overlay_stands_before_the_config_folder_that_it_is_named_with(
    options: dict[str, str], environment: dict[str, str], found: tuple[str, str]
) -> None:
    s = settings(options, {"MAILROSTER_CONFIG": "/c", **environment})
    assert (s.config, s.source) == found


def test_settings_are_read_in_the_overlay_and_lead_from_the_source() -> None:
    files = {
        "/o/mailroster.toml": 'mail = "mail"\nimap_port = 1', "/c/mailroster.toml": "imap_port = 2",
    }  # fmt: skip
    s = settings({"config": "/c", "overlay": "/o"}, files=files)
    assert (s.imap_port, s.mail) == (1, "/c/mail")


def test_an_overlay_is_named_outside_of_the_folder() -> None:
    with pytest.raises(UsageError, match="unknown setting 'overlay'"):
        settings({"config": "/c"}, files={"/c/mailroster.toml": 'overlay = "/o"'})
    with pytest.raises(UsageError, match="a control character"):
        settings({"config": "/c", "overlay": "/o\n"})


@pytest.mark.parametrize(
    ("options", "environment", "folders", "found"),
    [
        pytest.param({}, {}, (), ("private", "127.0.0.1", 10025, 10995), id="nothing said"),
        pytest.param({}, {}, (CONTAINER,), ("system", "*", 25, 995), id="in a container"),
        pytest.param(
            {}, {"MAILROSTER_LAYOUT": "system"}, (), ("system", "*", 25, 995), id="environment"
        ),
        pytest.param(
            {}, {"MAILROSTER_LAYOUT": "private"}, (CONTAINER,),
            ("private", "127.0.0.1", 10025, 10995), id="not in this container",
        ),
        pytest.param(
            {"layout": "system", "smtp_port": "2525", "listen": "::1"}, {}, (),
            ("system", "::1", 2525, 995), id="with a port and an address",
        ),
    ],
)  # fmt: skip
def test_the_layout_says_on_which_ports_the_servers_listen(
    options: dict[str, str],
    environment: dict[str, str],
    folders: tuple[str, ...],
    found: tuple[str, str, int, int],
) -> None:
    s = settings(options, environment, folders=folders)
    assert (s.layout, s.listen, s.smtp_port, s.pop3s_port) == found


def test_a_port_of_the_toml_holds_in_every_layout() -> None:
    files = {f"{CONTAINER}/mailroster.toml": "imaps_port = 9930"}
    found = settings({}, {}, files, (CONTAINER,))
    assert (found.layout, found.imaps_port, found.imap_port) == ("system", 9930, 143)


def test_an_unknown_layout_is_refused() -> None:
    with pytest.raises(UsageError, match="layout: 'docker' is not one of private, system, host"):
        settings({"layout": "docker"})


@pytest.mark.parametrize(
    ("listen", "near"),
    [
        ("*", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("*, ::", "127.0.0.1"),
        ("::", "::1"),
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.1,::1  10.0.0.2, ::1", "10.0.0.1 ::1 10.0.0.2"),
    ],
)
def test_the_ports_are_reached_from_near_by(listen: str, near: str) -> None:
    assert settings({"listen": listen}).near() == tuple(near.split())


@pytest.mark.parametrize(
    ("relay", "warned"),
    [
        ("", False),
        ("smtp.x.test", False),
        ("[smtp.x.test]:587", False),
        ("[2001:db8::1]", False),
        ("smtp.x.test:587", True),
        ("[a.test]:25, smtp.x.test:587", True),
    ],
)
def test_a_relay_with_a_port_and_no_brackets_is_warned_of(relay: str, warned: bool) -> None:
    assert bool(relay_warning(relay)) == warned


def test_a_list_of_the_toml_is_one_of_words() -> None:
    toml = 'listen = ["10.0.0.1", "::1"]\nproxy_protocol = ["smtp"]\ntrusted_proxies = []\n'
    found = settings({"config": "/c"}, files={"/c/mailroster.toml": toml})
    assert (found.listen, found.trusted_proxies) == ("10.0.0.1, ::1", "")
    assert found.proxied() == {"smtp"}
    nowhere = settings({"config": "/c"}, files={"/c/mailroster.toml": "listen = []\n"})
    assert nowhere.listen == "127.0.0.1"
    for bad in ("listen = [1]", 'hostname = ["a.test"]', 'listen = ["10.0.0.1", "x"]'):
        with pytest.raises(UsageError):
            settings({"config": "/c"}, files={"/c/mailroster.toml": bad})


def test_ports_that_are_off_are_no_two_on_one_port() -> None:
    found = settings({"imap_port": "0", "pop3_port": "0"})
    assert (found.imap_port, found.pop3_port) == (0, 0)


@pytest.mark.parametrize(
    ("hosts", "domain", "name"),
    [
        pytest.param("127.0.0.1 localhost\n", "", "mail.localdomain", id="no domain anywhere"),
        pytest.param("172.17.0.2 mail.example.test mail\n", "", "mail.example.test", id="docker"),
        pytest.param(
            "127.0.1.1 Mail.Example.test mail # x\n", "", "mail.example.test", id="Debian"
        ),
        pytest.param(
            "10.0.0.1 mail mail.example.test\n", "", "mail.example.test", id="short first"
        ),
        pytest.param("10.0.0.1 box.example.test mail\n", "", "box.example.test", id="another name"),
        pytest.param(
            "127.0.0.1 localhost.localdomain localhost mail\n::1 mail.x.test mail\n",
            "",
            "mail.x.test",
            id="beside localhost",
        ),
        pytest.param("# 10.0.0.1 mail.example.test mail\n", "", "mail.localdomain", id="a comment"),
        pytest.param("10.0.0.1 mail2.example.test mail2\n", "", "mail.localdomain", id="another"),
        pytest.param("127.0.0.1 mail\n", "example.test\n", "mail.example.test", id="the kernel's"),
        pytest.param("127.0.0.1 mail\n", "(none)\n", "mail.localdomain", id="the kernel has none"),
    ],
)
def test_the_name_of_the_server_is_the_full_name_of_the_machine(
    hosts: str, domain: str, name: str
) -> None:
    files = {"/etc/hosts": hosts, "/proc/sys/kernel/domainname": domain}
    found = settings(files=files, node="mail").hostname
    assert found == name
    assert ("has no domain" in name_warning(found)) == (name == "mail.localdomain")
    assert settings({"hostname": "box"}, files=files).hostname == "box"
    assert "has no domain" in name_warning("box")


@pytest.mark.parametrize(
    ("options", "folders", "files", "certificate", "key"),
    [
        pytest.param(
            {"tls_type": "letsencrypt"}, ("mail.x.test",), (),
            "LE/mail.x.test/fullchain.pem", "LE/mail.x.test/privkey.pem", id="by the host name",
        ),
        pytest.param(
            {"tls_type": "letsencrypt"}, ("x.test",), ("x.test/key.pem",),
            "LE/x.test/fullchain.pem", "LE/x.test/key.pem", id="by its domain, another key",
        ),
        pytest.param(
            {"tls_type": "letsencrypt", "tls_domain": "*.y.test"}, ("y.test", "mail.x.test"), (),
            "LE/y.test/fullchain.pem", "LE/y.test/privkey.pem", id="by the setting",
        ),
        pytest.param(
            {"tls_type": "letsencrypt"}, ("mail.x.test",), ("../acme.json",),
            "LE/../acme.json", "LE/../acme.json", id="Traefik",
        ),
        pytest.param(
            {"tls_type": "letsencrypt"}, (), (),
            "LE/mail.x.test/fullchain.pem", "LE/mail.x.test/privkey.pem", id="not there",
        ),
        pytest.param(
            {"tls_type": "custom"}, (), (),
            "/c/ssl/mail.x.test-full.pem", "/c/ssl/mail.x.test-full.pem", id="custom",
        ),
        pytest.param(
            {"tls_type": "self-signed"}, (), (),
            "/c/ssl/mail.x.test-cert.pem", "/c/ssl/mail.x.test-key.pem", id="self-signed",
        ),
        pytest.param(
            {"tls_type": "manual", "tls_certificate": "/a", "tls_key": "/b"}, (), (), "/a", "/b",
            id="manual",
        ),
        pytest.param(
            {"tls_type": "letsencrypt", "tls_certificate": "/a"}, (), (), "/a", "",
            id="a named certificate comes first",
        ),
    ],
)  # fmt: skip
def test_a_certificate_lies_where_docker_mailserver_has_it(
    options: dict[str, str], folders: tuple[str, ...], files: tuple[str, ...],
    certificate: str, key: str,
) -> None:  # fmt: skip
    live = "/etc/letsencrypt/live"
    there = {os.path.normpath(f"{live}/{name}") for name in (*folders, *files)}
    found = load(
        Sources(
            {"config": "/c", "hostname": "mail.x.test", **options}, {}, lambda path: b"",
            there.__contains__, is_file=there.__contains__,
        )
    )  # fmt: skip
    expected = tuple(
        os.path.normpath(path.replace("LE/", f"{live}/")) if path else ""
        for path in (certificate, key)
    )
    assert (found.tls_certificate, found.tls_key) == expected


@pytest.mark.parametrize(
    ("options", "environment", "toml", "state"),
    [
        pytest.param({"state": "/o"}, {"MAILROSTER_STATE": "/e"}, 'state="/t"', "/o", id="option"),
        pytest.param({}, {"MAILROSTER_STATE": "/e"}, 'state="/t"', "/e", id="environment"),
        pytest.param({}, {}, 'state="/t"', "/t", id="toml"),
        pytest.param({}, {}, 'state="../s"', "/s", id="toml, relative to the config folder"),
        pytest.param({}, {"MAILROSTER_HOME": "/h"}, 'state="/t"', "/h/mail-state", id="home first"),
        pytest.param({}, {"MAILROSTER_STATE": ""}, 'state="/t"', "/t", id="empty is not set"),
        pytest.param(
            {"home": "/h"}, {"MAILROSTER_STATE": "/e"}, "", "/h/mail-state", id="option of home"
        ),
    ],
)
def test_an_option_beats_the_environment_which_beats_the_toml(
    options: dict[str, str], environment: dict[str, str], toml: str, state: str
) -> None:
    files = {"/c/mailroster.toml": toml}
    assert settings({"config": "/c", **options}, environment, files).state == state


@pytest.mark.parametrize(
    ("name", "variable", "text", "value"),
    [
        ("enable_quotas", "ENABLE_QUOTAS", "0", False),
        ("enable_quotas", "ENABLE_QUOTAS", "", True),
        ("spoof_protection", "SPOOF_PROTECTION", "1", True),
        ("spoof_protection", "SPOOF_PROTECTION", "", False),
        ("spoof_protection", "SPOOF_PROTECTION", "Yes", True),
        ("postmaster_address", "POSTMASTER_ADDRESS", "p@x.com", "p@x.com"),
        ("mailbox_size_limit", "POSTFIX_MAILBOX_SIZE_LIMIT", "100", 100),
        ("message_size_limit", "POSTFIX_MESSAGE_SIZE_LIMIT", "", 10240000),
        ("log_level", "LOG_LEVEL", "debug", "debug"),
        ("vmail_uid", "DMS_VMAIL_UID", "5001", 5001),
        ("vmail_gid", "DMS_VMAIL_GID", "5002", 5002),
    ],
)
def test_the_environment_is_honoured_and_each_with_file_behind_it(
    name: str, variable: str, text: str, value: Any
) -> None:
    assert getattr(settings(environment={variable: text}), name) == value
    if text:
        found = settings(environment={f"{variable}__FILE": "/s"}, files={"/s": f"{text}\n"})
        assert getattr(found, name) == value


@pytest.mark.parametrize(
    ("environment", "toml"),
    [
        pytest.param({"ENABLE_QUOTAS": "maybe"}, "", id="neither 1 nor 0"),
        pytest.param({"DMS_VMAIL_UID": "-1"}, "", id="a negative number"),
        pytest.param({"DMS_VMAIL_UID": "vmail"}, "", id="no number"),
        pytest.param({"POSTMASTER_ADDRESS": "a\nb"}, "", id="a control character"),
        pytest.param({"LOG_LEVEL__FILE": "/not/there"}, "", id="a file that isn't there"),
        pytest.param({"QUOTA_WARNINGS": "80%"}, "", id="a percentage with its sign"),
        pytest.param({"QUOTA_WARNINGS": "0,80"}, "", id="0 percent"),
        pytest.param({"QUOTA_WARNINGS": "80,101"}, "", id="more than 100 percent"),
        pytest.param({"QUOTA_WARNINGS": "none,80"}, "", id="none and some"),
        pytest.param({}, "enable_quota = true", id="an unknown name"),
        pytest.param({}, "imap_port = 'imap'", id="a port that is no number"),
        pytest.param({}, "hostname = ['a']", id="a list"),
        pytest.param({}, "state = 1", id="a folder that is a number"),
        pytest.param({}, "hostname = a", id="no toml"),
        pytest.param({}, "hostname = " + "[" * 5000, id="nested too deep"),
        pytest.param({}, "imap_port = 0x" + "f" * 5000, id="a number of too many digits"),
        pytest.param({}, "imap_port = [0x" + "f" * 5000 + "]", id="one in a list"),
        pytest.param({}, 'state = "a\\u0000b"', id="a NUL in a folder"),
        pytest.param({}, 'hostname = "a\\u007f"', id="a delete character"),
        pytest.param({}, "config = '/x'", id="a folder that the file lies in"),
        pytest.param({}, "hostname = '\udcff'", id="not UTF-8"),
    ],
)
def test_what_makes_no_sense_is_not_understood(environment: dict[str, str], toml: str) -> None:
    with pytest.raises(UsageError):
        settings({"config": "/c"}, environment, {"/c/mailroster.toml": toml})


@pytest.mark.parametrize(
    ("text", "found"),
    [("80,95", (95, 80)), (" 95 80 80", (95, 80)), ("100", (100,)), ("none", ()), ("", ())],
)
def test_percentages_are_given_the_largest_first(text: str, found: tuple[int, ...]) -> None:
    assert percentages(text) == found


def test_what_is_said_of_a_strange_path_can_be_shown() -> None:
    with pytest.raises(UsageError) as found:
        settings({"config": "/c\n\x1b"}, {}, {"/c\n\x1b/mailroster.toml": "?"})
    assert str(found.value).isprintable()


def test_a_variable_that_no_setting_names_is_no_source() -> None:
    found = settings(environment={"__FILE": "/s"}, files={"/s": "1"})
    assert (found.smtp_port, found.settle_seconds) == (10025, 1)


def test_types_of_the_toml() -> None:
    toml = 'spoof_protection = true\nimap_port = 143\nhostname = "Mail.X.com"\nenable_quotas = 0'
    found = settings({"config": "/c"}, files={"/c/mailroster.toml": toml})
    assert found.spoof_protection is True
    assert found.imap_port == 143
    assert found.hostname == "mail.x.com"
    assert found.enable_quotas is False


def test_the_host_name_has_a_domain() -> None:
    assert "." in settings().hostname


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        pytest.param(
            {"POSTMASTER_ADDRESS": "</etc/shadow"}, "postmaster_address", id="environment"
        ),
        pytest.param({"DMS_VMAIL_UID": "0"}, "vmail_uid", id="root as owner of the mail"),
        pytest.param({"LOG_LEVEL__FILE": "/s"}, "log_level", id="a file that a variable names"),
    ],
)
def test_a_value_against_its_rule_is_refused_by_the_name_of_the_setting(
    environment: dict[str, str], name: str
) -> None:
    with pytest.raises(UsageError, match=f"^{name}: "):
        settings(environment=environment, files={"/s": "anything\n"})


def test_two_services_on_one_port_are_refused() -> None:
    with pytest.raises(UsageError, match="submission_port: 2525 is already the smtp_port"):
        settings({"smtp_port": "2525", "submission_port": "2525"})


def test_the_name_of_the_machine_keeps_the_rule_of_a_host_name() -> None:
    with pytest.raises(UsageError, match="the name of this machine; set OVERRIDE_HOSTNAME"):
        settings(node="a x={")
    assert settings({"hostname": "mail.x.com"}, node="a x={").hostname == "mail.x.com"


def test_the_folder_of_containers_is_none_on_a_host() -> None:
    """Any user can make a folder in /tmp."""
    assert settings(folders=(CONTAINER,), container=False).config.endswith("docker-data/dms/config")
    both = settings(folders=(CONTAINER, "/etc/mailroster"), container=False)
    assert (both.config, both.layout) == ("/etc/mailroster", "host")


def test_the_config_folder_of_a_host_that_is_named_has_the_other_folders_of_a_host() -> None:
    found = settings({"config": "/etc/mailroster/"}, folders=("docker-data/dms",))
    assert found[:4] == (
        "/etc/mailroster", "/var/mail/vhosts", "/var/lib/mailroster", "/var/log/mailroster",
    )  # fmt: skip
    assert found.layout == "host"


@pytest.mark.parametrize("name", ["config", "mail-data", "mail-state", "mail-logs"])
def test_a_default_folder_that_others_can_write_is_refused_with_the_way_out(name: str) -> None:
    path = f"docker-data/dms/{name}"
    with pytest.raises(UnsafeDefault) as refused:
        settings(unsafe={path: True}, folders=("docker-data/dms",))
    said = str(refused.value)
    assert os.path.abspath(path) in said
    for word in ("--home PATH", "every user can write", "chmod o-w it", "if you trust it, name it"):
        assert word in said


def test_a_folder_that_is_named_is_used_as_it_is() -> None:
    every = {f"/h/{name}": True for name in ("config", "mail-data", "mail-state", "mail-logs")}
    assert settings({"home": "/h"}, unsafe=every).config == "/h/config"
    assert settings({}, {"MAILROSTER_HOME": "/h"}, unsafe=every).config == "/h/config"
    there = {
        os.path.abspath(f"docker-data/dms/{name}"): True for name in ("mail-data", "mail-logs")
    }
    files = {"/c/mailroster.toml": 'mail = "/m"\nlogs = "/l"'}
    found = settings({"config": "/c"}, files=files, unsafe=there)
    assert (found.mail, found.logs) == ("/m", "/l")


def test_a_missing_default_folder_that_others_could_make_is_nowhere() -> None:
    missing = {
        f"docker-data/dms/{name}": False for name in ("mail-data", "mail-state", "mail-logs")
    }
    found = settings({"config": "/c"}, unsafe=missing)
    assert {found.mail, found.state, found.logs} == {
        "/nonexistent/mail", "/nonexistent/state", "/nonexistent/logs",
    }  # fmt: skip
    with pytest.raises(UnsafeDefault, match="--config PATH"):
        settings(unsafe={"docker-data/dms/config": False})


def test_nothing_is_read_in_a_default_folder_before_it_is_judged() -> None:
    path = os.path.abspath("docker-data/dms/config/mailroster.toml")
    with pytest.raises(UnsafeDefault):
        settings(files={path: "?"}, unsafe={"docker-data/dms/config": True})


def test_a_folder_that_is_mounted_into_a_container_is_as_good_as_named() -> None:
    unsafe = {CONTAINER: True}
    found = settings(folders=(CONTAINER,), unsafe=unsafe, mounts=(CONTAINER,))
    assert (found.config, found.layout) == (CONTAINER, "system")
    with pytest.raises(UnsafeDefault):
        settings(folders=(CONTAINER,), unsafe=unsafe)


def test_a_config_folder_that_is_not_trusted_has_no_toml() -> None:
    files = {"/c/mailroster.toml": 'imap_port = 1\nstate = "/t"'}
    off = settings({"config": "/c"}, {"MAILROSTER_TRUST_CONFIG": "0"}, files)
    assert (off.trust_config, off.imap_port) == (False, 10143)
    on = settings({"config": "/c"}, {}, files)
    assert (on.trust_config, on.imap_port, on.state) == (True, 1, "/t")


def test_what_up_noted_in_the_state_folder_counts_where_nothing_is_said() -> None:
    files = {"/s/config-not-trusted": "x", "/c/mailroster.toml": 'state = "/t"'}
    folders = {"config": "/c", "state": "/s"}
    assert settings(folders, {}, files).trust_config is False
    assert settings(folders, {"MAILROSTER_TRUST_CONFIG": "1"}, files).trust_config is True
    # A state folder that the config folder names itself has no say.
    away = {"/t/config-not-trusted": "x", "/c/mailroster.toml": 'state = "/t"'}
    assert settings({"config": "/c"}, {}, away).trust_config is True


def test_the_folder_does_not_say_how_far_it_is_trusted() -> None:
    for text in ("trust_config = true", "trust_config = false"):
        with pytest.raises(UsageError, match="can't be set in the config folder itself"):
            settings({"config": "/c"}, files={"/c/mailroster.toml": text})
