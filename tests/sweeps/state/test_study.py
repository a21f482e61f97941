"""Studies: what is refused, their samplers, and their export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.samplers import NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState

from sweeps.flags import Objective, Sampler
from sweeps.state.study import make_sampler, open_storage, open_study
from tests.sweeps.support.played import SPACE, STEPS, Playing, a_study
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


def test_a_suggestion_reads_only_what_was_written_since_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def count(storage: RDBStorage, trial: Any) -> FrozenTrial:
        read.append(trial.number)
        return build(storage, trial)

    build = RDBStorage._build_frozen_trial_from_trial_model
    monkeypatch.setattr(RDBStorage, "_build_frozen_trial_from_trial_model", count)
    study = a_study(tmp_path)
    running = [study.ask(SPACE) for _ in range(9)]
    study.get_trials(deepcopy=False)
    running[2].report(0.5, 1)
    study.tell(running[4], 0.25)
    read.clear()
    known = study.get_trials(deepcopy=False)
    assert read == [2, 4]
    assert known[2].intermediate_values == {1: 0.5}
    assert known[4].value == 0.25
    study.ask(SPACE)
    assert set(read) == {2, 4, 9}


def test_a_reader_sees_what_another_process_writes(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    trial = study.ask(SPACE)
    reader = optuna.load_study(study_name="a sweep", storage=open_storage(tmp_path, writer=False))
    assert [known.state for known in reader.trials] == [TrialState.RUNNING]
    study.tell(trial, 0.5)
    assert [known.state for known in reader.trials] == [TrialState.COMPLETE]


def test_samplers() -> None:
    assert isinstance(make_sampler("tpe", 0, 20), TPESampler)
    assert isinstance(make_sampler("random", 0, 20), RandomSampler)
    assert isinstance(make_sampler("nsga2", 0, 20), NSGAIISampler)


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
