"""Tables of words -> text: Markdown or HTML to read, LaTeX (booktabs) to print."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Literal

import pandas as pd
from markupsafe import Markup

from analysis.statistics import Interval

Format = Literal["md", "csv", "latex", "html"]

FEWEST_SEEDS = 5
"""A cell of fewer seeds is preliminary."""

PRELIMINARY, ABOVE, NOTHING = "‡", "†", "-"
_LATEX = {
    ABOVE: r"$^\dagger$",
    PRELIMINARY: r"$^\ddagger$",
    "±": r"$\pm$",
}


def count(value: Any) -> str:
    """A whole number, or a dash where there is none."""
    return NOTHING if pd.isna(value) else f"{value}"


def mean(interval: Interval, seeds: int = 0, digits: int = 3, sign: bool = False) -> str:
    """`0.943 ± 0.012`: a mean and half the width of its interval, or a dash without any.

    Args:
        interval: What to write.
        seeds: Seeds that were to be behind it; with fewer it is marked as preliminary.
        digits: Decimals.
        sign: Whether to write a plus.
    """
    if math.isnan(interval.value):
        return NOTHING
    width = "" if math.isnan(interval.low) else f" ± {interval.half_width:.{digits}f}"
    mark = f" {PRELIMINARY}" if interval.n < seeds else ""
    return f"{interval.value:{'+' if sign else ''}.{digits}f}{width}{mark}"


def duration(seconds: float) -> str:
    """`40 seconds`, `12 minutes` or `3.4 hours`."""
    if seconds < 60:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def score(row: pd.Series[Any], name: str) -> str:
    """A table's cell: a mean over seeds, marked where it stands on few of them."""
    value, low, high, seeds = (row[f"{name}{end}"] for end in ("", "_low", "_high", "_seeds"))
    # A ceiling is of no seeds at all.
    n = FEWEST_SEEDS if pd.isna(seeds) else int(seeds)
    return mean(Interval(value, low, high, n), FEWEST_SEEDS)


def notes_on(shown: pd.DataFrame, waiting: Mapping[str, int]) -> list[str]:
    """The notes that every table may need.

    Args:
        shown: The table's words.
        waiting: Variants without a row of ours, with the number of search results not shown.
    """
    notes = []
    if PRELIMINARY in "".join(shown.to_numpy().ravel()):
        notes.append(f"{PRELIMINARY} Preliminary: fewer than {FEWEST_SEEDS} seeds.")
    if waiting:
        notes.append(
            f"No confirm runs of {', '.join(waiting)}: "
            f"`python sweeps/run.py --variant {next(iter(waiting))} "
            f"--confirm-seeds {FEWEST_SEEDS}` makes the first."
        )
    found = [f"{n} of {variant}" for variant, n in waiting.items() if n]
    if found:
        notes.append(
            f"Search results not shown: {', '.join(found)}. The best of many trials on "
            "validation is no row until it is confirmed on fresh seeds."
        )
    return notes


def write(
    shown: pd.DataFrame,
    notes: Sequence[str],
    form: Format,
    label: str,
    words: int,
    dim: Sequence[bool] = (),
) -> str:
    """A table of words with its notes.

    Args:
        shown: The words.
        notes: What stands beneath it, or in the caption.
        form: md, html or latex.
        label: LaTeX's label of the table.
        words: Columns that hold words, which stand to the left, before the numbers.
        dim: For each row whether it matters less, which HTML shows.
    """
    if form == "html":
        return _html(shown, notes, words, dim)
    align = ["left"] * words + ["right"] * (len(shown.columns) - words)
    if form == "md":
        text = shown.to_markdown(index=False, disable_numparse=True, colalign=align)
        return f"{text}\n\n" + "\n".join(f"- {note}" for note in notes) + "\n"
    text = shown.to_latex(
        index=False,
        escape=True,
        column_format="".join(side[0] for side in align),
        caption=_escaped(" ".join(notes)),
        label=label,
        position="t",
    )
    for symbol, command in _LATEX.items():
        text = text.replace(symbol, command)
    return text


def _html(shown: pd.DataFrame, notes: Sequence[str], words: int, dim: Sequence[bool]) -> str:
    kinds = ["w" if place < words else "n" for place in range(len(shown.columns))]
    heads = "".join(
        f'<th class="{kind}">{escape(str(name))}</th>'
        for kind, name in zip(kinds, shown.columns, strict=True)
    )
    rows = []
    for number, cells in enumerate(shown.itertuples(index=False)):
        row = "".join(
            f'<td class="{kind}">{escape(str(cell))}</td>'
            for kind, cell in zip(kinds, cells, strict=True)
        )
        dimmed = ' class="dim"' if number < len(dim) and dim[number] else ""
        rows.append(f"<tr{dimmed}>{row}</tr>")
    body = "\n".join(rows)
    table = f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n"
    said = "\n".join(f"<li>{marked(note)}</li>" for note in notes)
    return f"{table}<ul>\n{said}\n</ul>\n"


def marked(note: str) -> Markup:
    """A sentence in HTML, its code in backticks as code."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(note)))


def _escaped(note: str) -> str:
    # pandas escapes cells, but not captions.
    text = re.sub(r"([%_&#])", r"\\\1", note).replace("--", "-{}-")
    return re.sub(r"`([^`]*)`", r"\\texttt{\1}", text)
