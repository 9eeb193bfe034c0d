"""`health` asks the servers; nothing else counts."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from mailroster.base.layout import Layout
from mailroster.base.settings import Sources, load
from mailroster.servers import health
from mailroster.servers.config.endpoints import Endpoint, endpoints, listed
from mailroster.servers.health import choose, silent, unready


@contextmanager
def greeting(text: bytes) -> Iterator[int]:
    """A server that says one thing to everybody; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    client, _ = listening.accept()
                except OSError:
                    return
                with client:
                    client.sendall(text)
                    client.recv(100)

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def ports(**given: object) -> tuple[Endpoint, ...]:
    """Those of settings."""
    words = {"home": "/h", **{name: str(value) for name, value in given.items()}}
    return endpoints(load(Sources(words, {}, lambda path: b"", lambda path: False)))


@pytest.mark.parametrize(
    ("smtp", "imap", "found"),
    [
        pytest.param(b"220 here\r\n", b"* OK here\r\n", [], id="both greet"),
        pytest.param(b"421 busy\r\n", b"* OK here\r\n", ["SMTP"], id="SMTP is not at our service"),
        pytest.param(b"220 here\r\n", b"* BYE\r\n", ["IMAP"], id="IMAP says good-bye"),
        pytest.param(b"\r\n", b"", ["SMTP", "IMAP"], id="neither says anything"),
    ],
)
def test_who_does_not_greet_is_named(
    monkeypatch: pytest.MonkeyPatch, smtp: bytes, imap: bytes, found: list[str]
) -> None:
    if not imap:  # all of the time is waited for
        monkeypatch.setattr(health, "TIMEOUT_S", 0.2)
    with ExitStack() as stack:
        numbers = [stack.enter_context(greeting(text)) for text in (smtp, imap)]
        names = [f"{name} on 127.0.0.1:{numbers[name == 'IMAP']}" for name in found]
        assert silent(ports(smtp_port=numbers[0], imap_port=numbers[1])) == names


def test_a_port_on_which_nobody_listens_is_silent() -> None:
    with greeting(b"* OK\r\n") as imap, socket.create_server(("127.0.0.1", 0)) as taken:
        smtp = taken.getsockname()[1]
        taken.close()
        assert silent(ports(smtp_port=smtp, imap_port=imap)) == [f"SMTP on 127.0.0.1:{smtp}"]


def test_every_address_that_is_listed_is_asked() -> None:
    with greeting(b"220 here\r\n") as smtp:
        found = silent(ports(smtp_port=smtp, listen="127.0.0.1, 127.0.0.9 ::1", imap_port=1))
    assert [name for name in found if "SMTP" in name] == [
        f"SMTP on 127.0.0.9:{smtp}",
        f"SMTP on [::1]:{smtp}",
    ]
    assert [name for name in found if "IMAP" in name] == [
        "IMAP on 127.0.0.1:1",
        "IMAP on 127.0.0.9:1",
        "IMAP on [::1]:1",
    ]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        pytest.param({}, ["smtp", "imap"], id="all on"),
        pytest.param({"smtp_port": 0, "imap_port": 0}, ["submission", "imaps"], id="with TLS"),
        pytest.param(
            {"proxy_protocol": "smtp, imap", "trusted_proxies": "10.0.0.1"},
            ["submission", "imaps"],
            id="not behind a proxy if there is another",
        ),
        pytest.param(
            {"imap_port": 0, "imaps_port": 0, "submission_port": 0, "submissions_port": 0},
            ["smtp", "pop3"],
            id="POP3 where there is no IMAP",
        ),
        pytest.param(
            {f"{name}_port": 0 for name in ("imap", "imaps", "pop3", "pop3s", "sieve")},
            ["smtp"],
            id="SMTP alone",
        ),
    ],
)
def test_a_port_that_is_on_and_easy_to_ask_is_asked(
    given: dict[str, object], names: list[str]
) -> None:
    assert [endpoint.name for endpoint in choose(ports(**given))] == names


def test_the_ports_are_listed_as_they_are() -> None:
    given = {"pop3_port": 0, "pop3s_port": 0, "imap_port": 0, "trusted_proxies": "10.0.0.0/8"}
    assert listed(ports(**given, proxy_protocol="smtp imaps")) == (
        "SMTP 10025 (PROXY), submission 10587 and 10465, IMAP 10993 (PROXY), ManageSieve 14190"
    )


@contextmanager
def auth(path: Path, answer: bytes) -> Iterator[None]:
    """An auth-userdb that says one thing to each lookup."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            with client:
                client.recv(1000)
                client.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield
        listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("answer", "is_ready"),
    [
        pytest.param(b"NOTFOUND\t1\n", True, id="it looks users up"),
        pytest.param(b"FAIL\t1\n", False, id="its tables can't be read"),
        pytest.param(b"", False, id="it ends the connection"),
    ],
)
def test_ready_is_who_can_look_a_user_up(tmp_path: Path, answer: bytes, is_ready: bool) -> None:
    layout = Layout(str(tmp_path))
    with ExitStack() as stack:
        smtp, imap = (stack.enter_context(greeting(text)) for text in (b"220 x\r\n", b"* OK\r\n"))
        found = ports(smtp_port=smtp, imap_port=imap)
        assert unready(found, layout) == ["Dovecot's auth on a user"]
        stack.enter_context(auth(Path(layout.run) / "auth-userdb", answer))
        assert (unready(found, layout) == []) == is_ready
