"""The flags `--list` and `--status NAME`, which show sweeps without starting anything."""

from optuna import logging as optuna_logging
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sweeps.cluster.locks import is_running
from sweeps.state.catalog import (
    StoredSweep,
    find_sweep,
    names_without_study,
    parse_sweep_path,
    stored_names,
)
from sweeps.sweep_settings import SweepSettings
from sweeps.text import format_duration, format_outcomes, format_settings
from sweeps.trial import TrialRecord
from weakdis_core.errors import UserError


def print_status(settings: SweepSettings, console: Console) -> None:
    """Print the list of sweeps, or the trials of the sweep that `status` names.

    Raises:
        UserError: There is no such sweep.
    """
    optuna_logging.set_verbosity(optuna_logging.WARNING)
    if settings.status is not None:
        settings, name = parse_sweep_path(settings, settings.status)
        console.print(_status(find_sweep(settings, name), settings))
        return
    table = Table("sweep", "state", "trials", "ended", "best", "time", box=None)
    for name in stored_names(settings):
        try:
            table.add_row(*_row(find_sweep(settings, name), settings))
        except UserError as error:
            table.add_row(name, Text(str(error)))
    for name in names_without_study(settings):
        table.add_row(name, "its study is in another database: see --optuna-storage")
    console.print(table if table.row_count else f"no sweeps in {settings.folder}")


def _row(stored: StoredSweep, settings: SweepSettings) -> tuple[str, ...]:
    state, known = _load(stored, settings)
    best = max((r.score or 0.0 for r in known if r.outcome == "complete"), default=None)
    return (
        stored.name,
        state,
        str(stored.settings.trials),
        format_outcomes(known) or "none",
        "-" if best is None else f"{best:.3f}",
        format_duration(stored.records.seconds),
    )


def _load(stored: StoredSweep, settings: SweepSettings) -> tuple[str, list[TrialRecord]]:
    """Load the state of a sweep and the records of its trials."""
    # Looked up before the records: a sweep may end in between.
    running = is_running(settings.folder / stored.name, settings.study_storage)
    known = list(stored.records.load().values())
    state = "running" if running else _state(stored, known)
    for record in known:
        # A killed program could not store the end of its running trials.
        if record.outcome == "running" and not running:
            record.outcome = "interrupted"
    return state, known


def _state(stored: StoredSweep, known: list[TrialRecord]) -> str:
    if stored.ended and any(r.outcome == "out_of_time" and r.score is None for r in known):
        return f"out of time: --resume {stored.name} with a larger --time-budget"
    if stored.ended is not None:
        return "ended" if stored.ended else f"interrupted: --resume {stored.name}"
    cut = any(record.outcome in ("running", "interrupted") for record in known)
    if stored.confirm is not None:
        # All confirm runs wait in their study before the first of them starts.
        trials = stored.confirm.get_trials(deepcopy=False)
        cut = cut or not all(each.state.is_finished() for each in trials)
    return f"interrupted: --resume {stored.name}" if cut else "ended"


def _status(stored: StoredSweep, settings: SweepSettings) -> Table:
    state, known = _load(stored, settings)
    title = f"{stored.name}: {state}; {format_outcomes(known) or 'none'}"
    table = Table(
        "trial", "state", "step", "score", "time", "settings",
        title=title, title_justify="left", box=None,
    )  # fmt: skip
    for record in known:
        score = "-" if record.score is None else f"{record.score:.3f}"
        remarks = filter(None, (format_settings(record.values), record.error, record.note))
        outcome = record.outcome.replace("_", " ")
        steps = f"{record.step}/{record.steps or stored.base.training.steps}"
        row = (str(record.number), outcome, steps, score, format_duration(record.seconds))
        # As plain text: an error may contain markup.
        table.add_row(*row, Text("; ".join(remarks)))
    return table
