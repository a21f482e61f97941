"""Files written atomically, and temporary folders that outlive no process."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from weakdis_core.errors import UserError
from weakdis_core.files import temporary_folder, write_text

PREFIX = "weakdis-checkpoint-"
HOLDING = f"""
import time
from weakdis_core.files import temporary_folder
with temporary_folder("{PREFIX}") as folder:
    (folder / "checkpoint.pt").write_text("11 MB")
    print(folder, flush=True)
    time.sleep(1000)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for temporary files of this process and its children."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@contextmanager
def holding() -> Iterator[Path]:
    """A folder locked by another process, which is killed at the end."""
    command = [sys.executable, "-c", HOLDING]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Path(process.stdout.readline().strip())
        process.kill()


def test_only_folders_of_killed_processes_are_removed(place: Path) -> None:
    (place / "another.txt").touch()
    (place / "weakdis-other").mkdir()
    with holding() as left:
        pass
    assert (left / "checkpoint.pt").exists()
    with holding() as used:
        with temporary_folder(PREFIX) as folder, temporary_folder(PREFIX) as second:
            assert {folder, second, used} == set(place.glob(f"{PREFIX}*"))
        assert (used / "checkpoint.pt").exists()
    with temporary_folder(PREFIX):
        pass
    assert {each.name for each in place.iterdir()} == {"another.txt", "weakdis-other"}


def test_an_error_removes_the_folder(place: Path) -> None:
    with pytest.raises(OSError, match="full"), temporary_folder(PREFIX):
        raise OSError("full")
    assert not list(place.iterdir())


def test_a_file_system_without_locks_works(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*arguments: object) -> None:
        raise OSError("Function not implemented")

    monkeypatch.setattr("fcntl.flock", unsupported)
    with temporary_folder(PREFIX) as first:
        with temporary_folder(PREFIX):
            assert first.exists()
        assert first.exists()
    assert not list(place.iterdir())


@pytest.mark.parametrize("path", [".", "/", "..", "file/inside", "folder"])
def test_a_path_that_is_no_file_is_an_error(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="cannot be written"):
        write_text(Path(path), "text")
    assert {each.name for each in tmp_path.iterdir()} == {"file", "folder"}
