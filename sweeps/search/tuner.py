"""Run trials with Ray Tune: Optuna suggests them, ASHA stops them early.

Confirm runs and the runs of a declared study are trials with given settings and no early stopping.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from optuna.study import Study
from pyarrow.fs import FileSelector, FileSystem
from ray import tune
from ray.tune.experiment import Trial

from sweeps.cluster.nodes import NodeCheck
from sweeps.cluster.storage_errors import cannot_be_written
from sweeps.search.run_queue import QueuedTrials
from sweeps.search.scheduler import Halving
from sweeps.search.searcher import DrawnTrials, StudySearcher
from sweeps.search.space import starting_point
from sweeps.search.tune_events import TuneEvents
from sweeps.state.catalog import store_settings
from sweeps.state.stage import StageRun, Sweep
from sweeps.state.study import make_sampler, open_storage, open_study
from sweeps.state.trial_store import TrialStoreListener, count_remaining, enqueue_failed_for_time
from sweeps.state.trials import STARTS
from sweeps.trainable import Trainable, reporting_errors, train_trial
from sweeps.trial import Listener, Stage
from weakdis_core.errors import UserError
from weakdis_core.seeding import derive


def open_search_study(sweep: Sweep) -> Study:
    """Open the Optuna study of a sweep's search; a new one starts with the preset's values."""
    settings = sweep.settings
    storage = open_storage(sweep.folder, settings.study_storage)
    study = open_study(storage, sweep.name, settings.objective, sweep.space)
    # Before the first trial, because a study with trials but no settings is no sweep's.
    store_settings(study, settings, sweep.base)
    known = len(study.get_trials(deepcopy=False))
    # With the same seed, a resumed session would repeat the draws of the first one.
    seed = derive(settings.seed, f"sampler/{known}") % 2**31 if known else settings.seed
    study.sampler = make_sampler(settings.sampler, seed, settings.trials)
    point = starting_point(sweep.space, sweep.base)
    if point is not None and not known:
        study.enqueue_trial(point)
    enqueue_failed_for_time(study)
    return study


def run_search(
    run: StageRun, listeners: Sequence[Listener], trainable: Trainable = train_trial
) -> None:
    """Run the remaining trials of a search, until they end, time is over, or the user interrupts.

    Args:
        run: The search.
        listeners: As for `run_trials`.
        trainable: As for `run_trials`.
    """
    sweep = run.sweep
    if not count_remaining(run.study, sweep.settings.trials) or not run.budget.left:
        return
    earlier = {record.trial_id: record.rungs for record in run.trials.records.values()}
    scheduler = Halving(sweep.settings.objective, sweep.base, sweep.space, earlier)
    run_trials(run, DrawnTrials(run), listeners, trainable, scheduler)


def run_trials(
    run: StageRun,
    source: DrawnTrials | QueuedTrials,
    listeners: Sequence[Listener],
    trainable: Trainable,
    scheduler: Halving | None = None,
) -> None:
    """Run the trials of a source under Tune; a failed trial does not stop the others.

    Args:
        run: The stage that the trials belong to.
        source: Source of the trials.
        listeners: Listeners to call, in this order.
        trainable: The function that a trial runs.
        scheduler: Stops trials early; by default each runs to its last step.
    """
    sweep, allotment = run.sweep, run.sweep.allotment
    resources = {"cpu": allotment.cpus, "gpu": allotment.gpus}
    system, root = sweep.storage.opened()
    place = f"{root}/{sweep.name}"
    nodes = NodeCheck(sweep.storage, place)
    nodes.check()
    # Guards raise errors that end the sweep before anything is written. Then the record is updated,
    # the listeners read it, and last it is stored.
    guards = [run.budget.interruption, sweep.claim, nodes]
    in_order = [*guards, run.trials, *listeners, TrialStoreListener(run)]
    tuner = tune.Tuner(
        tune.with_resources(reporting_errors(trainable), resources),
        param_space={
            "storage": sweep.storage.root,
            "keep_files": (keep_files := run.stage != "study"),
            "pictures": keep_files and not sweep.settings.no_pictures,
        },
        tune_config=tune.TuneConfig(
            search_alg=StudySearcher(run, source),
            scheduler=scheduler,
            # The searcher decides when to end.
            num_samples=-1,
            # Without a limit Tune keeps only one trial pending, whatever the resources.
            max_concurrent_trials=allotment.concurrent,
            # Loading torch takes seconds, but a process with a CUDA error fails later trials too.
            reuse_actors=not allotment.gpus,
            trial_name_creator=_trial_id,
            trial_dirname_creator=_trial_id,
        ),
        run_config=tune.RunConfig(
            name=_session(system, place, run.stage),
            storage_path=place,
            storage_filesystem=system if sweep.storage.remote else None,
            stop=run.budget,
            verbose=0,
            callbacks=[TuneEvents(run.trials, in_order)],
            failure_config=tune.FailureConfig(max_failures=STARTS - 1),
        ),
    )
    tuner.fit()
    if run.budget.disk_error:
        raise UserError(cannot_be_written(sweep.storage.root, run.budget.disk_error))


def _session(system: FileSystem, place: str, stage: Stage) -> str:
    """Return the first unused folder name `STAGE-NUMBER`, for this session's checkpoints."""
    there = system.get_file_info(FileSelector(place, allow_not_found=True))
    taken = {each.base_name for each in there}
    names = (f"{stage}-{number}" for number in itertools.count(1))
    return next(name for name in names if name not in taken)


def _trial_id(trial: Trial) -> str:
    return str(trial.config["trial_id"])
