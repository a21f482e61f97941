"""The report of a sweep: one page that opens without a network.

It contains what MLflow has, so any machine can build it, even while the sweep runs.
"""

from __future__ import annotations

import base64
import datetime
import io
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from markupsafe import Markup
from mlflow import MlflowClient
from PIL import Image

from analysis.data.archive import RESULTS, Archive, merge_runs
from analysis.data.runs import read_runs
from analysis.data.setting_importance import compute_importances
from analysis.data.store import open_store
from analysis.data.tracked_sweep import TrackedSweep, build_study, find_sweep, read_history
from analysis.figures import search_figures, setting_figures
from analysis.figures.drawing import STYLE, Drawing
from analysis.report.provenance import build_command, describe_sweep, parse_config
from analysis.report.verdict import compare_confirmed, write_verdict
from analysis.tables.accuracy_table import write_table1
from analysis.tables.disentanglement_table import measure_ceilings, write_table2
from analysis.tables.leaderboard import build_leaderboard, explain_leaderboard, write_leaderboard
from analysis.tables.rendering import code_to_html, format_mean, render, write_table
from weakdis_core import paper
from weakdis_core.errors import UserError
from weakdis_core.files import write_text
from weakdis_core.pictures.write import CAPTIONS, FOLDER

# Params of a sweep's run that are settings of its trials.
_SETTINGS = ("seed", "data", "model", "loss", "training", "runtime")


@dataclass(frozen=True)
class PageImage:
    """A picture of a run, embedded in a page.

    Attributes:
        name: File name without its ending.
        caption: What the picture shows.
        data: Content as a data URL; empty if it is left out.
        width: Pixels; 0 if the file is damaged.
        height: Pixels.
    """

    name: str
    caption: str
    data: str
    width: int
    height: int


@dataclass(frozen=True)
class SweepPage:
    """The report of a sweep, and its figures for print."""

    sweep: TrackedSweep
    html: str
    drawings: list[Drawing]

    def write(self, path: Path) -> None:
        """Write the page.

        Raises:
            UserError: The file cannot be written.
        """
        write_text(path, self.html)


def build_page(
    tracking_uri: str, name: str | None = None, variant: str | None = None, results: Path = RESULTS
) -> SweepPage:
    """Build the report of a sweep.

    Args:
        tracking_uri: The store.
        name: Name or run id of the sweep; the newest by default.
        variant: Data set variant of the sweep.
        results: Folder of the committed runs, for the paper's tables.

    Raises:
        UserError: The store or the folder cannot be read, or there is no such sweep.
    """
    client, runs = open_store(tracking_uri), read_runs(tracking_uri)
    sweep, quoted = find_sweep(client, runs, name, variant), paper.load()
    importance = compute_importances(build_study(sweep))
    drawings, pictures = _draw_figures(sweep, importance, client), _find_pictures(sweep, client)
    every = merge_runs(runs, Archive(results).frame())
    trials = write_leaderboard(build_leaderboard(sweep), "html", explain_leaderboard(sweep))
    html = render(
        "report.html.j2",
        sweep=sweep,
        running=sweep.run.info.status == "RUNNING",
        made=datetime.datetime.now(datetime.UTC),
        verdict=[code_to_html(text) for text in write_verdict(sweep, importance, quoted)],
        best=sweep.best,
        command=_training_command(sweep),
        confirmed=_write_confirmed(sweep),
        table1=Markup(write_table1(every, quoted, "html")),
        table2=Markup(write_table2(every, quoted, "html", measure_ceilings())),
        trials=Markup(trials),
        drawings=[(drawing, Markup(drawing.svg())) for drawing in drawings],
        look=pictures[:1],
        pictures=pictures[1:],
        provenance=describe_sweep(sweep),
        oracle=_find_test_metric(sweep, "oracle_accuracy"),
        ceiling=_find_test_metric(sweep, "identifiability_ceiling"),
    )
    return SweepPage(sweep, html, drawings)


def _draw_figures(
    sweep: TrackedSweep, importance: pd.DataFrame, client: MlflowClient
) -> list[Drawing]:
    best = sweep.best
    if best is None:
        return []
    history = read_history(client, sweep.scored["run_id"], [sweep.metric])
    own = read_history(client, [best["run_id"]], search_figures.CURVES)
    with mpl.rc_context(STYLE):
        drawings = [
            search_figures.draw_progress(sweep),
            setting_figures.draw_importance(importance),
            setting_figures.draw_slices(sweep),
            setting_figures.draw_parallel(sweep),
            search_figures.draw_front(sweep),
            search_figures.draw_rungs(sweep, history),
            search_figures.draw_learning_curves(best, own, sweep.steps),
        ]
    return [drawing for drawing in drawings if drawing is not None]


def _training_command(sweep: TrackedSweep) -> str:
    """Build the command that trains the best configuration again; empty without one."""
    best = sweep.best
    if best is None:
        return ""
    given = dict(sweep.run.data.params) | {name: str(best[name]) for name in sweep.space}
    own = {name: text for name, text in given.items() if name.partition(".")[0] in _SETTINGS}
    try:
        return build_command(parse_config(own))
    except UserError:
        # An old sweep may have settings that no longer exist.
        commit = sweep.run.data.tags["git_commit"]
        return f"# settings of another version of weakdis: check out commit {commit}"


def _write_confirmed(sweep: TrackedSweep) -> str:
    """Write the table of confirmed configurations; empty for one, which the verdict describes."""
    found = compare_confirmed(sweep)
    if len(found) < 2 or sweep.lacking["confirm runs"]:
        return ""
    rows = [
        {
            "Configuration": each.config_hash,
            "Labels": f"{each.labels}",
            "Seeds": f"{each.pixels.n}",
            "Pixels, test": format_mean(each.pixels),
            "Behind the first": format_mean(each.behind),
        }
        for each in found
    ]
    note = (
        "Configurations trained again on fresh seeds, the best on validation first; ± is half the "
        "width of the 95% t-interval over seeds. Differences are paired on the same seeds."
    )
    table = pd.DataFrame(rows)
    return Markup(write_table(table, table, [note], "html", ""))


def _find_pictures(sweep: TrackedSweep, client: MlflowClient) -> Sequence[PageImage]:
    """Return the pictures of the best configuration, from a confirm run if one has any."""
    best = sweep.best
    if best is None:
        return []
    for runs in (sweep.confirmed, sweep.trials):
        if runs.empty or sweep.metric not in runs:
            continue
        runs = runs[runs["config_hash"].eq(best["config_hash"])]
        # Chosen on validation, because the pictures show test images.
        for run in runs.sort_values(sweep.metric, ascending=False)["run_id"].head(3):
            if found := _fetch_pictures(client, run):
                return found
    return []


def _find_test_metric(sweep: TrackedSweep, metric: str) -> float | None:
    """Return a test metric of the data, which is the same for all runs that have it."""
    runs = pd.concat([sweep.confirmed, sweep.trials])
    found = runs.get(f"test/{metric}", pd.Series(dtype=float)).dropna()
    return float(found.iloc[0]) if len(found) else None


def _fetch_pictures(client: MlflowClient, run_id: str) -> list[PageImage]:
    """Fetch the pictures of a run, in the order of `CAPTIONS`."""
    with tempfile.TemporaryDirectory() as folder:
        names = [each.path for each in client.list_artifacts(run_id, FOLDER)]
        pngs = [name for name in names if name.endswith(".png")]
        files = [Path(client.download_artifacts(run_id, name, folder)) for name in pngs]
        places = {name: place for place, name in enumerate(CAPTIONS)}
        files.sort(key=lambda file: (places.get(file.stem, len(places)), file.stem))
        return list(embed_pictures(files))


def embed_pictures(files: Iterable[Path], budget: int = 3_000_000) -> Iterable[PageImage]:
    """Embed picture files; damaged ones, and those beyond the budget, have no content.

    Args:
        files: PNG files.
        budget: Bytes of all pictures together.
    """
    for file in files:
        caption = CAPTIONS.get(file.stem, "")
        try:
            with Image.open(file, formats=("PNG",)) as image:
                # Few colours are smaller as PNG, noise is smaller as WebP.
                webp = io.BytesIO()
                image.convert("RGB").save(webp, "WEBP", quality=82, method=4)
                content = min(webp.getvalue(), file.read_bytes(), key=len)
                width, height = image.size
        except Exception:
            # Pillow raises errors of any type for a damaged file.
            yield PageImage(file.stem, caption, "", 0, 0)
            continue
        kind = "png" if content.startswith(b"\x89PNG") else "webp"
        text = base64.b64encode(content).decode()
        data = f"data:image/{kind};base64,{text}" if len(text) <= budget else ""
        budget -= len(data)
        yield PageImage(file.stem, caption, data, width, height)
