"""What kubelet does to the folder of a Secret or a ConfigMap (pkg/volume/util/atomic_writer.go)."""

import os
import shutil
from collections.abc import Mapping
from itertools import count
from pathlib import Path

_numbers = count(1)


class Volume:
    """A folder whose files are links to `..data`, which leads to the folder that holds them."""

    def __init__(self, folder: Path, files: Mapping[str, str], mode: int = 0o644) -> None:
        self.folder, self._mode = folder, mode
        folder.mkdir(parents=True, exist_ok=True)
        self.put(files)

    @property
    def data(self) -> Path:
        return self.folder / "..data"

    def put(self, files: Mapping[str, str]) -> None:
        """All files at once; what is not among them goes."""
        old = self.data.resolve() if self.data.is_symlink() else None
        self.swap(self.write(files))
        self.link(files)
        if old is not None:
            shutil.rmtree(old)

    def write(self, files: Mapping[str, str]) -> str:
        """The first step: a folder with the files, of which nobody knows. Its name."""
        name = f"..2026_11_26_03_10_00.{os.getpid()}{next(_numbers):05}"
        (self.folder / name).mkdir()
        for file, text in files.items():
            path = self.folder / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(self._mode)
        return name

    def swap(self, name: str) -> None:
        """The second: the link leads there."""
        new = self.folder / "..data_tmp"
        new.symlink_to(name)
        os.rename(new, self.data)

    def link(self, files: Mapping[str, str]) -> None:
        """The third: each file, and each folder of files, has a link in the folder, and no other
        has."""
        names = {file.partition("/")[0] for file in files}
        for path in self.folder.iterdir():
            if path.is_symlink() and path != self.data and path.name not in names:
                path.unlink()
        for name in names:
            path = self.folder / name
            if not path.is_symlink():
                path.symlink_to(f"..data/{name}")
