"""Run a sweep's trials: Tune, with Optuna's suggestions and ASHA's early stopping.

Confirm runs and the runs of a declared study are trials too, of given settings and without early
stopping. Where a session was cut short, the same call runs what its study still has.
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
from sweeps.state.ledger import STARTS
from sweeps.state.stage import StageRun, Sweep
from sweeps.state.study import make_sampler, open_storage, open_study
from sweeps.state.trial_store import TrialStoreListener, count_remaining, enqueue_failed_for_time
from sweeps.trainable import Trainable, reporting_errors, train_trial
from sweeps.trial import Listener, Stage
from weakdis_core.errors import UserError
from weakdis_core.seeding import derive


def search_study(sweep: Sweep) -> Study:
    """The Optuna study of a sweep's search; of a new one the first trial is the preset's values."""
    settings = sweep.settings
    storage = open_storage(sweep.folder, settings.study_storage)
    study = open_study(storage, sweep.name, settings.objective, sweep.space)
    # Before the first trial: a study that is no sweep's is never touched.
    store_settings(study, settings, sweep.base)
    known = len(study.get_trials(deepcopy=False))
    # A session that repeated the draws of the one before would search the same places again.
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
    """Run what is left of a search's trials, until they end, time is over, or the user interrupts.

    Arguments are those of `run_trials`.
    """
    sweep = run.sweep
    if not count_remaining(run.study, sweep.settings.trials) or not run.budget.left:
        return
    earlier = {record.trial_id: record.rungs for record in run.ledger.records.values()}
    scheduler = Halving(sweep.settings.objective, sweep.base, sweep.space, earlier)
    run_trials(run, DrawnTrials(run), listeners, trainable, scheduler)


def run_trials(
    run: StageRun,
    source: DrawnTrials | QueuedTrials,
    listeners: Sequence[Listener],
    trainable: Trainable,
    scheduler: Halving | None = None,
) -> None:
    """Run the trials of a source under Tune; one that fails stops no other.

    Args:
        run: The stage that they belong to.
        source: The trials.
        listeners: Receive what happens, after the ledger.
        trainable: What a trial runs.
        scheduler: Stops trials early; without it each runs to its last step.
    """
    sweep, allotment = run.sweep, run.sweep.allotment
    resources = {"cpu": allotment.cpus, "gpu": allotment.gpus}
    system, place = sweep.storage.opened()
    place = f"{place}/{sweep.name}"
    nodes = NodeCheck(sweep.storage, place)
    nodes.check()
    # Guards first: one that raises ends the sweep before anything is written. The ledger updates
    # the record that the others read, and the keeper stores what they have received.
    everybody = [
        run.budget.interruption,
        sweep.claim,
        nodes,
        run.ledger,
        *listeners,
        TrialStoreListener(run),
    ]
    tuner = tune.Tuner(
        tune.with_resources(reporting_errors(trainable), resources),
        param_space={"storage": sweep.storage.root, "keep_files": run.stage != "study"},
        tune_config=tune.TuneConfig(
            search_alg=StudySearcher(run, source),
            scheduler=scheduler,
            # The searcher counts: what fails before it starts is suggested again.
            num_samples=-1,
            # Without a limit Tune keeps one trial waiting at a time, whatever the resources.
            max_concurrent_trials=allotment.concurrent,
            # A process that has loaded torch serves trial after trial; one that saw an error of
            # CUDA would hand it on.
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
            callbacks=[TuneEvents(run.ledger, everybody)],
            failure_config=tune.FailureConfig(max_failures=STARTS - 1),
        ),
    )
    tuner.fit()
    if run.budget.disk_error:
        raise UserError(cannot_be_written(sweep.storage.root, run.budget.disk_error))


def _session(system: FileSystem, place: str, stage: Stage) -> str:
    """Name of a folder for the checkpoints of this session, beside those of earlier ones."""
    there = system.get_file_info(FileSelector(place, allow_not_found=True))
    taken = {each.base_name for each in there}
    names = (f"{stage}-{number}" for number in itertools.count(1))
    return next(name for name in names if name not in taken)


def _trial_id(trial: Trial) -> str:
    return str(trial.config["trial_id"])
