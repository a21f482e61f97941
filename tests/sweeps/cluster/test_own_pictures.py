"""Own pictures reach machines that have neither their files nor a cache."""

import shutil
from pathlib import Path

import pytest

from sweeps.cluster.own_pictures import prepare_pictures, upload_pictures
from sweeps.cluster.storage import Storage
from tests.core.data.own_pictures.own_bars import data, write_folder
from weakdis_core.config.settings import DataSettings
from weakdis_core.data.own import data_settings
from weakdis_core.data.prepared import Prepared, prepare
from weakdis_core.errors import UserError
from weakdis_core.evaluation.oracle_cache import oracle_path

ORACLE = b"The oracle of these pictures."


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataSettings:
    """Settings of own pictures, which the current machine has."""
    move_to("head", tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "bars")
    data("add", "bars", "--images", "bars", "--nuisance", "source")
    return DataSettings.model_validate(data_settings("bars"))


def move_to(machine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the cache of another machine."""
    monkeypatch.setenv("WEAKDIS_CACHE", str(tmp_path / machine))


def upload(settings: DataSettings, storage: Storage) -> Prepared:
    prepared = prepare(settings)
    oracle = oracle_path(prepared, settings.data_seed)
    oracle.parent.mkdir(exist_ok=True)
    oracle.write_bytes(ORACLE)
    upload_pictures(storage, prepared, settings.data_seed)
    return prepared


def test_a_machine_fetches_pictures_and_oracle(
    settings: DataSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(str(tmp_path / "runs"))
    before = upload(settings, storage)
    (uploaded,) = (tmp_path / "runs/data").iterdir()
    times = {file: file.stat().st_mtime_ns for file in uploaded.iterdir()}
    upload_pictures(storage, before, settings.data_seed)
    assert {file: file.stat().st_mtime_ns for file in uploaded.iterdir()} == times
    assert [each.name for each in (tmp_path / "runs").iterdir()] == ["data"]
    shutil.rmtree(tmp_path / "bars")
    move_to("worker", tmp_path, monkeypatch)
    after = prepare_pictures(settings, None, storage)
    assert after.path.is_relative_to(tmp_path / "worker")
    assert (after.images == before.images).all()
    assert oracle_path(after, settings.data_seed).read_bytes() == ORACLE
    assert {file.name for file in after.path.iterdir()} == {
        file.name for file in before.path.iterdir()
    }


def test_damaged_pictures_are_prepared_from_the_files_or_refused(
    settings: DataSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(str(tmp_path / "runs"))
    before = upload(settings, storage)
    (images,) = (tmp_path / "runs/data").glob("*/images.npy")
    images.write_bytes(images.read_bytes()[:5000])
    move_to("worker", tmp_path, monkeypatch)
    assert (prepare_pictures(settings, None, storage).images == before.images).all()
    (tmp_path / "bars").rename(tmp_path / "away")
    move_to("other", tmp_path, monkeypatch)
    with pytest.raises(UserError, match=r"variant: the pictures of bars in .*/runs/data cannot be"):
        prepare_pictures(settings, None, storage)
    assert not list((tmp_path / "other/prepared").glob("*.partial"))
    # The next session uploads them again.
    upload_pictures(storage, before, settings.data_seed)
    assert (prepare_pictures(settings, None, storage).images == before.images).all()


def test_pictures_that_are_nowhere_are_named(
    settings: DataSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bars").rename(tmp_path / "away")
    move_to("worker", tmp_path, monkeypatch)
    with pytest.raises(UserError, match=r"images: .*/bars is not allowed: there is no such file"):
        prepare_pictures(settings, None, Storage(str(tmp_path / "runs")))
