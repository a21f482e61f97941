"""The database of a study is stopped while a sweep runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from optuna.storages._cached_storage import _CachedStorage
from optuna.study import Study

from sweeps.budget import Budget, Interruption
from sweeps.cluster.allotment import Allotment
from sweeps.cluster.locks import StudyLock, acquire_sweep_lock
from sweeps.cluster.storage_errors import explain_storage_errors
from sweeps.names import METRICS
from sweeps.search.space import build_space
from sweeps.search.tuner import open_search_study, run_search
from sweeps.state.stage import StageRun, Sweep
from sweeps.state.trial_store import TrialStore
from sweeps.state.trials import Trials
from sweeps.sweep_settings import SweepSettings
from sweeps.trial import Listener, TrialRecord
from tests.patience import PATIENCE
from tests.sweeps.support.scripted import STEPS, VARIANT, report
from tests.sweeps.support.services import PASSWORD, Postgres
from weakdis_core.errors import UserError

pytestmark = [pytest.mark.slow, pytest.mark.needs_command("initdb", "postgresql")]


class Stopping(Listener):
    """Stops the database at the second report."""

    def __init__(self, studies: Postgres) -> None:
        self._studies = studies

    def trial_reported(self, record: TrialRecord, result: Mapping[str, Any]) -> None:
        if result["step"] > 50:
            self._studies.stop()


def script(parameters: dict[str, Any]) -> None:
    for step in (50, 100, STEPS):
        report(step, **{METRICS["pixels"]: 0.5})


def test_a_sweep_ends_without_its_database_and_can_be_resumed(
    resources: dict[str, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Postgres() as studies:
        settings = SweepSettings(
            variant=VARIANT, name="stopped", trials=1, preset="quick", max_steps=STEPS,
            storage=str(tmp_path), optuna_storage=studies.address,
        )  # fmt: skip
        base = settings.base_config(VARIANT)
        place = tmp_path / "stopped"
        place.mkdir()
        space = build_space(base, {})
        sweep = Sweep("stopped", place, settings, base, space, tmp_path, Allotment(1.0, 0.0, 1))
        budget = Budget(PATIENCE, Interruption())
        study, trials = open_search_study(sweep), Trials("pixels", STEPS, budget)
        run = StageRun(sweep, "search", study, trials, budget)
        message = r"optuna_storage: the database does not answer any more .*go on with --resume"
        with pytest.raises(UserError, match=message) as caught, explain_storage_errors(place):
            run_search(run, [Stopping(studies)], script)
        close(study)
        assert PASSWORD not in str(caught.value)
        studies.start()
        # The study has the earlier report, and the trial can continue.
        study = open_search_study(sweep)
        budget = Budget(PATIENCE, Interruption())
        trials = Trials("pixels", STEPS, budget, TrialStore(study).load())
        assert [(each.outcome, each.step) for each in trials.records.values()] == [("running", 50)]
        run_search(StageRun(sweep, "search", study, trials, budget), [], script)
        # If another machine runs the sweep meanwhile, this one ends before it writes anything.
        monkeypatch.setattr("sweeps.cluster.locks._EVERY", 0.0)
        lost = StudyLock("stopped", studies.address)
        settings = settings.model_copy(update={"trials": 2})
        sweep = dataclasses.replace(sweep, settings=settings, claim=lost)
        with (
            acquire_sweep_lock(tmp_path / "elsewhere/stopped", studies.address),
            pytest.raises(UserError, match="another program has taken over the sweep 'stopped'"),
        ):
            run_search(StageRun(sweep, "search", study, trials, budget), [], script)
        assert list(TrialStore(study).load()) == ["00000"]
        close(study)
    assert [each.outcome for each in trials.records.values()] == ["complete"]


def close(study: Study) -> None:
    """End a study's connections."""
    storage = study._storage
    assert isinstance(storage, _CachedStorage)
    storage.remove_session()
    storage._backend.engine.dispose()
