from __future__ import annotations

import hashlib
import http.server
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from weakdis_core.config.settings import DataSettings
from weakdis_core.data import arrays, official
from weakdis_core.data.source import plan
from weakdis_core.errors import UserError

LAYOUT = arrays.Layout("imgs", (3000,), (4, 4), highest=200)
CONTENT = b"not really sprites\n" * 100


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WEAKDIS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("WEAKDIS_DATA", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> official.OfficialFile:
    """Make CONTENT the only official file."""
    digest = hashlib.sha256(CONTENT).hexdigest()
    file = official.OfficialFile("small.h5", "dsprites", "", "sha256", digest, len(CONTENT))
    monkeypatch.setattr(official, "FILES", (file,))
    return file


@pytest.fixture
def pictures() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 200, LAYOUT.shape).astype(np.uint8)


# Folders


def test_cache_root_follows_the_environment(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert official.cache_root() == cache
    monkeypatch.delenv("WEAKDIS_CACHE")
    assert official.cache_root().name == "weakdis"


def test_find_searches_data_dir_then_environment_then_cache(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert official.find("shapes3d", None) is None
    chosen, named, downloads = tmp_path / "chosen", tmp_path / "named", cache / "official"
    for folder in (chosen, named, downloads):
        folder.mkdir(parents=True)
    (downloads / "3dshapes.h5").touch()
    monkeypatch.setenv("WEAKDIS_DATA", str(named))
    assert official.find("shapes3d", chosen) == downloads / "3dshapes.h5"
    (named / "3dshapes.h5").touch()
    assert official.find("shapes3d", chosen) == named / "3dshapes.h5"
    (chosen / "3dshapes.h5").touch()
    assert official.find("shapes3d", chosen) == chosen / "3dshapes.h5"
    assert official.find("dsprites", chosen) is None


def test_find_prefers_hdf5_to_npz(tmp_path: Path) -> None:
    hdf5, npz = (file.name for file in official.FILES if file.family == "dsprites")
    (tmp_path / npz).touch()
    assert official.find("dsprites", tmp_path) == tmp_path / npz
    (tmp_path / hdf5).touch()
    assert official.find("dsprites", tmp_path) == tmp_path / hdf5


def test_a_missing_folder_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"data_dir: .*absent is not a folder"):
        official.find("dsprites", tmp_path / "absent")
    monkeypatch.setenv("WEAKDIS_DATA", str(tmp_path / "missing"))
    with pytest.raises(UserError, match=r"WEAKDIS_DATA: .*missing is not a folder"):
        official.find("dsprites", None)


def test_a_forbidden_folder_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(UserError, match=r"cannot be searched \(Permission denied\)"):
        official.find("dsprites", tmp_path)


# Hashes


def test_a_verified_file_is_hashed_once(
    tmp_path: Path, small: official.OfficialFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / small.name
    path.write_bytes(CONTENT)
    official.verify(path)
    monkeypatch.setattr(official, "_digest", lambda *_: pytest.fail("hashed again"))
    official.verify(path)


def test_a_changed_file_is_hashed_again(
    tmp_path: Path, cache: Path, small: official.OfficialFile
) -> None:
    path = tmp_path / small.name
    path.write_bytes(CONTENT)
    official.verify(path)
    path.write_bytes(CONTENT[::-1])
    with pytest.raises(UserError, match=rf"{path}: sha256 hash \w+, expected {small.digest}"):
        official.verify(path)


def test_a_damaged_or_unwritable_note_is_ignored(
    tmp_path: Path, cache: Path, small: official.OfficialFile
) -> None:
    path = tmp_path / small.name
    path.write_bytes(CONTENT)
    official.verify(path)
    (note,) = (cache / "verified").iterdir()
    note.write_text("{")
    official.verify(path)
    note.unlink()
    note.mkdir()
    official.verify(path)


def test_errors_name_wrong_files(tmp_path: Path) -> None:
    path = tmp_path / "3dshapes.h5"
    with pytest.raises(UserError, match=r"3dshapes.h5: cannot be read \(No such file"):
        official.verify(path)
    path.write_bytes(CONTENT)
    with pytest.raises(UserError, match=r"3dshapes.h5: 1,900 bytes, expected 267,573,662"):
        official.verify(path)
    other = tmp_path / "other.h5"
    other.write_bytes(CONTENT)
    with pytest.raises(UserError, match=r"other.h5: not the name of an official file"):
        official.verify(other)


def test_the_npz_is_verified_by_its_git_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (npz,) = (file for file in official.FILES if file.algorithm == "git")
    path = tmp_path / npz.name
    path.write_bytes(CONTENT)
    git = subprocess.run(
        ["git", "hash-object", "--no-filters", path], capture_output=True, text=True, check=True
    )
    with pytest.raises(UserError, match=f"git hash {git.stdout.strip()}, expected {npz.digest}"):
        official.verify(path)


# Downloads


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "served").mkdir()
    handler = partial(Quiet, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


def served(small: official.OfficialFile, server: str) -> tuple[official.OfficialFile, ...]:
    values = {**vars(small), "url": f"{server}/{small.name}"}
    return (official.OfficialFile(**values),)


def test_download_fetches_and_verifies(
    tmp_path: Path,
    small: official.OfficialFile,
    server: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "served" / small.name).write_bytes(CONTENT)
    monkeypatch.setattr(official, "FILES", served(small, server))
    target = official.cache_root() / "official"
    assert official.download("dsprites", target).read_bytes() == CONTENT
    assert official.find("dsprites", None) == target / small.name


@pytest.mark.parametrize(
    ("content", "reason"), [(b"an error page", "hash"), (None, "404")], ids=["other", "absent"]
)
def test_a_failed_download_leaves_no_file(
    tmp_path: Path,
    small: official.OfficialFile,
    server: str,
    content: bytes | None,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if content is not None:
        (tmp_path / "served" / small.name).write_bytes(content)
    monkeypatch.setattr(official, "FILES", served(small, server))
    monkeypatch.setattr("time.sleep", lambda _: None)  # pooch waits before it tries again
    with pytest.raises(UserError, match=rf"small.h5: download of http://.* failed: .*{reason}"):
        official.download("dsprites", tmp_path / "target")
    assert list((tmp_path / "target").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_an_error(
    tmp_path: Path, small: official.OfficialFile
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="failed"):
        official.download("dsprites", tmp_path / "file" / "target")


# Arrays


def store(path: Path, images: NDArray[Any], name: str = "imgs") -> Path:
    if path.suffix == ".npz":
        metadata = np.array({"what": "a pickle that must stay closed"}, dtype=object)
        np.savez_compressed(path, allow_pickle=True, **{"metadata": metadata, name: images})
    else:
        with h5py.File(path, "w") as file:
            file.create_dataset(name, data=images, chunks=(100, 2, 2), compression="gzip")
    return path


def collect(path: Path, rows: list[int]) -> NDArray[np.uint8]:
    indices = np.array(rows, np.int64)[:, None]
    return arrays.read(path, LAYOUT, indices)[:, 0]


@pytest.fixture(params=["f.h5", "f.npz"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("block", [1, 8 * 16 * 700, 2**26])
def test_rows_are_in_the_requested_order(
    tmp_path: Path,
    name: str,
    block: int,
    pictures: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(arrays, "_BLOCK_BYTES", block)
    path = store(tmp_path / name, pictures)
    rows = [2999, 5, 5, 1400, 0, 699, 700]
    assert np.array_equal(collect(path, rows), pictures[rows])
    assert collect(path, []).shape == (0, 4, 4)


def test_errors_name_wrong_contents(tmp_path: Path, name: str, pictures: NDArray[np.uint8]) -> None:
    wrong = [
        (store(tmp_path / f"a{name}", pictures, "images"), "holds .* expected .*imgs"),
        (store(tmp_path / f"b{name}", pictures[:200]), r"shape \(200, 4, 4\) of uint8, expected"),
        (store(tmp_path / f"c{name}", pictures.astype(np.float32)), "of float32, expected"),
        (store(tmp_path / f"d{name}", pictures + np.uint8(50)), "value 249, expected at most 200"),
    ]
    for path, message in wrong:
        with pytest.raises(UserError, match=message):
            collect(path, list(range(3000)))


def test_errors_name_damaged_files(tmp_path: Path, name: str, pictures: NDArray[np.uint8]) -> None:
    path = store(tmp_path / name, pictures)
    content = path.read_bytes()
    middle = len(content) // 2
    damaged = {
        "truncated": content[:middle],
        "overwritten": content[:middle] + bytes(2000) + content[middle + 2000 :],
        "empty": b"",
        "text": b"<html>not found</html>",
    }
    for reason, data in damaged.items():
        path.write_bytes(data)
        with pytest.raises(UserError, match=rf"^{path}: .*expected") as raised:
            collect(path, list(range(3000)))
        assert "\n" not in str(raised.value), reason
    with pytest.raises(UserError, match="No such file"):
        collect(tmp_path / "absent", [0])


def test_an_npz_member_shorter_than_its_header_is_an_error(
    tmp_path: Path, pictures: NDArray[np.uint8]
) -> None:
    path = store(tmp_path / "whole.npz", pictures)
    with zipfile.ZipFile(path) as whole:
        content = whole.read("imgs.npy")
    with zipfile.ZipFile(tmp_path / "short.npz", "w") as short:
        short.writestr("imgs.npy", content[:20_000])
    with pytest.raises(UserError, match=r"ends after 1,242 pictures, expected 3,000"):
        collect(tmp_path / "short.npz", [2000])


def test_an_npz_member_without_header_is_an_error(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "f.npz", "w") as archive:
        archive.writestr("imgs.npy", b"no header here at all")
    with pytest.raises(UserError, match=r"imgs.npy has no NumPy header"):
        collect(tmp_path / "f.npz", [0])


def test_a_folder_without_the_file_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEAKDIS_DATA", str(tmp_path))
    assert plan(DataSettings(variant="dsprites_v2")).source == "rendered"
    assert caplog.messages == [
        f"{tmp_path} holds no official file of dsprites: its images are rendered"
    ]
    assert plan(DataSettings(variant="dsprites_v2", source="rendered")).source == "rendered"
    assert len(caplog.messages) == 1
