"""Folders of any name, and the folders and addresses in flags and variables."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from analysis.data.store import open_store
from sweeps.cli.status import print_status
from sweeps.cluster.allotment import Allotment
from sweeps.state.catalog import stored_names
from sweeps.state.resume import resume_settings
from sweeps.state.stage import Sweep
from sweeps.state.study import open_storage
from sweeps.sweep_settings import SweepSettings, parse_arguments
from sweeps.tracking.experiments import open_experiment, ui_command
from tests.sweeps.support.kept import VARIANT, a_stored_sweep
from weakdis_core.errors import UserError

FOLDERS = [
    "jörg",
    "a#b",
    "a%b",
    "100%",
    "at@work",
    "my work",
    "it's",
    "a;b&c",
    "-x",
    "$HOME",
    '"q"',
]
REFUSED = ["what?", "?key=1", "50%25x", "a%20b"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's home folder; the current folder is in it."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "home" / "here")
    return tmp_path / "home"


@pytest.mark.parametrize("name", FOLDERS)
def test_a_project_folder_may_have_any_name(
    database: str, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "inside" / name
    folder.mkdir(parents=True)
    (tmp_path / "mlflow.db").rename(folder / "mlflow.db")
    monkeypatch.chdir(folder)
    settings = a_stored_sweep(Path("runs"))
    assert stored_names(settings) == ["one"]
    (settings,) = resume_settings(parse_arguments(["--resume", "one"]))
    open_experiment(settings.tracking, VARIANT, "one", resumed=True)
    for uri in (settings.tracking, "sqlite:///mlflow.db"):
        found = open_store(uri).get_experiment_by_name(VARIANT)
        assert found is not None
        assert found.artifact_location == (folder / "mlruns" / VARIANT).as_uri()
    # A shell reads the printed command correctly.
    line = f"printf '%s\\n' {ui_command(settings.tracking)}"
    words = subprocess.run(line, shell=True, capture_output=True, text=True, check=True).stdout
    assert words.splitlines() == [
        "mlflow", "ui", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
    ]  # fmt: skip
    assert [each.name for each in folder.parent.iterdir()] == [name]


@pytest.mark.parametrize("name", REFUSED)
def test_a_folder_name_that_an_address_would_decode_is_refused(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "inside" / name
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    with pytest.raises(UserError, match=r"tracking_uri: .* is not allowed: in the address of a"):
        SweepSettings(variant=VARIANT)
    with pytest.raises(UserError, match=r"storage: .* is not allowed: in the address of a"):
        SweepSettings(variant=VARIANT, tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    assert list(folder.iterdir()) == []
    assert [each.name for each in folder.parent.iterdir()] == [name]


@pytest.mark.parametrize("by_flag", [True, False])
def test_a_tilde_is_expanded(home: Path, by_flag: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    places = {
        "WEAKDIS_STORAGE": "~/runs",
        "WEAKDIS_OPTUNA_STORAGE": "~/studies.log",
        "MLFLOW_TRACKING_URI": "sqlite:///~/mlflow.db",
    }
    flags = ["--variant", VARIANT, "--data-dir=~"]
    if by_flag:
        named = zip(("storage", "optuna-storage", "tracking-uri"), places.values(), strict=True)
        flags += [f"--{flag}={place}" for flag, place in named]
    else:
        for variable, place in places.items():
            monkeypatch.setenv(variable, place)
    settings = parse_arguments(flags)
    assert settings.folder == home / "runs"
    assert settings.study_storage == str(home / "studies.log")
    assert settings.tracking == f"sqlite:///{home}/mlflow.db"
    assert settings.places() == {"runtime.data_dir": str(home)}
    open_storage(settings.folder, settings.study_storage).get_all_studies()
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    ("current", "named"),
    [
        ("here", "one"), ("here", "runs/one"), ("here", "./runs/one"), ("here", "runs/one/"),
        ("here", "~/here/runs/one"), ("here/runs", "./one"), ("here/runs", "one/."),
        ("here/runs/one", "."), ("here/runs/one/inside", ".."), ("", "here/runs/one"),
    ],
)  # fmt: skip
def test_a_sweep_is_found_by_name_or_folder(
    home: Path, current: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_stored_sweep(home / "here" / "runs")
    (home / "here/runs/one/inside").mkdir()
    monkeypatch.chdir(home / current)
    (settings,) = resume_settings(parse_arguments(["--resume", named]))
    assert (settings.name, settings.folder) == ("one", home / "here/runs")
    with Path(os.devnull).open("w") as nowhere:
        print_status(parse_arguments(["--status", named]), Console(file=nowhere))


@pytest.mark.parametrize("storage", ["runs", "else where/runs"])
def test_the_resume_command_finds_the_sweep(home: Path, storage: str) -> None:
    studies = f"sqlite:///{home}/all studies.db"
    flags = ["--variant", VARIANT, "--name", "one", "--storage", storage]
    settings = parse_arguments([*flags, "--optuna-storage", studies])
    base, folder = settings.base_config(VARIANT), settings.folder / "one"
    sweep = Sweep("one", folder, settings, base, {}, folder, Allotment(1.0, 0.0, 1))
    a_stored_sweep(Path(storage), "one", "--optuna-storage", studies)
    words = shlex.split(sweep.resume_command)
    assert words[:2] == ["python", "sweeps/run.py"]
    (again,) = resume_settings(parse_arguments(words[2:]))
    assert (again.name, again.folder, again.study_storage) == ("one", settings.folder, studies)
