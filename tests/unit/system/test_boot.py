"""The ID of the current boot."""

from pathlib import Path

import pytest

from mailroster.system import boot


def test_the_id_is_the_kernels_and_empty_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Path("/proc/sys/kernel/random/boot_id").read_text()
    assert boot.boot_id() == kernel.rstrip("\n") != ""
    monkeypatch.setattr(boot, "_PATH", str(tmp_path / "none"))
    assert boot.boot_id() == ""
