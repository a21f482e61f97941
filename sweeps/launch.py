"""Run a sweep's trials: Tune, with Optuna's suggestions and ASHA's early stopping."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.study import Study
from ray import tune
from ray.tune import Callback
from ray.tune.experiment import Trial

from sweeps.budget import Budget
from sweeps.cluster import Allotment
from sweeps.halving import Halving
from sweeps.ledger import Ledger
from sweeps.settings import SweepSettings
from sweeps.space import Space, starting_point
from sweeps.study import StudySearcher, make_sampler, open_storage, open_study
from sweeps.trainable import train_trial, trial_parameters
from weakdis_core.config import Config
from weakdis_core.errors import UserError

Trainable = Callable[[dict[str, Any]], None]


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


def claim_folder(storage: Path, name: str) -> Path:
    """Make the folder of a new sweep.

    Raises:
        UserError: There is one already, or it cannot be made.
    """
    folder = storage.absolute() / name
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
    except FileExistsError:
        raise UserError(f"name: there is a sweep {name!r} in {storage} already") from None
    except OSError as error:
        raise UserError(f"storage: {folder} cannot be written ({error.strerror})") from None
    return folder


def sweep_study(sweep: Sweep) -> Study:
    """The Optuna study of a new sweep, its first trial set to the preset's own values."""
    settings = sweep.settings
    sampler = make_sampler(settings.sampler, settings.seed, settings.trials)
    storage = open_storage(sweep.folder)
    study = open_study(storage, sweep.base.data.variant, settings.objective, sweep.space, sampler)
    point = starting_point(sweep.space, sweep.base)
    if point is not None and not study.get_trials(deepcopy=False):
        study.enqueue_trial(point)
    return study


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
    settings, allotment = sweep.settings, sweep.allotment
    searcher = StudySearcher(
        study,
        sweep.space,
        settings.objective,
        ledger.steps,
        functools.partial(enough_time, ledger, budget),
    )
    resources = {"cpu": allotment.cpus, "gpu": allotment.gpus}
    tuner = tune.Tuner(
        tune.with_resources(trainable, resources),
        param_space=trial_parameters(sweep.base, sweep.prepared),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=Halving(settings.objective, sweep.base, sweep.space),
            num_samples=settings.trials,
            # Without a limit Tune keeps one trial waiting at a time, whatever the resources.
            max_concurrent_trials=allotment.concurrent,
            # A process that has loaded torch serves trial after trial.
            reuse_actors=True,
            trial_name_creator=_trial_id,
            trial_dirname_creator=_trial_id,
        ),
        run_config=tune.RunConfig(
            name=sweep.name,
            storage_path=str(sweep.folder.parent),
            stop=budget,
            verbose=0,
            callbacks=[ledger, *callbacks],
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
        ),
    )
    budget.start()
    tuner.fit()


def enough_time(ledger: Ledger, budget: Budget) -> bool:
    """Whether another trial can end in the time left, going by the complete ones."""
    complete = ledger.complete()
    if not complete:
        return True
    return budget.left > sum(record.seconds for record in complete) / len(complete)


def _trial_id(trial: Trial) -> str:
    return str(trial.trial_id)
