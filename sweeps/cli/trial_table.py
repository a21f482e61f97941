"""Trials in words, live and afterwards: a table of them, the line of one, and its score."""

import time
from collections.abc import Sequence

from rich.console import Group
from rich.table import Column, Table
from rich.text import Text

from sweeps.flags import Objective
from sweeps.text import format_duration, format_settings
from sweeps.trial import TrialRecord

_STYLES = {
    "running": "cyan",
    "complete": "green",
    "pruned": "dim",
    "failed": "red",
    "out_of_time": "yellow",
    "interrupted": "yellow",
}


def trial_table(records: Sequence[TrialRecord], word: str = "trial") -> Group:
    """Return a table of trials, narrow enough for 80 columns, and below it their remarks."""
    rows = [_cells(record, word.split()[-1]) for record in records]
    titles = list(dict.fromkeys(title for row in rows for title in row))
    columns = [Column(title.replace("_", " "), justify="right") for title in titles]
    table = Table(*columns, box=None, padding=(0, 1, 0, 0), header_style="bold")
    remarks = []
    for record, row in zip(records, rows, strict=True):
        # As plain text: an error may contain markup.
        cells = (Text(row.get(title, "-")) for title in titles)
        table.add_row(*cells, style=_STYLES[record.outcome])
        if remark := "; ".join(filter(None, (record.error, record.note))):
            remarks.append(Text(f"{word} {record.number}: {remark}"))
    return Group(table, *remarks)


def describe_score(record: TrialRecord, score: float | None, objective: Objective) -> str:
    """Describe a score of a trial in plain words."""
    kind = {"pixels": "", "pareto": ""}.get(objective, f" ({objective})")
    shown = "no score" if score is None else f"{score:.1%}"
    return f"trial {record.number}: right factor changed, all others kept{kind}: {shown}"


def summary_line(record: TrialRecord) -> str:
    """Describe a trial that has ended in one line."""
    score = "no score yet" if record.score is None else f"{record.score:.3f}"
    values = format_settings(record.values) + (f" ({record.error})" if record.error else "")
    return (
        f"{record.number} {record.outcome.replace('_', ' ')}: {score} at step "
        f"{record.step}/{record.steps}, {format_duration(record.seconds)}, {values}"
    )


def _cells(record: TrialRecord, word: str) -> dict[str, str]:
    """Return the cells of a trial by the titles of their columns."""
    state, seconds, left = record.outcome.replace("_", " "), record.seconds, ""
    if state == "running" and record.rate and record.step < record.steps:
        since = max(0.0, time.monotonic() - record.started - record.seconds)
        seconds = max(0.0, (record.steps - record.step) / record.rate - since)
        left = " left"
    elif state == "running":
        state = "scoring" if record.step else "starting"
        seconds = time.monotonic() - record.started
    # Confirm runs have all settings of a trial beside their seed: the table would be too wide.
    names = [name for name in record.values if name in ("row", "seed")] or [*record.values]
    settings = [format_settings({name: record.values[name]}).split("=", 1) for name in names]
    return {
        word: str(record.number),
        "state": state,
        "step": f"{record.step}/{record.steps}",
        "score": "-" if record.score is None else f"{record.score:.3f}",
        "speed": f"{record.rate:.3g}/s" if record.rate else "-",
        "time": format_duration(seconds) + left,
        "on": record.device.removeprefix("NVIDIA ").removesuffix(" x86_64") or "-",
        **dict(settings),
    }
