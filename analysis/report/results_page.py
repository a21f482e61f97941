"""`docs/results.md`, the page of all tables of the studies; its text is `results.md.j2`."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.data.declared import DeclaredRows
from analysis.data.runs import select_finished
from analysis.data.selection import SOURCES
from analysis.figures.label_figure import draw_labels
from analysis.report.provenance import describe_training
from analysis.tables import accuracy_table, disentanglement_table, study_tables
from analysis.tables.rendering import render, write_markdown
from weakdis_core import rows
from weakdis_core.config.settings import Source
from weakdis_core.errors import UserError
from weakdis_core.files import write_bytes, write_text
from weakdis_core.paper import Published, load
from weakdis_core.rows import VARIANTS, Row
from weakdis_core.studies import ABLATIONS, STUDIES, StudyName

FILE = "results.md"


def write_results(runs: pd.DataFrame, folder: Path) -> Path:
    """Write `results.md` and its figures into a folder, and return the path of the page.

    Raises:
        UserError: No run of a study is finished, or a file cannot be written.
    """
    found = set(select_finished(runs)["source"])
    sources = [source for source in SOURCES if source in found]
    if not sources:
        raise UserError(
            "results: no run of a study is finished; python sweeps/run.py --study models trains "
            "the first"
        )
    declared, published = DeclaredRows(runs), load()
    for source in sources:
        write_bytes(folder / figure_file(source), draw_labels(declared, source, published))
    text = render(
        f"{FILE}.j2",
        provenance=describe_training(declared, list(_list_rows(sources, STUDIES))),
        rows=rows,
        markdown=write_markdown,
        own=study_tables.build_own(declared),
        sections=[
            _build_section(runs[runs["source"].eq(source)], declared, source, published)
            for source in sources
        ],
    )
    write_text(folder / FILE, text)
    return folder / FILE


def figure_file(source: Source) -> str:
    """Return the file name of the label curve."""
    return "labels.png" if source == "rendered" else f"labels_{source}.png"


def _list_rows(sources: Iterable[Source], studies: Iterable[StudyName]) -> Iterable[Row]:
    for source, study, variant in product(sources, studies, VARIANTS):
        yield from STUDIES[study](variant, source)


def _build_section(
    runs: pd.DataFrame, declared: DeclaredRows, source: Source, published: Published
) -> dict[str, Any]:
    table1 = accuracy_table.build_table1(runs, published)
    ceilings = disentanglement_table.measure_ceilings()
    table2 = disentanglement_table.build_table2(runs, published, ceilings)
    # The first list of seeds has our rows and those of the previous work.
    listed = _list_rows([source], ("models", "baselines"))
    others = _list_rows([source], ("labels", "ablation", "controls"))
    others = [row for row in others if row[0].row != row[0].variant]
    return {
        "source": source,
        "labels": rows.ours(VARIANTS[0], source)[0].config.data.labels,
        "picture": figure_file(source),
        "summary": accuracy_table.format_cells(table1, accuracy_table.SHORT).rename(
            columns={name: f"Ours: {name.lower()}" for name in accuracy_table.SHORT[3:7]}
        ),
        "table1": accuracy_table.format_cells(table1, accuracy_table.WIDE),
        "notes1": accuracy_table.explain_table1(published),
        "every_seed": study_tables.list_seeds(declared, listed),
        "table2": disentanglement_table.format_cells(table2),
        "notes2": disentanglement_table.explain_table2(table2, published),
        "ablations": [
            (
                table,
                study_tables.format_oracle(declared, table.unchanged(source)),
                study_tables.build_ablation(declared, source, table),
            )
            for table in ABLATIONS
        ],
        "few_labels": study_tables.build_few_labels(declared, source),
        "every_size": study_tables.build_labels(declared, source),
        "controls": study_tables.build_controls(declared, source),
        "spread": study_tables.build_spread(declared, source),
        "sharpness": study_tables.build_sharpness(declared, source),
        "every_other_seed": study_tables.list_seeds(declared, others),
    }
