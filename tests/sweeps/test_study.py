"""Studies: what is refused, their samplers, and their export."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.samplers import NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from sweeps.settings import Objective, Sampler
from sweeps.study import export_study, make_sampler, open_storage, open_study
from tests.sweeps.played import SPACE, STEPS, Playing, a_study
from weakdis_core.errors import UserError


def test_another_direction_is_refused(tmp_path: Path) -> None:
    optuna.create_study(study_name="a sweep", storage=open_storage(tmp_path), direction="minimize")
    with pytest.raises(UserError, match="found directions minimize"):
        a_study(tmp_path)


def test_another_space_is_refused(tmp_path: Path) -> None:
    a_study(tmp_path)
    space = {name: values for name, values in SPACE.items() if name != "data.labels"}
    with pytest.raises(UserError, match=r"it searches .*labels"):
        open_study(open_storage(tmp_path), "a sweep", "pixels", space)


def test_a_storage_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"optuna_storage: 'sqlite:////dev/null/x\.db' cannot be"):
        open_storage(tmp_path, "sqlite:////dev/null/x.db")


def test_samplers() -> None:
    assert isinstance(make_sampler("tpe", 0, 20), TPESampler)
    assert isinstance(make_sampler("random", 0, 20), RandomSampler)
    assert isinstance(make_sampler("nsga2", 0, 20), NSGAIISampler)


def test_the_export_is_readable_json(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    Playing(study).play("t1", (STEPS, 0.7))
    export_study(study, tmp_path / "study.json")
    text = (tmp_path / "study.json").read_text()
    assert '"COMPLETE"' in text
    assert '"trial_id": "00001"' in text


@pytest.mark.parametrize("objective", ["pixels", "pareto"])
@pytest.mark.parametrize("name", ["tpe", "random", "nsga2"])
def test_every_sampler_serves_every_objective(name: Sampler, objective: Objective) -> None:
    study = open_study(InMemoryStorage(), "a sweep", objective, SPACE)
    study.sampler = make_sampler(name, 0, 12)
    playing = Playing(study, objective)
    for number in range(24):
        playing.play(str(number), (STEPS if number % 3 else 50, number / 24))
    states = [trial.state for trial in study.trials]
    assert states.count(TrialState.PRUNED) == 8
    assert states.count(TrialState.COMPLETE) == 16
