"""`health` asks the servers; nothing else counts."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from mailroster.health import silent, unready
from mailroster.instance.layout import Layout
from mailroster.settings import Settings, Sources, load


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


def settings(smtp: int, imap: int) -> Settings:
    given = {"home": "/h", "smtp_port": str(smtp), "imap_port": str(imap)}
    return load(Sources(given, {}, lambda path: b"", lambda path: False))


@pytest.mark.parametrize(
    ("smtp", "imap", "found"),
    [
        pytest.param(b"220 here\r\n", b"* OK here\r\n", [], id="both greet"),
        pytest.param(b"421 busy\r\n", b"* OK here\r\n", ["SMTP"], id="SMTP is not at our service"),
        pytest.param(b"220 here\r\n", b"* BYE\r\n", ["IMAP"], id="IMAP says good-bye"),
        pytest.param(b"\r\n", b"", ["SMTP", "IMAP"], id="neither says anything"),
    ],
)
def test_who_does_not_greet_is_named(smtp: bytes, imap: bytes, found: list[str]) -> None:
    with ExitStack() as stack:
        ports = [stack.enter_context(greeting(text)) for text in (smtp, imap)]
        names = [f"{name} on 127.0.0.1:{ports[name == 'IMAP']}" for name in found]
        assert silent(settings(*ports)) == names


def test_a_port_on_which_nobody_listens_is_silent() -> None:
    with greeting(b"* OK\r\n") as imap, socket.create_server(("127.0.0.1", 0)) as taken:
        smtp = taken.getsockname()[1]
        taken.close()
        assert silent(settings(smtp, imap)) == [f"SMTP on 127.0.0.1:{smtp}"]


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
        ports = [stack.enter_context(greeting(text)) for text in (b"220 x\r\n", b"* OK\r\n")]
        assert unready(settings(*ports), layout) == ["Dovecot's auth on a user"]
        stack.enter_context(auth(Path(layout.run) / "auth-userdb", answer))
        assert (unready(settings(*ports), layout) == []) == is_ready
