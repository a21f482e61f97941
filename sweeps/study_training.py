"""Training of a declared study on one variant: its missing and stale runs."""

from rich.text import Text

from analysis.data.archive import read_frame
from analysis.data.declared import select_untrained
from sweeps.search.run_queue import QueuedRun, enqueue_runs, key_of, with_runtime
from sweeps.session import Session, print_interrupted, train_runs
from sweeps.trial import trial_id_of
from weakdis_core.errors import UserError
from weakdis_core.studies import declared_runs


def train_study(session: Session) -> bool:
    """Train the declared runs of a study that have no scores.

    Returns:
        Whether every run of the study has scores, and the user did not interrupt.

    Raises:
        UserError: MLflow does not answer.
    """
    sweep, console, base = session.sweep, session.console, session.sweep.base
    assert sweep.settings.study is not None
    declared = declared_runs(
        sweep.settings.study, base.data.variant, base.data.source, sweep.settings.seeds
    )
    # Runs of an interrupted session count only once MLflow has received them.
    if not session.writer.flush():
        raise UserError(
            f"tracking_uri: MLflow does not answer, so what {sweep.name} still needs is unknown; "
            "run the same command again when it does"
        )
    missing, stale = select_untrained(read_frame(sweep.settings.tracking), declared)
    queued = [
        QueuedRun(with_runtime(run, base.runtime), {"row": run.row, "seed": run.config.seed})
        for run in missing + stale
    ]
    enqueue_runs(session.study, queued, base, retrain=True)
    train_runs(session, wanted={run.key for run in queued})
    if session.budget.interrupted:
        print_interrupted(session)
        return False
    trials = {key_of(trial, base): trial for trial in session.study.get_trials(deepcopy=False)}
    ids = [trial_id_of(session.study, trials[run.key].number, "study") for run in queued]
    failed = [run for each in ids if (run := session.trials.records[each]).outcome != "complete"]
    if not queued:
        console.print(f"{sweep.name}: nothing left to train of {len(declared)} runs")
        return True
    console.print(
        f"{sweep.name}: {len(queued) - len(failed)} of {len(queued)} runs trained. Write them into "
        "the archive with `weakdis tables export`, and docs/results.md with "
        "`weakdis tables results`.",
        highlight=False,
    )
    for run in failed:
        line = f"{run.values['row']}, seed {run.values['seed']} {run.outcome}: {run.error}"
        console.print(Text(line), soft_wrap=True)
    return not failed
