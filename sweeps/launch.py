"""Run a sweep's trials: Tune, with Optuna's suggestions and ASHA's early stopping.

Confirm runs are trials too, of given settings and without early stopping.
"""

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
from sweeps.trainable import confirm_trial, train_trial, trial_parameters
from weakdis_core.config import Config
from weakdis_core.errors import UserError

Trainable = Callable[[dict[str, Any]], None]

CONFIRM_FOLDER = "confirm"


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
    settings = sweep.settings
    searcher = StudySearcher(
        study,
        sweep.space,
        settings.objective,
        ledger.steps,
        functools.partial(enough_time, ledger, budget),
    )
    _run(
        sweep,
        trainable,
        trial_parameters(sweep.base, sweep.prepared),
        sweep.folder,
        budget,
        [ledger, *callbacks],
        search_alg=searcher,
        scheduler=Halving(settings.objective, sweep.base, sweep.space),
        num_samples=settings.trials,
    )


def run_confirmations(
    sweep: Sweep,
    values: list[dict[str, Any]],
    ledger: Ledger,
    budget: Budget,
    callbacks: list[Callback],
    trainable: Trainable = confirm_trial,
) -> None:
    """Train given settings to the last step, on the trials' allotment; one failing stops no other.

    Args:
        sweep: Whose settings they are.
        values: What each run changes in the sweep's settings, its seed included.
        ledger: Receives what became of every run.
        budget: Tells when the user interrupts.
        callbacks: Called after the ledger.
        trainable: What a run is.
    """
    parameters = trial_parameters(sweep.base, sweep.prepared)
    _run(
        sweep,
        trainable,
        parameters | {"values": tune.grid_search(values)},
        sweep.folder / CONFIRM_FOLDER,
        budget,
        [ledger, *callbacks],
    )


def _run(
    sweep: Sweep,
    trainable: Trainable,
    parameters: dict[str, Any],
    folder: Path,
    budget: Budget,
    callbacks: list[Callback],
    **search: Any,
) -> None:
    """Run trials under Tune; `search` says how their settings are found and who goes on."""
    allotment = sweep.allotment
    resources = {"cpu": allotment.cpus, "gpu": allotment.gpus}
    tuner = tune.Tuner(
        tune.with_resources(trainable, resources),
        param_space=parameters,
        tune_config=tune.TuneConfig(
            **search,
            # Without a limit Tune keeps one trial waiting at a time, whatever the resources.
            max_concurrent_trials=allotment.concurrent,
            # A process that has loaded torch serves trial after trial.
            reuse_actors=True,
            trial_name_creator=_trial_id,
            trial_dirname_creator=_trial_id,
        ),
        run_config=tune.RunConfig(
            name=folder.name,
            storage_path=str(folder.parent),
            stop=budget,
            verbose=0,
            callbacks=callbacks,
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
