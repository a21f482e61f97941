"""The report of a sweep: one page that opens without a network.

It is made of what MLflow has, so that it can be made on another machine, and while a sweep runs.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from mlflow import MlflowClient

from analysis import search_figures, setting_figures
from analysis.accuracy_table import write_table1
from analysis.archive import RESULTS, Archive
from analysis.disentanglement_table import ceilings, write_table2
from analysis.drawing import Drawing
from analysis.embedded import Picture, read_pictures
from analysis.frame import union
from analysis.importance import importances
from analysis.leaderboard import leaderboard, note_on, write_leaderboard
from analysis.limits import limits
from analysis.provenance import command_of, config_of, provenance
from analysis.runs import read_runs
from analysis.statistics import Interval
from analysis.store import open_store
from analysis.sweep import Sweep, find_sweep, read_history, study_of
from analysis.text import marked, mean, write
from analysis.training_figures import ACCURACIES, RECONSTRUCTION, learning_curves, rungs
from analysis.verdict import confirmations, verdict
from weakdis_core import paper
from weakdis_core.errors import UserError
from weakdis_core.files import write_text

_TEMPLATE = "report.html.j2"


@dataclass(frozen=True)
class Report:
    """A report, made.

    Attributes:
        sweep: What it is about.
        html: The page.
        drawings: Its figures, for print.
    """

    sweep: Sweep
    html: str
    drawings: list[Drawing]

    def write(self, path: Path) -> None:
        """Write the page.

        Raises:
            UserError: It cannot be written.
        """
        write_text(path, self.html)


def make_report(
    tracking_uri: str,
    name: str | None = None,
    variant: str | None = None,
    results: Path = RESULTS,
) -> Report:
    """Make the report of a sweep.

    Args:
        tracking_uri: The store.
        name: The sweep's name or run id; the newest by default.
        variant: The data set variant that it must be of.
        results: Folder of the committed runs, for the paper's tables.

    Raises:
        UserError: The store or the folder cannot be read, or there is no such sweep.
    """
    client, runs = open_store(tracking_uri), read_runs(tracking_uri)
    sweep, quoted = find_sweep(client, runs, name, variant), paper.load()
    importance = importances(study_of(sweep))
    drawings, pictures = _drawings(sweep, importance, client), _pictures(sweep, client)
    every = union(runs, Archive(results).frame())
    page = _environment().get_template(_TEMPLATE)
    html = page.render(
        sweep=sweep,
        running=sweep.run.info.status == "RUNNING",
        made=datetime.datetime.now(datetime.UTC),
        verdict=[marked(sentence) for sentence in verdict(sweep, importance, quoted)],
        settings=_settings(sweep),
        command=_command(sweep),
        confirmed=_confirmed(sweep),
        table1=Markup(write_table1(every, quoted, "html")),
        table2=Markup(write_table2(every, quoted, "html", ceilings())),
        trials=Markup(write_leaderboard(leaderboard(sweep), "html", note_on(sweep))),
        drawings=[(drawing, Markup(drawing.svg())) for drawing in drawings],
        look=pictures[:1],
        pictures=pictures[1:],
        provenance=provenance(sweep).itertuples(index=False),
        limits=limits(sweep),
    )
    return Report(sweep, html, drawings)


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("analysis"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


def _drawings(sweep: Sweep, importance: pd.DataFrame, client: MlflowClient) -> list[Drawing]:
    best = sweep.best
    if best is None:
        return []
    history = read_history(client, sweep.scored["run_id"], [sweep.metric])
    own = read_history(client, [best["run_id"]], [RECONSTRUCTION, *ACCURACIES])
    made = [
        search_figures.progress(sweep),
        setting_figures.importance(sweep, importance),
        setting_figures.slices(sweep),
        setting_figures.parallel(sweep),
        search_figures.front(sweep),
        rungs(sweep, history),
        learning_curves(sweep, own),
    ]
    return [drawing for drawing in made if drawing is not None]


def _settings(sweep: Sweep) -> list[tuple[str, Any]]:
    best = sweep.best
    return [] if best is None else [(name, best[name]) for name in sweep.space]


def _command(sweep: Sweep) -> str:
    """How to train the best configuration again."""
    best = sweep.best
    if best is None:
        return ""
    given = dict(sweep.run.data.params) | {name: str(best[name]) for name in sweep.space}
    names = [name for name in given if name == "seed" or name.partition(".")[0] in _GROUPS]
    try:
        return command_of(config_of({name: given[name] for name in names}))
    except UserError:
        # Settings come and go; the page of an old sweep is still worth having.
        commit = sweep.run.data.tags["git_commit"]
        return f"# settings of another version of weakdis: check out commit {commit}"


def _confirmed(sweep: Sweep) -> str:
    """The confirmed configurations side by side; of one the verdict says everything."""
    table = confirmations(sweep)
    if len(table) < 2:
        return ""
    rows = [
        {
            "Configuration": row["config_hash"],
            "Labels": str(row["labels"]),
            "Seeds": str(row["seeds"]),
            "Pixels, test": _cell(row, "pixels", "low", "high"),
            "Behind the first": _cell(row, "behind", "behind_low", "behind_high"),
        }
        for _, row in table.iterrows()
    ]
    note = (
        "Configurations confirmed on fresh seeds: mean over seeds and half the width of its 95% "
        "t-interval; differences are paired on the same seeds. The first is the best on validation."
    )
    return Markup(write(pd.DataFrame(rows), [note], "html", ""))


def _cell(row: pd.Series[Any], value: str, low: str, high: str) -> str:
    return mean(Interval(row[value], row[low], row[high], int(row["seeds"])))


def _pictures(sweep: Sweep, client: MlflowClient) -> Sequence[Picture]:
    """Those of a confirm run where there is one, else those of the best trial."""
    for runs in (sweep.confirmed, sweep.trials):
        for run in _candidates(sweep, runs):
            if found := read_pictures(client, run):
                return found
    return []


def _candidates(sweep: Sweep, runs: pd.DataFrame) -> list[str]:
    if runs.empty or sweep.metric not in runs:
        return []
    # By validation: the pictures are of test images.
    return list(runs.sort_values(sweep.metric, ascending=False)["run_id"].head(3))


_GROUPS = ("data", "model", "loss", "training", "runtime")
