import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from tests.patience import PATIENCE
from weakdis_core.config.settings import DataSettings
from weakdis_core.data import arrays, official
from weakdis_core.data import prepared as store
from weakdis_core.data.prepared import open_prepared, prepare
from weakdis_core.data.renderers import dsprites, shapes3d
from weakdis_core.data.source import RENDERERS, plan
from weakdis_core.data.variants import get_variant
from weakdis_core.errors import UserError

SMALL = DataSettings(variant="dsprites_v2", max_images=1000, source="rendered")
ROOMS = DataSettings(variant="shapes3d_v5", max_images=1000, source="rendered")

# Prepares SMALL in another process, in chunks of 100 images, and logs each.
WORKER = """
import sys, time
from pathlib import Path
from weakdis_core.config.settings import DataSettings
from weakdis_core.data import prepared as store
from weakdis_core.data.renderers import dsprites

log, pause = Path(sys.argv[1]), float(sys.argv[2])
render = dsprites.render
def logged(indices, progress=None):
    with log.open("a") as file:
        file.write(f"{len(indices)}\\n")
    time.sleep(pause)
    return render(indices, progress)
dsprites.render = logged
store._CHUNK_BYTES = 100 * 64 * 64
prepared = store.prepare(DataSettings(variant="dsprites_v2", max_images=1000, source="rendered"))
print(prepared.path, int(prepared.images.sum()))
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("WEAKDIS_CACHE", str(folder))
    monkeypatch.delenv("WEAKDIS_DATA", raising=False)
    return folder


def start_worker(log: Path, pause: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, str(log), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wait_for(condition: Path, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition.exists():
        assert time.monotonic() < end, f"{condition} did not appear"
        time.sleep(0.02)


def leftovers(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "prepared").glob("*.partial"))


def test_prepared_images_are_those_of_the_renderer() -> None:
    prepared = prepare(SMALL)
    assert prepared.images.shape == (1000, 1, 64, 64)
    assert prepared.images.dtype == np.uint8
    assert prepared.source == "rendered"
    np.testing.assert_array_equal(prepared.images, dsprites.render(prepared.indices))
    np.testing.assert_array_equal(
        prepared.factors, get_variant("dsprites_v2").values(prepared.indices)
    )
    assert prepared.images.max() / prepared.scale == 1


@pytest.mark.slow
def test_rgb_images_are_prepared_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_CHUNK_BYTES", 300 * 3 * 64 * 64)
    prepared = prepare(ROOMS)
    assert prepared.images.shape == (1000, 3, 64, 64)
    chosen = np.array([0, 299, 300, 999])
    np.testing.assert_array_equal(
        prepared.images[chosen], shapes3d.render(prepared.indices[chosen])
    )
    assert 0.9 < prepared.images.max() / prepared.scale <= 1


def test_the_data_seed_draws_images_without_replacement() -> None:
    first, second = plan(SMALL), plan(SMALL.model_copy(update={"data_seed": 1}))
    assert first.path != second.path
    for drawn in (first.indices(), second.indices()):
        rows = np.ravel_multi_index(tuple(drawn.T), get_variant("dsprites_v2").grid.sizes)
        assert (np.diff(rows) > 0).all()
        assert len(rows) == 1000
    assert not np.array_equal(first.indices(), second.indices())
    np.testing.assert_array_equal(first.indices(), plan(SMALL).indices())


def test_the_seed_has_no_effect_without_a_draw() -> None:
    whole = DataSettings(variant="dsprites_v2", source="rendered")
    other = whole.model_copy(update={"data_seed": 5, "max_images": 480_000, "labels": 100})
    assert plan(whole).path == plan(other).path
    assert plan(whole).n_images == 10_125


@pytest.mark.parametrize(
    ("variant", "digest"),
    [
        ("dsprites_v2", "998d40445ce0d93e"),
        ("dsprites_v3", "8a54079a85e65e7c"),
        ("dsprites_v4", "8ce46d41479524f4"),
        ("shapes3d_v2", "36c5acdf0e0ac69c"),
        ("shapes3d_v3", "02cc9b8ce45d1f26"),
        ("shapes3d_v5", "c60d069e340b9f14"),
    ],
)
def test_digests_of_prepared_images_do_not_change(variant: str, digest: str) -> None:
    assert plan(DataSettings(variant=variant, source="rendered")).digest == digest


def test_another_renderer_version_changes_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    before, rooms = plan(SMALL).digest, plan(ROOMS).digest
    monkeypatch.setitem(RENDERERS, "dsprites", "another")
    assert plan(SMALL).digest != before
    assert plan(ROOMS).digest == rooms


def test_digests_are_equal_for_equal_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    def two_pictures(indices: np.ndarray, progress: object) -> np.ndarray:
        images = np.zeros((len(indices), 1, 64, 64), np.uint8)
        images[::2, 0, 5, 5] = 1
        return images

    monkeypatch.setattr(dsprites, "render", two_pictures)
    digests = prepare(SMALL).digests
    assert digests.dtype == np.uint64
    assert len(set(digests.tolist())) == 2
    assert (digests[::2] == digests[0]).all()


def test_prepare_opens_prepared_images(monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare(SMALL)
    monkeypatch.setattr(dsprites, "render", None)
    second = prepare(SMALL)
    assert second.path == first.path
    assert second.path.name.endswith(second.digest)
    np.testing.assert_array_equal(second.images, first.images)


def test_images_are_a_memory_map_that_torch_shares() -> None:
    prepared = prepare(SMALL)
    assert isinstance(prepared.images.base, np.memmap)
    tensor = torch.from_numpy(prepared.images)
    assert tensor.data_ptr() == prepared.images.ctypes.data


def test_writing_to_the_images_does_not_change_the_cache() -> None:
    prepared = prepare(SMALL)
    prepared.images[0] = 7
    assert open_prepared(prepared.path).images.max() == 1


def test_progress_counts_up_to_the_end() -> None:
    seen: list[tuple[int, int]] = []
    prepare(SMALL, progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (1000, 1000)


def truncate(path: Path) -> None:
    with (path / "images.npy").open("r+b") as file:
        file.truncate(1_000_000)


def forget_a_table(path: Path) -> None:
    (path / "factors.npy").unlink()


def spoil_a_header(path: Path) -> None:
    with (path / "digests.npy").open("r+b") as file:
        file.write(b"\0" * 16)


def spoil_the_meta(path: Path) -> None:
    (path / "meta.json").write_text("{")


def age_the_format(path: Path) -> None:
    meta = json.loads((path / "meta.json").read_text())
    (path / "meta.json").write_text(json.dumps(meta | {"format": 0}))


def empty_the_meta(path: Path) -> None:
    (path / "meta.json").write_text("[]")


@pytest.mark.parametrize(
    "damage",
    [truncate, forget_a_table, spoil_a_header, spoil_the_meta, age_the_format, empty_the_meta],
)
def test_damaged_files_are_reported_and_prepared_again(
    damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    assert callable(damage)
    prepared = prepare(SMALL)
    damage(prepared.path)
    with pytest.raises(UserError, match=prepared.path.name):
        open_prepared(prepared.path)
    again = prepare(SMALL)
    assert "made again" in caplog.text
    np.testing.assert_array_equal(again.images, dsprites.render(again.indices))


def test_a_missing_folder_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a complete prepared variant"):
        open_prepared(tmp_path / "nothing")


def test_the_error_for_missing_official_files_names_folder_and_cure(tmp_path: Path) -> None:
    settings = SMALL.model_copy(update={"source": "official"})
    with pytest.raises(UserError) as caught:
        prepare(settings, tmp_path)
    for part in (str(tmp_path), "data download --family dsprites", "source rendered"):
        assert part in str(caught.value)


def test_auto_uses_the_official_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file.hdf5"
    rendered = plan(SMALL.model_copy(update={"source": "auto"}))
    verified: list[Path] = []
    monkeypatch.setattr(official, "find", lambda family, data_dir: file)
    monkeypatch.setattr(official, "verify", verified.append)
    monkeypatch.setattr(
        arrays, "read", lambda path, layout, indices, progress: dsprites.render(indices) * 0
    )
    prepared = prepare(SMALL.model_copy(update={"source": "auto"}))
    assert rendered.source == "rendered"
    assert prepared.source == "official"
    assert prepared.digest != rendered.digest
    assert prepared.images.max() == 0
    assert verified == [file]


def test_a_damaged_official_file_leaves_no_folder(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise UserError(f"{path}: sha256 is wrong")

    monkeypatch.setattr(official, "find", lambda family, data_dir: Path("bad.hdf5"))
    monkeypatch.setattr(official, "verify", refuse)
    with pytest.raises(UserError, match="sha256 is wrong"):
        prepare(SMALL.model_copy(update={"source": "official"}))
    assert not leftovers(cache)


def test_a_cache_that_cannot_be_written_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("WEAKDIS_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="cannot be written") as caught:
        prepare(SMALL)
    assert "WEAKDIS_CACHE" in str(caught.value)


def test_a_full_disk_is_an_error_and_freed(cache: Path, tmp_path: Path) -> None:
    # A limit on file size makes writes fail as on a full disk, without privileges.
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))"
    command = [sys.executable, "-c", limit + WORKER, str(tmp_path / "log"), "0"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "UserError" in result.stderr
    assert "cannot be written" in result.stderr
    assert not leftovers(cache)


def test_an_error_while_drawing_leaves_no_folder(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(indices: object, progress: object) -> None:
        raise RuntimeError("no ink")

    monkeypatch.setattr(dsprites, "render", fail)
    with pytest.raises(RuntimeError, match="no ink"):
        prepare(SMALL)
    assert not leftovers(cache)


@pytest.mark.slow
def test_two_processes_prepare_images_once(tmp_path: Path, cache: Path) -> None:
    log = tmp_path / "log"
    workers = [start_worker(log, 0.3) for _ in range(2)]
    outputs = [worker.communicate(timeout=PATIENCE)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert outputs[0] == outputs[1]
    assert log.read_text().split() == ["100"] * 10
    assert not leftovers(cache)
    prepared = prepare(SMALL)
    np.testing.assert_array_equal(prepared.images, dsprites.render(prepared.indices))


def test_prepare_works_after_a_killed_process(tmp_path: Path, cache: Path) -> None:
    log = tmp_path / "log"
    worker = start_worker(log, 60)
    wait_for(log)
    os.kill(worker.pid, signal.SIGKILL)
    worker.communicate(timeout=PATIENCE)
    assert len(leftovers(cache)) == 1
    prepared = prepare(SMALL)
    np.testing.assert_array_equal(prepared.images, dsprites.render(prepared.indices))
    assert not leftovers(cache)


def test_folders_of_killed_processes_are_removed(cache: Path) -> None:
    dead = cache / "prepared" / "dsprites_v3-dead.partial"
    alive = cache / "prepared" / "dsprites_v3-alive.partial"
    for folder in (dead, alive):
        folder.mkdir(parents=True)
        (folder / "images.npy").write_bytes(b"half")
    with FileLock(alive.with_suffix(".lock")):
        prepare(SMALL)
    assert leftovers(cache) == [alive.name]
