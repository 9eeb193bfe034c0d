"""What Dovecot's auth socket says, as answers; and a socket that says nothing of use."""

import os
import socket
import threading
from pathlib import Path

import pytest

from mailroster.base.findings import ServerError
from mailroster.base.layout import Layout
from mailroster.servers.dovecot_auth import (
    FAILED,
    FOUND,
    NOT_FOUND,
    USERDB,
    Question,
    Reply,
    ask,
    replies_in,
)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (b"VERSION\t1\t1\nSPID\t12\n", {}),
        (b"USER\t1\ta@x\thome=/h\tnologin\n", {1: Reply(FOUND, {"home": "/h", "nologin": ""})}),
        (b"PASS\t2\tuser=a@x\t\n", {2: Reply(FOUND, {"user": "a@x"})}),
        (b"NOTFOUND\t3\nFAIL\t4\tx\n", {3: Reply(NOT_FOUND, {}), 4: Reply(FAILED, {"x": ""})}),
        (b"NOTFOUND\t3", {}),
        (b"NOTFOUND\t\xc2\xb2\nNOTFOUND\nUSER\t99999999999\tx\n\n", {}),
        (b"USER\t1\ta\tx=a\x01tb\x011t\x01\n", {1: Reply(FOUND, {"x": "a\tb\x01t"})}),
    ],
)
def test_what_is_said_is_read(said: bytes, found: dict[int, Reply]) -> None:
    plain = {
        n: known._replace(fields={k: v for k, v in known.fields.items() if k != "a" and k != "a@x"})
        for n, known in replies_in(said).items()
    }
    assert plain == found


def test_a_socket_that_ends_has_failed_for_all_by_a_path_that_is_too_long_for_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(str(tmp_path / ("deep" * 25)))
    os.makedirs(layout.run)
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(layout.run)
        server.bind("auth-userdb")
        server.listen()

        def talk() -> None:
            session, _ = server.accept()
            with session:
                session.recv(4096)
                session.sendall(b"VERSION\t1\t1\nNOTFOUND\t2\n")

        thread = threading.Thread(target=talk)
        thread.start()
        found = ask(
            layout, [Question(USERDB, "a\tb"), Question(USERDB, "b@x"), Question(USERDB, "c")]
        )
        thread.join()
    assert [known.outcome for known in found] == [FAILED, NOT_FOUND, FAILED]


def test_no_socket_is_a_failure_of_the_service(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="auth does not answer"):
        ask(Layout(str(tmp_path)), [Question(USERDB, "a@x")])
