"""The report of a sweep: one page that opens without a network.

It contains what MLflow has, so any machine can build it, even while the sweep runs.
"""

from __future__ import annotations

import base64
import datetime
import io
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import vl_convert
from markupsafe import Markup
from mlflow import MlflowClient
from PIL import Image

from analysis.data.archive import RESULTS, Archive, merge_runs
from analysis.data.runs import read_runs
from analysis.data.setting_importance import compute_importances
from analysis.data.store import open_store
from analysis.data.tracked_sweep import TrackedSweep, build_study, find_sweep
from analysis.figures.charts import draw_charts, draw_comparison
from analysis.report.provenance import build_command, describe_sweep, parse_config
from analysis.report.score_card import (
    build_score_card,
    build_scores,
    compare_confirmed,
    compare_sweeps,
    measure_winner,
)
from analysis.report.verdict import confirm_command, write_verdict
from analysis.tables.accuracy_table import write_table1
from analysis.tables.disentanglement_table import measure_ceilings, write_table2
from analysis.tables.leaderboard import build_leaderboard, explain_leaderboard, write_leaderboard
from analysis.tables.rendering import code_to_html, render, write_table
from weakdis_core import paper
from weakdis_core.errors import UserError
from weakdis_core.files import write_bytes, write_text
from weakdis_core.paper import Published
from weakdis_core.pictures.write import CAPTIONS, FOLDER

# Params of a sweep's run that are settings of its trials.
_SETTINGS = ("seed", "data", "model", "loss", "training", "runtime")

_bundle = cache(vl_convert.javascript_bundle)


class PageImage(NamedTuple):
    """A picture of a run for a page: its data URL is empty if it is left out, 0 wide if damaged."""

    name: str
    caption: str
    data: str
    width: int
    height: int


@dataclass(frozen=True)
class SweepPage:
    """The report of a sweep.

    Attributes:
        sweep: The sweep.
        html: The page.
        charts: Its charts as Vega-Lite, by name.
    """

    sweep: TrackedSweep
    html: str
    charts: dict[str, dict[str, Any]]

    def write(self, path: Path, charts: Path | None = None) -> None:
        """Write the page, and the charts as PDF into a folder if one is given.

        Raises:
            UserError: A file cannot be written.
        """
        write_text(path, self.html)
        if charts is not None:
            for name, chart in self.charts.items():
                write_bytes(charts / f"{name}.pdf", vl_convert.vegalite_to_pdf(chart))


def build_page(
    tracking_uri: str,
    name: str | None = None,
    variant: str | None = None,
    results: Path = RESULTS,
    others: Sequence[str] = (),
) -> SweepPage:
    """Build the report of a sweep.

    Args:
        tracking_uri: The store.
        name: Name or run id of the sweep; the newest by default.
        variant: Data set variant of the sweep.
        results: Folder of the committed runs, for the paper's tables.
        others: Names or run ids of sweeps of the same variant, to compare it with.

    Raises:
        UserError: The store or the folder cannot be read, there is no such sweep, or another sweep
            has another variant.
    """
    client, runs = open_store(tracking_uri), read_runs(tracking_uri)
    sweep, quoted = find_sweep(client, runs, name, variant), paper.load()
    compared = [sweep, *(find_sweep(client, runs, each, sweep.variant) for each in others)]
    best, confirmed = sweep.best, compare_confirmed(sweep)
    importance, board = compute_importances(build_study(sweep)), build_leaderboard(sweep)
    # As the console numbers them.
    board["trial"] = [str(int(number)) for number in board["trial"]]
    charts = draw_charts(sweep, importance, client)
    if len(scored := [each for each in compared if each.best is not None]) > 1:
        charts["comparison"] = draw_comparison(scored, client)
    html = render(
        "report.html.j2",
        sweep=sweep,
        made=datetime.datetime.now(datetime.UTC),
        verdict=[code_to_html(text) for text in write_verdict(sweep, importance)],
        card=build_score_card(sweep),
        confirm=confirm_command(sweep),
        train=_training_command(sweep),
        scores="" if best is None else _to_html(build_scores(sweep, best, quoted)),
        confirmed=_to_html(confirmed) if len(confirmed) > 1 else "",
        compared=_to_html(compare_sweeps(compared)) if others else "",
        tables=list(_write_tables(sweep, merge_runs(runs, Archive(results).frame()), quoted)),
        trials=Markup(write_leaderboard(board, "html", explain_leaderboard(sweep))),
        charts=charts,
        bundle=Markup(_bundle("window.vegaEmbed = vegaEmbed")) if charts else "",
        pictures=_find_pictures(sweep, client),
        provenance=describe_sweep(sweep),
        oracle=measure_winner(sweep, "oracle_accuracy").value,
        ceiling=measure_winner(sweep, "identifiability_ceiling").value,
    )
    return SweepPage(sweep, html, charts)


def _write_tables(
    sweep: TrackedSweep, runs: pd.DataFrame, quoted: Published
) -> Iterator[tuple[str, str, str]]:
    """Write each of the paper's tables with the rows of a sweep's variant, and with all rows."""
    ceilings, of_variant = measure_ceilings(), runs[runs["variant"].eq(sweep.variant)]
    quotes = tuple(row for row in quoted.table1 if row.variant == sweep.variant)
    own = write_table1(of_variant, quoted.model_copy(update={"table1": quotes}), "html")
    yield "Table 1: relation accuracy", Markup(own), Markup(write_table1(runs, quoted, "html"))
    ceiling = {name: each for name, each in ceilings.items() if name == sweep.variant}
    own = write_table2(of_variant, quoted, "html", ceiling) if ceiling else ""
    every = write_table2(runs, quoted, "html", ceilings)
    yield "Table 2: disentanglement", Markup(own), Markup(every)


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


def _to_html(table: pd.DataFrame) -> str:
    return Markup(write_table(table, table, [], "html", ""))


def _find_pictures(sweep: TrackedSweep, client: MlflowClient) -> Sequence[PageImage]:
    """Return the pictures of the best configuration, from a confirm run if one has any."""
    best, fresh = sweep.best, sweep.fresh
    if best is None:
        return []
    # Chosen on validation, because the pictures show test images.
    first = fresh.sort_values(sweep.metric, ascending=False)["run_id"].head(3)
    found = (_fetch_pictures(client, run) for run in [*first, best["run_id"]])
    return next(filter(None, found), [])


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
        content, width, height = b"", 0, 0
        # Pillow raises errors of any type for a damaged file.
        with suppress(Exception), Image.open(file, formats=("PNG",)) as image:
            # Few colours are smaller as PNG, noise is smaller as WebP.
            webp = io.BytesIO()
            image.convert("RGB").save(webp, "WEBP", quality=82, method=4)
            content = min(webp.getvalue(), file.read_bytes(), key=len)
            width, height = image.size
        kind = "png" if content.startswith(b"\x89PNG") else "webp"
        text = base64.b64encode(content).decode()
        data = f"data:image/{kind};base64,{text}" if content and len(text) <= budget else ""
        budget -= len(data)
        yield PageImage(file.stem, CAPTIONS.get(file.stem, ""), data, width, height)
