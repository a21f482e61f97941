"""Resumed sweeps: which settings may change, and where the sweep may be moved."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from sweeps.cli.status import print_status
from sweeps.state.catalog import find_sweep, store_settings
from sweeps.state.resume import check_gpus, resume_settings
from sweeps.state.trial_store import TrialStore
from sweeps.sweep_settings import SweepSettings, parse_arguments
from sweeps.trial import TrialRecord
from tests.sweeps.support.kept import VARIANT, a_stored_sweep
from weakdis_core.data.variants import VARIANTS
from weakdis_core.errors import UserError


def resumed(*flags: str) -> SweepSettings:
    """Return the settings of one resumed sweep."""
    (settings,) = resume_settings(parse_arguments(["--resume", *flags]))
    return settings


def test_a_resumed_sweep_keeps_its_settings(tmp_path: Path) -> None:
    flags = ["--seed", "3", "--set", "data.max_images=1000", "--no-pictures"]
    before = a_stored_sweep(tmp_path, "one", *flags)
    asked = parse_arguments(["--resume", "one", "--storage", str(tmp_path), "--trials", "9"])
    (after,) = resume_settings(asked)
    assert (after.trials, after.time_budget) == (9, before.time_budget)
    assert after.no_pictures
    assert after.sweep_names() == {VARIANT: "one"}
    assert after.base_config(VARIANT) == before.base_config(VARIANT)
    assert find_sweep(asked, "one").base == before.base_config(VARIANT)


def test_a_flag_with_the_default_value_counts(tmp_path: Path) -> None:
    a_stored_sweep(tmp_path, "one", "--time-budget=77", "--seed", "3")
    place = ["--storage", str(tmp_path)]
    # A flag with the default value overrides the stored value.
    after = resumed("one", *place, "--trials=20", "--seed=3")
    assert (after.trials, after.time_budget, after.seed) == (20, 77.0, 3)
    with pytest.raises(UserError, match=r"seed: 0 is not allowed with resume: .*\(3\)"):
        resumed("one", *place, "--seed", "0")


def test_more_trials_need_more_time(tmp_path: Path) -> None:
    study = find_sweep(a_stored_sweep(tmp_path), "one").study
    record = TrialRecord(0, "00000", {"data.labels": 100}, "complete", 30, score=0.25, seconds=90.0)
    TrialStore(study).save(record, 760.0)
    asked = ["one", "--storage", str(tmp_path), "--trials", "9"]
    spent = r"time_budget: 840 is not allowed with more trials: one has used 760 s, .* 90 s"
    with pytest.raises(UserError, match=spent):
        resumed(*asked)
    assert resumed(*asked, "--time-budget", "900").trials == 9


def test_a_sweep_is_resumed_by_its_folder(tmp_path: Path) -> None:
    a_stored_sweep(tmp_path)
    after = resumed(str(tmp_path / "one"))
    assert (after.name, after.storage) == ("one", str(tmp_path))


def test_a_folder_may_be_moved(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    (old / "official").mkdir(parents=True)
    database = f"sqlite:///{old / 'mlflow.db'}"
    flags = ["--data-dir", str(old / "official"), "--tracking-uri", database]
    a_stored_sweep(old / "runs", "one", *flags)
    # An earlier version stored absolute paths.
    study = find_sweep(
        parse_arguments(["--resume", "one", "--storage", str(old / "runs")]), "one"
    ).study
    kept = study.user_attrs["trial 00000"]["checkpoints"]
    assert kept == [str(old / "runs/one/search-1/00000/checkpoint_000002")]
    old.rename(new)
    asked = [str(new / "runs/one"), "--data-dir", str(new / "official")]
    with pytest.raises(UserError, match=f"tracking_uri: there is no {new / 'mlflow.db'}: "):
        resumed(*asked)
    after = resumed(*asked, "--tracking-uri", f"sqlite:///{new / 'mlflow.db'}")
    assert after.places() == {"runtime.data_dir": str(new / "official")}
    # `--status` needs neither.
    print_status(parse_arguments(["--status", "one", "--storage", str(new / "runs")]), Console())
    (record,) = TrialStore(find_sweep(after, "one").study).load().values()
    last = new / "runs/one/search-1/00000/checkpoint_000002"
    last.mkdir(parents=True)
    assert record.checkpoint is not None
    assert after.checkpoints.fetch(record.checkpoint, tmp_path) == last
    after.checkpoints.delete(record.checkpoint)
    assert not last.exists()


def test_the_name_of_all_variants_resumes_each_with_its_own_settings(tmp_path: Path) -> None:
    a_stored_sweep(tmp_path, "N", variant="all", begun=2)
    place = ["--storage", str(tmp_path)]
    for name, seeds in ((VARIANT, 5), ("dsprites_v3", 0)):
        one = resumed(f"N-{name}", *place, "--confirm-seeds", str(seeds))
        store_settings(find_sweep(one, f"N-{name}").study, one, one.base_config(name))
    asked = parse_arguments(["--resume", "N", *place, "--variant", "all", "--time-budget", "900"])
    every = {each.variant: each for each in resume_settings(asked)}
    assert list(every) == list(VARIANTS)
    for variant, each in every.items():
        assert each.sweep_names() == {variant: f"N-{variant}"}
        assert each.confirm_seeds == (5 if variant == VARIANT else 0)
        assert each.time_budget == 900
    # Sweeps that do not exist yet are new.
    resumes = [each.resume for each in every.values()]
    assert resumes == [f"N-{VARIANT}", "N-dsprites_v3", None, None, None, None]
    # A sweep with exactly this name comes first.
    a_stored_sweep(tmp_path, "N", variant="shapes3d_v3")
    assert resumed("N", *place).sweep_names() == {"shapes3d_v3": "N"}


def test_a_name_that_ends_with_a_variant_may_be_of_one_sweep(tmp_path: Path) -> None:
    place = ["--storage", str(tmp_path)]
    a_stored_sweep(tmp_path, "P-dsprites_v4", variant="dsprites_v4")
    with pytest.raises(UserError, match="resume: there is no sweep 'P' in"):
        resumed("P", *place)
    a_stored_sweep(tmp_path, "P", variant="shapes3d_v3")
    assert resumed("P", *place).sweep_names() == {"shapes3d_v3": "P"}


def test_a_resumed_sweep_keeps_its_kind_of_device_and_threads(tmp_path: Path) -> None:
    place = ["--storage", str(tmp_path)]
    on_gpus = a_stored_sweep(tmp_path, "on-gpus", "--cpus-per-trial", "2")
    with pytest.raises(UserError, match="gpus_per_trial: 0 is not allowed with resume: on-gpus"):
        check_gpus(on_gpus, 0.0)
    check_gpus(on_gpus, 0.25)
    assert resumed("on-gpus", *place, "--cpus-per-trial", "1").cpus_per_trial == 1
    with pytest.raises(UserError, match=r"cpus_per_trial: 4 is not allowed .* has 2 threads"):
        resumed("on-gpus", *place, "--cpus-per-trial", "4")
    without = a_stored_sweep(tmp_path, "without")
    # As `open_sweep` stores the settings of a sweep without GPUs.
    base = without.base_config(VARIANT).with_values({"runtime.device": "cpu"})
    store_settings(find_sweep(without, "without").study, without, base)
    check_gpus(without, 0.0)
    # It reserves no GPU even if there are some now.
    assert resumed("without", *place).gpus_per_trial == 0
    with pytest.raises(UserError, match=r"gpus_per_trial: 0\.5 is not allowed .* without GPUs"):
        resumed("without", *place, "--gpus-per-trial", "0.5")


def test_checkpoints_are_found_if_the_study_is_elsewhere(tmp_path: Path) -> None:
    studies = ["--optuna-storage", f"sqlite:///{tmp_path / 'studies.db'}"]
    old, new = tmp_path / "runs", tmp_path / "new"
    a_stored_sweep(old, "one", *studies)
    assert resumed("one", *studies).storage == str(old)
    with pytest.raises(
        UserError, match=r"storage: .* is not allowed with resume: it does not hold one"
    ):
        resumed("one", *studies, "--storage", str(new))
    old.rename(new)
    assert resumed("one", *studies, "--storage", str(new)).storage == str(new)


def test_the_database_is_found_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    a_stored_sweep(tmp_path / "runs")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    after = resumed(str(tmp_path / "runs" / "one"))
    assert after.tracking == f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--resume one --seed 5", r"seed: 5 is not allowed with resume: .*\(0\)"),
        ("--resume one --variant dsprites_v4", r"variant: 'dsprites_v4' is not allowed"),
        ("--resume two", r"no sweep 'two' in .*; there are: one"),
        ("--status two", r"status: there is no sweep 'two'"),
    ],
)
def test_invalid_requests_are_refused(flags: str, message: str, tmp_path: Path) -> None:
    a_stored_sweep(tmp_path)
    settings = parse_arguments([*flags.split(), "--storage", str(tmp_path)])
    with pytest.raises(UserError, match=message):
        print_status(settings, Console()) if settings.status else resume_settings(settings)


@pytest.mark.parametrize(
    "secret",
    [
        "http://user:pw@host/", "http://token@host:5000", "postgresql://u:p/w@host/db",
        "postgresql://host/db?password=pw", "mssql://host/db?odbc_connect=UID%3Du%3BPWD%3Dpw",
    ],
)  # fmt: skip
def test_an_address_with_a_password_must_be_given_again(
    tmp_path: Path, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_stored_sweep(tmp_path, "one", "--tracking-uri", secret)
    place = ["one", "--storage", str(tmp_path)]
    with pytest.raises(
        UserError, match=r"tracking_uri: the runs of one are at .*\*\*\*"
    ) as refused:
        resumed(*place)
    assert "pw" not in str(refused.value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://another/")
    with pytest.raises(UserError, match=r"set the whole address with MLFLOW_TRACKING_URI"):
        resumed(*place)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", secret)
    assert resumed(*place).tracking == secret
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert resumed(*place, "--tracking-uri", "http://another/").tracking == "http://another/"


@pytest.mark.parametrize("folder", ["at@work", "what:is@it", "token=a"])
def test_a_path_is_not_taken_for_a_password(
    tmp_path: Path, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / folder)
    address = f"sqlite:///{tmp_path}/{folder}/mlflow.db"
    Path("mlflow.db").touch()
    a_stored_sweep(Path("runs"))
    monkeypatch.chdir(tmp_path)
    assert resumed(str(tmp_path / folder / "runs/one")).tracking == address
