"""Projects that were copied or moved: nothing is written into the original."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache

from sweeps.state.resume import resume_settings
from sweeps.sweep_settings import SweepSettings, parse_arguments
from sweeps.tracking.client import RunClient
from sweeps.tracking.experiments import open_experiment
from sweeps.tracking.outbox import PARENT, Entry, Outbox
from tests.sweeps.support.kept import VARIANT, a_stored_sweep
from weakdis_core.errors import UserError


@pytest.fixture
def project(database: str, tmp_path: Path) -> Path:
    """A folder with a sweep, and its run and a file of it in MLflow."""
    folder = tmp_path / "begun here"
    folder.mkdir()
    (tmp_path / "mlflow.db").rename(folder / "mlflow.db")
    uri = f"sqlite:///{folder}/mlflow.db"
    a_stored_sweep(folder / "runs", "one", "--tracking-uri", uri)
    open_experiment(uri, VARIANT, "one")
    deliver(uri, folder / "runs/one", "first.txt")
    return folder


def deliver(uri: str, folder: Path, name: str) -> None:
    """Store a file with the sweep's run through its outbox."""
    file = folder / name
    file.write_text(name)
    outbox = Outbox(folder)
    outbox.append(Entry(key=PARENT, kind="begin", at=1, tags={"sweep": "one", "kind": "sweep"}))
    outbox.append(Entry(key=PARENT, kind="file", at=1, file=str(file)))
    delivery = RunClient(uri, VARIANT, "one")
    for entry in outbox.waiting():
        delivery(entry)
        outbox.delivered()


def resume_in(folder: Path, *flags: str) -> SweepSettings:
    (settings,) = resume_settings(parse_arguments(["--resume", str(folder / "runs/one"), *flags]))
    return settings


def contents(folder: Path) -> dict[str, str]:
    return {
        str(file): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file()
    }


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("place", ["beside", "deeper/jörg a#b@x"])
def test_a_copied_or_moved_project_is_resumed_in_its_new_place(
    project: Path, place: str, kept: bool
) -> None:
    there = project.parent / place
    there.parent.mkdir(exist_ok=True)
    shutil.copytree(project, there)
    before = contents(project)
    if not kept:
        shutil.rmtree(project)
    settings = resume_in(there)
    assert settings.tracking == f"sqlite:///{there}/mlflow.db"
    # MLflow caches the place of artifacts in this process; another one would resume the sweep.
    _artifact_repos_cache.clear()
    open_experiment(settings.tracking, VARIANT, "one", resumed=True)
    deliver(settings.tracking, there / "runs/one", "second.txt")
    assert contents(project) == (before if kept else {})
    assert project.exists() == kept
    files = [file.relative_to(there) for file in there.rglob("*.txt") if "mlruns" in file.parts]
    assert sorted(file.name for file in files) == ["first.txt", "second.txt"]
    client = MlflowClient(settings.tracking)
    experiment = client.get_experiment_by_name(VARIANT)
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert {each.path for each in client.list_artifacts(run.info.run_id)} == {
        "first.txt", "second.txt",
    }  # fmt: skip


def test_a_sweep_moved_without_its_database_is_refused(project: Path) -> None:
    there, before = project.parent / "there", contents(project)
    there.mkdir()
    shutil.copytree(project / "runs", there / "runs")
    old = f"sqlite:///{project}/mlflow.db"
    with pytest.raises(UserError, match=f"use them where they are with --tracking-uri {old}"):
        resume_in(there)
    assert resume_in(there, "--tracking-uri", old).tracking == old
    assert contents(project) == before


def test_a_database_moved_without_its_artifacts_is_refused(project: Path) -> None:
    there, before = project.parent / "there", contents(project)
    shutil.copytree(project, there, ignore=shutil.ignore_patterns("mlruns"))
    settings = resume_in(there)
    with pytest.raises(UserError, match=f"artifacts, which are in {project}/mlruns/{VARIANT}"):
        open_experiment(settings.tracking, VARIANT, "one", resumed=True)
    assert contents(project) == before


@pytest.mark.parametrize("relative", [True, False])
def test_waiting_files_are_found_after_their_folder_moved(tmp_path: Path, relative: bool) -> None:
    old, new = tmp_path / "one", tmp_path / "new" / "one"
    old.mkdir()
    (old / "best.yaml").write_text("best")
    outbox = Outbox(old)
    outbox.append(Entry(key=PARENT, kind="file", at=1, file=str(old / "best.yaml")))
    if not relative:
        # As earlier versions wrote it.
        line = outbox.path.read_text().replace('"best.yaml"', f'"{old}/best.yaml"')
        assert str(old) in line
        outbox.path.write_text(line)
    new.parent.mkdir()
    old.rename(new)
    (entry,) = Outbox(new).waiting()
    assert entry.file == str(new / "best.yaml")
    other = tmp_path / "elsewhere.txt"
    Outbox(new).append(Entry(key=PARENT, kind="file", at=1, file=str(other)))
    assert [each.file for each in Outbox(new).waiting()][-1] == str(other)
