"""A Redis of a test's own, on a socket in a folder of its own, without files."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.instance import until


class Redis:
    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="mr-redis-", dir="/tmp"))
        self._folder.chmod(0o711)
        self.socket = self._folder / "socket"
        options = ("--port", "0", "--unixsocket", self.socket, "--unixsocketperm", "777")
        self._server = subprocess.Popen(
            ["redis-server", *options, "--save", "", "--dir", self._folder],
            stdout=subprocess.DEVNULL,
        )
        until(self.socket.exists)

    def close(self) -> None:
        self._server.terminate()
        self._server.wait(20)
        shutil.rmtree(self._folder, ignore_errors=True)
