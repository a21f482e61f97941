"""The flags `--list` and `--status NAME`, which show sweeps without starting anything."""

from math import ceil

from optuna import logging as optuna_logging
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sweeps.cli.trial_table import describe_score, trial_table
from sweeps.cluster.locks import is_running
from sweeps.state.catalog import (
    StoredSweep,
    find_sweep,
    names_without_study,
    parse_sweep_path,
    stored_names,
)
from sweeps.state.stage import resume_command
from sweeps.state.trial_store import TrialStore
from sweeps.sweep_settings import SweepSettings
from sweeps.text import format_duration, format_outcomes, label_line
from sweeps.trial import TrialRecord, highest
from weakdis_core.errors import UserError


def print_status(settings: SweepSettings, console: Console) -> None:
    """Print the list of sweeps, or the trials of the sweep that `status` names.

    Raises:
        UserError: There is no such sweep.
    """
    optuna_logging.set_verbosity(optuna_logging.WARNING)
    if settings.status is not None:
        settings, name = parse_sweep_path(settings, settings.status)
        _print_sweep(find_sweep(settings, name), settings, console)
        return
    table = Table("sweep", "state", "trials", "best", "time", box=None, pad_edge=False)
    for name in stored_names(settings):
        try:
            table.add_row(*_row(find_sweep(settings, name), settings))
        except UserError as error:
            table.add_row(name, Text(str(error)))
    for name in names_without_study(settings):
        table.add_row(name, "its study is in another database: see --optuna-storage")
    console.print(table if table.row_count else f"no sweeps in {settings.folder}")
    if table.row_count:
        console.print("\n--status NAME shows a sweep, and the command that continues it")


def _row(stored: StoredSweep, settings: SweepSettings) -> tuple[str, ...]:
    state, known = _load(stored, settings)
    best = _best(known)
    return (
        stored.name,
        state,
        format_outcomes(known) or "none",
        "-" if best is None else f"{best.score:.3f}",
        format_duration(stored.records.seconds),
    )


def _best(known: list[TrialRecord]) -> TrialRecord | None:
    return highest(record for record in known if record.outcome == "complete")


def _load(stored: StoredSweep, settings: SweepSettings) -> tuple[str, list[TrialRecord]]:
    """Load the state of a sweep and the records of its trials."""
    # Looked up before the records: a sweep may end in between.
    running = is_running(settings.folder / stored.name, settings.study_storage)
    known = list(stored.records.load().values())
    state = "running" if running else _state(stored, known)
    for record in known:
        record.steps = record.steps or stored.base.training.steps
        # A killed program could not store the end of its running trials.
        if record.outcome == "running" and not running:
            record.outcome = "interrupted"
    return state, known


def _state(stored: StoredSweep, known: list[TrialRecord]) -> str:
    if stored.ended and any(r.outcome == "out_of_time" and r.score is None for r in known):
        return "out of time"
    if stored.ended is not None:
        return "ended" if stored.ended else "interrupted"
    cut = any(record.outcome in ("running", "interrupted") for record in known)
    if stored.confirm is not None:
        # All confirm runs wait in their study before the first of them starts.
        trials = stored.confirm.get_trials(deepcopy=False)
        cut = cut or not all(each.state.is_finished() for each in trials)
    return "interrupted" if cut else "ended"


def _print_sweep(stored: StoredSweep, settings: SweepSettings, console: Console) -> None:
    state, known = _load(stored, settings)
    counts, spent = format_outcomes(known) or "none", stored.records.seconds
    lines = [f"{stored.name}: {state}; {counts}; {format_duration(spent)}"]
    best, study = _best(known), stored.settings.study
    if best is not None and study is None:
        score = describe_score(best, best.score, stored.settings.objective)
        lines.append(label_line("best", score))
    if state in ("interrupted", "out of time"):
        asked = settings.model_copy(update={"study": study})
        command = resume_command(settings.folder / stored.name, asked, stored.base.data.variant)
        more = f" --time-budget {2 * ceil(spent)}" if state == "out of time" else ""
        lines.append(label_line("continue", command + more))
    for line in lines:
        console.print(Text(line), soft_wrap=True)
    confirmed = {} if stored.confirm is None else TrialStore(stored.confirm, "confirm").load()
    for records, word in ((known, "trial"), (list(confirmed.values()), "confirm run")):
        if records:
            console.print(Text(), trial_table(records, word))
