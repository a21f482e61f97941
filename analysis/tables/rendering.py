"""Tables of words -> text: Markdown or HTML to read, LaTeX (booktabs) to print."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import zip_longest
from typing import Any, Literal

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

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
    """Fill in a template of this package; values in an HTML page are escaped."""
    return _TEMPLATES.get_template(template).render(values)


def format_count(value: Any) -> str:
    """A whole number, or a dash where there is none."""
    return NOTHING if pd.isna(value) else f"{value}"


def format_mean(interval: Interval, seeds: int = 0, digits: int = 3, sign: bool = False) -> str:
    """`0.943 ± 0.012`: a mean and half the width of its interval, or a dash without any.

    Args:
        interval: The mean with its interval.
        seeds: Planned seeds: with fewer it is marked as preliminary.
        digits: Decimals.
        sign: Whether to write a plus.
    """
    if math.isnan(interval.value):
        return NOTHING
    width = "" if math.isnan(interval.low) else f" ± {interval.half_width:.{digits}f}"
    mark = f" {PRELIMINARY}" if interval.n < seeds else ""
    return f"{interval.value:{'+' if sign else ''}.{digits}f}{width}{mark}"


def format_duration(seconds: float) -> str:
    """`40 seconds`, `12 minutes` or `3.4 hours`."""
    if seconds < 60:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def setting_name(name: str) -> str:
    """`latent size` of `model.latent_size`."""
    return name.rpartition(".")[2].replace("_", " ")


def format_number(value: float, digits: int = 3) -> str:
    """A single number, or a dash where there is none."""
    return NOTHING if pd.isna(value) else f"{value:.{digits}f}"


def format_score(row: pd.Series[Any], name: str) -> str:
    """Write a mean over seeds, marked as preliminary where the row has fewer than planned."""
    # A ceiling has no seeds at all.
    seeds, planned = row[[f"{name}_seeds", "planned"]].fillna(0)
    return format_mean(Interval(row[name], row[f"{name}_low"], row[f"{name}_high"], seeds), planned)


def write_notes(shown: pd.DataFrame, waiting: Mapping[str, int]) -> list[str]:
    """Write the notes of both of the paper's tables; `waiting` is from `selection.unconfirmed`."""
    notes = []
    if PRELIMINARY in "".join(shown.to_numpy().ravel()):
        notes.append(f"{PRELIMINARY} Preliminary: fewer seeds than planned.")
    if waiting:
        notes.append(
            f"No sweep has confirmed a configuration of {', '.join(waiting)} yet: "
            f"`python sweeps/run.py --variant {next(iter(waiting))} "
            f"--confirm-seeds {FEWEST_SEEDS}` confirms one."
        )
    found = [f"{n} of {variant}" for variant, n in waiting.items() if n]
    if found:
        notes.append(
            f"Search results not shown: {', '.join(found)}. The best of many trials on "
            "validation is no row until it is confirmed on fresh seeds."
        )
    return notes


def write_table(
    shown: pd.DataFrame, notes: Sequence[str], form: Format, label: str, dim: Sequence[bool] = ()
) -> str:
    """Write a table of words with its notes.

    Args:
        shown: The words.
        notes: Sentences below the table; LaTeX has them in its caption.
        form: md, html or latex.
        label: LaTeX's label of the table.
        dim: Rows that HTML dims; none by default.
    """
    if form == "html":
        return _write_html(shown, notes, dim)
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
    """Write a table of words as Markdown."""
    return str(shown.to_markdown(index=False, disable_numparse=True, colalign=_align(shown)))


def _align(shown: pd.DataFrame) -> list[str]:
    """Align the first column and those of words to the left, those of numbers to the right."""
    sides = []
    for place, name in enumerate(shown.columns):
        cells = shown[name][shown[name].ne(NOTHING)]
        words = len(cells) and cells.str[:1].str.isalpha().all()
        sides.append("left" if words or not place else "right")
    return sides


def _write_html(shown: pd.DataFrame, notes: Sequence[str], dim: Sequence[bool]) -> str:
    kinds = ["w" if side == "left" else "n" for side in _align(shown)]

    def row(cells: Iterable[object], tag: str, dimmed: bool = False) -> str:
        inside = "".join(
            f'<{tag} class="{kind}">{escape(str(cell))}</{tag}>'
            for kind, cell in zip(kinds, cells, strict=True)
        )
        return f'<tr class="dim">{inside}</tr>' if dimmed else f"<tr>{inside}</tr>"

    lines = zip_longest(shown.itertuples(index=False), dim)
    body = "\n".join(row(cells, "td", dimmed) for cells, dimmed in lines)
    head = row(shown.columns, "th")
    listed = "\n".join(f"<li>{code_to_html(note)}</li>" for note in notes)
    return (
        f"<table>\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>\n</table>\n"
        f"<ul>\n{listed}\n</ul>\n"
    )


def code_to_html(note: str) -> Markup:
    """A sentence in HTML, its code in backticks as code."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(note)))


def _escape_latex(note: str) -> str:
    # pandas escapes cells, but not captions.
    text = re.sub(r"([%_&#])", r"\\\1", note).replace("--", "-{}-")
    return re.sub(r"`([^`]*)`", r"\\texttt{\1}", text)
