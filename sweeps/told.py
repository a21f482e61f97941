"""What MLflow is told of a sweep as a whole: its params, its tables, and the files of its best."""

from __future__ import annotations

from typing import Any

from optuna.distributions import distribution_to_json
from optuna.study import Study

from sweeps.datasets import training_images
from sweeps.descriptions import describe_study, describe_sweep
from sweeps.launch import Sweep
from sweeps.ledger import Ledger
from sweeps.provenance import SweepRun, common_tags
from sweeps.results import BEST_FILE, STUDY_EXPORT, TRIALS_FILE, Best, write_trials
from sweeps.study import export_study
from sweeps.tracking import Tracking
from weakdis_core.data.store import open_prepared
from weakdis_core.pictures import FOLDER

_BEST = "best trial"


def sweep_run(sweep: Sweep) -> SweepRun:
    """What its runs have in common, and the params of its own: asked for, searched, fixed."""
    settings = sweep.settings
    tags = common_tags(sweep.base, sweep.base.data.source)
    images = training_images(open_prepared(sweep.prepared), sweep.base)
    given: dict[str, Any] = {
        "cpus_per_trial": sweep.allotment.cpus,
        "gpus_per_trial": sweep.allotment.gpus,
        "max_concurrent": sweep.allotment.concurrent,
    }
    if settings.study is not None:
        params = given | {"study": settings.study, "seeds": settings.seeds}
        tags |= {"study": settings.study}
        return SweepRun(sweep.name, sweep.base, tags, params, images, describe_study(sweep))
    # Optuna's own words, from which `json_to_distribution` makes the distributions again.
    searched = {f"space.{name}": distribution_to_json(v) for name, v in sweep.space.items()}
    asked = {
        "trials": settings.trials,
        "time_budget": settings.time_budget,
        "confirm_seeds": settings.confirm_seeds,
        "confirm_top": settings.confirm_top,
        "objective": settings.objective,
        "sampler": settings.sampler,
        "preset": settings.preset,
    }
    fixed = {k: v for k, v in sweep.base.flat().items() if k not in sweep.space}
    params = {**asked, **given, **searched, **fixed}
    return SweepRun(sweep.name, sweep.base, tags, params, images, describe_sweep(sweep))


def log_tables(sweep: Sweep, study: Study, ledger: Ledger, tracking: Tracking) -> None:
    """Write the tables of the trials into the sweep's folder, and store them with its run.

    Raises:
        UserError: They cannot be written.
    """
    write_trials(ledger, sweep.folder / TRIALS_FILE)
    export_study(study, sweep.folder / STUDY_EXPORT)
    for file in (TRIALS_FILE, STUDY_EXPORT):
        tracking.log_file(None, sweep.folder / file)


def log_best(sweep: Sweep, study: Study, best: Best, tracking: Tracking) -> None:
    """The test scores and the files of the best trial, on its run and on the parent."""
    trial = best.record.trial_id
    test = {f"test/{name}": value for name, value in best.test.items()}
    for run in (trial, None):
        tracking.log_final(run, test, best.record.step)
    tracking.describe(best.record, test)
    earlier = study.user_attrs.get(_BEST, trial)
    if earlier != trial:
        # The best before the sweep was extended.
        tracking.set_tags(earlier, {"best": "false"})
    tracking.set_tags(trial, {"best": "true"})
    tracking.set_tags(None, {"best_trial_id": trial})
    study.set_user_attr(_BEST, trial)
    tracking.add_note(
        f"Best: trial {best.record.number}. A search result of one seed, not a table row."
    )
    for run in (trial, None):
        tracking.log_file(run, sweep.folder / BEST_FILE)
        tracking.log_files(run, sweep.folder / FOLDER, FOLDER)
    tracking.log_files(trial, best.checkpoint, "checkpoint")
