"""When the follower of certificates looks, waits, tries again, and what it logs."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from mailroster.base.findings import Refused
from mailroster.base.layout import Layout
from mailroster.base.settings import Sources, load
from mailroster.daemons import certificate_follower
from mailroster.daemons.certificate_follower import SETTLE_S, CertificateFollower
from mailroster.servers import certificates
from mailroster.servers.certificate_faults import DAY_S
from mailroster.system.files import Disk
from tests.support.pki import Authority, Issued

HOST = "mail.x.test"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


class World:
    """A follower, its clock, and what it does."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.now_s = folder, 1000.0
        self.logged, self.reloads = list[str](), 0
        given = {"home": str(folder), "hostname": HOST}
        given |= {"tls_certificate": f"{folder}/cert", "tls_key": f"{folder}/key"}
        settings = load(Sources(given, {}, lambda path: b"", lambda path: False))
        layout = Layout(settings.state)
        Path(layout.tls).mkdir(parents=True)
        self.active = Path(layout.tls, "active.pem")
        monkeypatch.setattr("time.monotonic", lambda: self.now_s)
        monkeypatch.setattr(certificate_follower, "log", self.logged.append)

        def reload() -> list[str]:
            self.reloads += 1
            return ["dovecot", "postfix"]

        self.follower = CertificateFollower(settings, layout, reload)
        self.follower._retry._say = self.logged.append
        self.follower._retry._monotonic = lambda: self.now_s

    def write(self, issued: Issued, names: str = "cert key") -> None:
        for name, text in (("cert", issued.chain), ("key", issued.key)):
            if name in names.split():
                (self.folder / name).write_text(text)

    def look(self, after_s: float) -> None:
        self.now_s += after_s
        try:
            self.follower._look()
        except (OSError, Refused) as error:
            self.follower._retry.failed(str(error))

    def serves(self, issued: Issued) -> bool:
        return self.active.read_text().endswith(issued.key + issued.chain)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authority: Authority) -> World:
    made = World(tmp_path, monkeypatch)
    first = authority.issue(HOST)
    made.write(first)
    made.look(0)
    assert not made.active.exists()
    made.look(SETTLE_S)
    assert (made.serves(first), made.reloads) == (True, 1)
    made.logged.clear()
    return made


def test_files_that_stay_the_same_are_not_read_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "assess", pytest.fail)
    for _ in range(20):
        world.look(0.5)
    assert (world.reloads, world.logged) == (1, [])


def test_a_pair_is_used_when_its_files_have_settled(world: World, authority: Authority) -> None:
    new = authority.issue(HOST)
    world.write(new, "cert")
    world.look(0.5)
    world.look(0.5)
    world.write(new, "key")  # the second file begins the wait again
    world.look(0.5)
    world.look(0.5)
    assert (world.serves(new), world.reloads, world.logged) == (False, 1, [])
    world.look(0.5)
    assert (world.serves(new), world.reloads) == (True, 2)
    assert world.logged[0].startswith(f"the TLS certificate {world.folder}/cert is in force, valid")
    assert world.logged[1:] == ["certificates are reloaded by dovecot and postfix"]


def test_a_refusal_is_logged_once(world: World, authority: Authority) -> None:
    world.write(authority.issue(HOST), "key")
    for _ in range(10):
        world.look(1)
    assert len(world.logged) == 1
    assert "does not belong to the certificate" in world.logged[0]
    assert world.logged[0].endswith("; the previous certificate stays in use")
    assert world.reloads == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_copy_that_cannot_be_written_is_tried_again(
    world: World, authority: Authority, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    before, new = world.active.read_text(), authority.issue(HOST)
    write: Callable[..., None] = Disk.write

    def fail(disk: Disk, fd: int, content: bytes) -> None:
        write(disk, fd, content[:100])
        raise OSError(number, "no")

    world.write(new)
    with monkeypatch.context() as patch:
        patch.setattr(Disk, "write", fail)
        for _ in range(30):
            world.look(1)
        assert (world.active.read_text(), world.reloads) == (before, 1)
        assert len(world.logged) == 1
        assert world.logged[0].startswith("the TLS certificate is not renewed: ")
    for _ in range(12):
        world.look(1)
    assert (world.serves(new), world.reloads) == (True, 2)
    assert world.logged[-1] == "the TLS certificate can be renewed again"


def test_a_reload_that_was_lost_is_made_up_for(world: World, authority: Authority) -> None:
    """The copy was written, and the process was killed before it told the servers."""
    Path(world.follower._layout.loaded_certificates).unlink()
    world.follower._handled = None
    world.look(2)
    assert world.reloads == 2


def test_faults_are_logged_once_a_day(world: World, authority: Authority) -> None:
    soon = authority.issue(HOST, days=9)
    world.write(soon)
    world.look(1)
    world.look(1)
    warnings = [line for line in world.logged if "in 9 days" in line]
    assert len(warnings) == 1
    for _ in range(50):
        world.look(DAY_S / 25)
    warnings = [line for line in world.logged if "in 9 days" in line]
    assert len(warnings) == 3
    assert world.reloads == 2


def test_a_request_reloads_though_nothing_has_changed(world: World, authority: Authority) -> None:
    world.follower.reload()
    assert world.reloads == 2
    world.write(authority.issue(HOST), "key")
    with pytest.raises(Refused, match="does not belong to the certificate"):
        world.follower.reload()
    world.write(authority.issue("other.test"))
    with pytest.raises(Refused, match="is not for"):
        world.follower.reload()
