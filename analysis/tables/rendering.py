"""Tables of formatted cells as Markdown, HTML or LaTeX (booktabs), and formats of single cells."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, Literal

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from analysis.statistics import FEWEST_SEEDS, Interval

Format = Literal["md", "csv", "latex", "html"]

PRELIMINARY, ABOVE, NOTHING = "‡", "†", "-"
_LATEX = {ABOVE: r"$^\dagger$", PRELIMINARY: r"$^\ddagger$", "±": r"$\pm$"}
_TEMPLATES = Environment(
    loader=PackageLoader("analysis"),
    autoescape=select_autoescape(["html.j2"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **values: Any) -> str:
    """Fill in a template of this package; HTML templates escape the values."""
    return _TEMPLATES.get_template(template).render(values)


def format_value(value: Any, digits: int | None = None) -> str:
    """Format a value, as a number with `digits` decimals if given; a missing value is a dash."""
    if pd.isna(value):
        return NOTHING
    return f"{value}" if digits is None else f"{value:.{digits}f}"


def format_mean(interval: Interval, seeds: int = 0, digits: int = 3, sign: bool = False) -> str:
    """Format a mean and half the width of its interval as `0.943 ± 0.012`; NaN is a dash.

    Args:
        interval: The mean with its interval.
        seeds: Planned seeds; a mean over fewer is marked as preliminary.
        digits: Decimals.
        sign: Whether to write a plus sign.
    """
    if math.isnan(interval.value):
        return NOTHING
    width = "" if math.isnan(interval.low) else f" ± {interval.half_width:.{digits}f}"
    mark = f" {PRELIMINARY}" if interval.n < seeds else ""
    return f"{interval.value:{'+' if sign else ''}.{digits}f}{width}{mark}"


def format_score(row: pd.Series[Any], name: str) -> str:
    """Format a score of `TableRow.summarize`, with its mark if it is preliminary."""
    # A ceiling has no seeds.
    seeds, planned = row[[f"{name}_seeds", "planned"]].fillna(0)
    return format_mean(Interval(row[name], row[f"{name}_low"], row[f"{name}_high"], seeds), planned)


def format_duration(seconds: float) -> str:
    """Format a duration as `40 seconds`, `12 minutes` or `3.4 hours`."""
    if seconds < 60:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def format_setting(value: Any) -> str:
    """Format the value of a searched setting."""
    if not isinstance(value, float):
        return format_value(value)
    return format_value(value, 0) if value.is_integer() else f"{value:.3g}"


def format_labels(labels: float, draw: str) -> str:
    """Format a labelled subset, such as `100 random` or `1000 by combination`.

    0 is all labels of own pictures, which are not drawn.
    """
    if not labels:
        return "all"
    return f"{labels:.0f} {'by ' if draw == 'combination' else ''}{draw}"


def format_subset(row: pd.Series[Any]) -> str:
    """Format the labelled subset of a row of `TableRow.summarize`; without one it is a dash."""
    labels = row["labels"]
    return NOTHING if pd.isna(labels) else format_labels(labels, row["label_draw"])


def setting_name(name: str) -> str:
    """Return the short name of a setting: `latent size` for `model.latent_size`."""
    return name.rpartition(".")[2].replace("_", " ")


def write_notes(shown: pd.DataFrame, waiting: Mapping[str, int]) -> list[str]:
    """Write the notes of both of the paper's tables, from their cells and `count_unconfirmed`."""
    notes = []
    if PRELIMINARY in "".join(shown.to_numpy().ravel()):
        notes.append(f"{PRELIMINARY} Preliminary: fewer seeds than planned.")
    if waiting:
        notes.append(
            f"No sweep has confirmed a configuration of {', '.join(waiting)} yet. Confirm one with "
            f"`python sweeps/run.py --variant {next(iter(waiting))} "
            f"--confirm-seeds {FEWEST_SEEDS}`."
        )
    found = [f"{n} of {variant}" for variant, n in waiting.items() if n]
    if found:
        notes.append(
            f"Search results not shown: {', '.join(found)}. The best of many trials on validation "
            "gets a row only when it is confirmed on fresh seeds."
        )
    return notes


def write_table(
    table: pd.DataFrame,
    shown: pd.DataFrame,
    notes: Sequence[str],
    form: Format,
    label: str,
    dim: Sequence[bool] = (),
) -> str:
    """Write a table with its notes.

    Args:
        table: Every number, for csv.
        shown: The formatted cells, for the other formats.
        notes: Sentences below the table; in LaTeX they are the caption.
        form: md, html, latex, or csv, which has no notes.
        label: Label of the table in LaTeX.
        dim: Whether HTML dims each row; by default none.
    """
    if form == "csv":
        return table.to_csv(index=False)
    if form == "html":
        return render(
            "table.html.j2",
            heads=shown.columns,
            kinds=["w" if side == "left" else "n" for side in _align(shown)],
            rows=zip_longest(dim, shown.itertuples(index=False)),
            notes=[code_to_html(note) for note in notes],
        )
    if form == "md":
        return f"{write_markdown(shown)}\n\n" + "\n".join(f"- {note}" for note in notes) + "\n"
    text = shown.to_latex(
        index=False,
        escape=True,
        column_format="".join(side[0] for side in _align(shown)),
        caption=_escape_latex(" ".join(notes)),
        label=label,
        position="t",
    )
    for symbol, command in _LATEX.items():
        text = text.replace(symbol, command)
    return text


def write_markdown(shown: pd.DataFrame) -> str:
    """Write formatted cells as Markdown."""
    return str(shown.to_markdown(index=False, disable_numparse=True, colalign=_align(shown)))


def code_to_html(note: str) -> Markup:
    """Convert a sentence with code in backticks to HTML."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(note))))


def _align(shown: pd.DataFrame) -> list[str]:
    """Align numbers to the right, the first column and text to the left."""
    sides = []
    for place, name in enumerate(shown.columns):
        cells = shown[name][shown[name].ne(NOTHING)]
        words = len(cells) and cells.str[:1].str.isalpha().all()
        sides.append("left" if words or not place else "right")
    return sides


def _escape_latex(note: str) -> str:
    # pandas escapes cells, but not captions.
    text = re.sub(r"([%_&#])", r"\\\1", note).replace("--", "-{}-")
    return re.sub(r"`([^`]*)`", r"\\texttt{\1}", text)
