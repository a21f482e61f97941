"""Run a sweep's trials: Tune, with Optuna's suggestions and ASHA's early stopping.

Confirm runs are trials too, of given settings and without early stopping. Where a sweep was cut
short, the same calls run what is left of it: the study knows.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from optuna.distributions import IntDistribution
from optuna.study import Study
from optuna.trial import TrialState
from ray import tune
from ray.tune import Callback
from ray.tune.experiment import Trial

from sweeps.budget import Budget
from sweeps.cluster import Allotment
from sweeps.halving import Halving
from sweeps.ledger import CHECKPOINTS_KEPT, Ledger
from sweeps.records import Keeper, Records
from sweeps.settings import SweepSettings
from sweeps.space import Space, starting_point
from sweeps.study import StudySearcher, make_sampler, open_storage, open_study
from sweeps.trainable import (
    Trainable,
    confirm_trial,
    reporting_errors,
    train_trial,
    trial_parameters,
)
from weakdis_core.config import Config
from weakdis_core.seeding import derive

Stage = Literal["search", "confirm"]

_RETRIES = 3
"""Times that a trial whose process died is tried again: errors of its own do not count."""


@dataclass(frozen=True)
class Sweep:
    """One variant's sweep.

    Attributes:
        name: Its name.
        folder: Where everything about it lies.
        settings: What the user asked for.
        base: The settings its trials share, with the data source resolved.
        space: What is searched.
        prepared: Folder of the prepared images.
        allotment: What a trial gets.
    """

    name: str
    folder: Path
    settings: SweepSettings
    base: Config
    space: Space
    prepared: Path
    allotment: Allotment


def search_study(sweep: Sweep) -> Study:
    """The Optuna study of a sweep's search; of a new one the first trial is the preset's values."""
    settings = sweep.settings
    storage = open_storage(sweep.folder, settings.optuna_storage)
    study = open_study(storage, sweep.name, settings.objective, sweep.space)
    known = len(study.get_trials(deepcopy=False))
    # A session that repeated the draws of the one before would search the same places again.
    seed = derive(settings.seed, f"sampler/{known}") % 2**31 if known else settings.seed
    study.sampler = make_sampler(settings.sampler, seed, settings.trials)
    point = starting_point(sweep.space, sweep.base)
    if point is not None and not known:
        study.enqueue_trial(point)
    return study


def confirm_study(sweep: Sweep, values: list[dict[str, Any]]) -> Study:
    """The Optuna study of a sweep's confirm runs: the given values, and nothing drawn.

    Args:
        sweep: The sweep.
        values: What each run changes in the sweep's settings, its seed included.
    """
    storage = open_storage(sweep.folder, sweep.settings.optuna_storage)
    space = confirm_space(sweep)
    study = open_study(storage, f"{sweep.name}/confirm", sweep.settings.objective, space)
    for run in values:
        study.enqueue_trial(run, skip_if_exists=True)
    return study


def confirm_space(sweep: Sweep) -> Space:
    """What distinguishes confirm runs: what was searched, and the seed."""
    return {**sweep.space, "seed": IntDistribution(0, 2**31 - 1)}


def run_trials(
    sweep: Sweep,
    study: Study,
    ledger: Ledger,
    budget: Budget,
    callbacks: list[Callback],
    trainable: Trainable = train_trial,
) -> None:
    """Run trials until they are done, the time is over, or the user interrupts.

    Args:
        sweep: What to run.
        study: Where settings come from and ends are told to.
        ledger: Receives what became of every trial.
        budget: When to stop.
        callbacks: Called after the ledger.
        trainable: What a trial runs.
    """
    settings, base = sweep.settings, sweep.base
    enough = functools.partial(enough_time, ledger, budget)
    earlier = {record.trial_id: record.rungs for record in ledger.records.values()}
    searcher = StudySearcher(
        study, sweep.space, settings.objective, ledger, base.data.labels, enough
    )
    _run(
        sweep, "search", study, ledger, budget, callbacks, trainable, searcher, settings.trials,
        scheduler=Halving(settings.objective, base, sweep.space, earlier),
    )  # fmt: skip


def run_confirmations(
    sweep: Sweep,
    study: Study,
    ledger: Ledger,
    budget: Budget,
    callbacks: list[Callback],
    trainable: Trainable = confirm_trial,
) -> None:
    """Train given settings to the last step, on the trials' allotment; one failing stops no other.

    Args:
        sweep: Whose settings they are.
        study: The confirm runs.
        ledger: Receives what became of every run.
        budget: Tells when the user interrupts.
        callbacks: Called after the ledger.
        trainable: What a run is.
    """
    space, objective = confirm_space(sweep), sweep.settings.objective
    searcher = StudySearcher(
        study, space, objective, ledger, sweep.base.data.labels, stage="confirm"
    )
    runs = len(study.get_trials(deepcopy=False))
    _run(sweep, "confirm", study, ledger, budget, callbacks, trainable, searcher, runs)


def _run(
    sweep: Sweep,
    stage: Stage,
    study: Study,
    ledger: Ledger,
    budget: Budget,
    callbacks: list[Callback],
    trainable: Trainable,
    searcher: StudySearcher,
    trials: int,
    **how: Any,
) -> None:
    """Run what is left of `trials` under Tune; `how` says who goes on."""
    ended = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    left = trials - len(study.get_trials(deepcopy=False, states=ended))
    budget.start()
    if left <= 0:
        return
    allotment = sweep.allotment
    resources = {"cpu": allotment.cpus, "gpu": allotment.gpus}
    folder = _session_folder(sweep.folder, stage)
    tuner = tune.Tuner(
        tune.with_resources(reporting_errors(trainable), resources),
        param_space=trial_parameters(sweep.base, sweep.prepared),
        tune_config=tune.TuneConfig(
            **how,
            search_alg=searcher,
            num_samples=left,
            # Without a limit Tune keeps one trial waiting at a time, whatever the resources.
            max_concurrent_trials=allotment.concurrent,
            # A process that has loaded torch serves trial after trial; one that saw an error of
            # CUDA would hand it on.
            reuse_actors=not allotment.gpus,
            trial_name_creator=_trial_id,
            trial_dirname_creator=_trial_id,
        ),
        run_config=tune.RunConfig(
            name=folder.name,
            storage_path=str(folder.parent),
            stop=budget,
            verbose=0,
            # The keeper last: what it stores, the others have heard of.
            callbacks=[ledger, *callbacks, Keeper(Records(study), ledger, budget)],
            checkpoint_config=tune.CheckpointConfig(num_to_keep=CHECKPOINTS_KEPT),
            failure_config=tune.FailureConfig(max_failures=_RETRIES),
        ),
    )
    tuner.fit()


def _session_folder(folder: Path, stage: Stage) -> Path:
    """A folder for the checkpoints of this session, beside those of earlier ones."""
    places = (folder / f"{stage}-{number}" for number in itertools.count(1))
    return next(place for place in places if not place.exists())


def enough_time(ledger: Ledger, budget: Budget) -> bool:
    """Whether another trial can end in the time left, going by the complete ones."""
    complete = ledger.complete()
    if not complete:
        return True
    return budget.left > sum(record.seconds for record in complete) / len(complete)


def _trial_id(trial: Trial) -> str:
    return str(trial.config["trial_id"])
