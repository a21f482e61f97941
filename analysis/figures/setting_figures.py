"""What each searched setting did to the score, drawn: frames in, figures out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import PercentFormatter
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from analysis.data.setting_importance import FEWEST
from analysis.data.tracked_sweep import TrackedSweep
from analysis.figures.drawing import BLUE, GREY, ORANGE, Drawing, add_legend, make_axes, mark_trial
from analysis.figures.search_figures import draw_points, label_score
from analysis.tables.rendering import setting_name


def draw_importance(table: pd.DataFrame) -> Drawing | None:
    """Draw the frame of `importances` with its intervals; None if it is empty."""
    if table.empty:
        return None
    rows = table.iloc[::-1]
    figure, axes = make_axes(height=0.9 + 0.35 * len(rows))
    widths = [rows["importance"] - rows["low"], rows["high"] - rows["importance"]]
    axes.barh([setting_name(name) for name in rows["setting"]], rows["importance"], color=BLUE,
              height=0.55, alpha=0.85)  # fmt: skip
    axes.errorbar(rows["importance"], range(len(rows)), xerr=np.abs(widths), fmt="none",
                  ecolor=ORANGE, capsize=3, lw=1.4)  # fmt: skip
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("share of the score's variance that it explains")
    axes.grid(visible=False, axis="y")
    first = rows.iloc[-1]
    return Drawing(
        "importance",
        "Importance of each setting",
        f"Of what made scores differ, {setting_name(first['setting'])} explains "
        f"{first['importance']:.0%} (fANOVA); whiskers hold 95% of repetitions on trials drawn "
        f"with replacement. {int(first['trials'])} trials; below {FEWEST} nothing is drawn.",
        figure,
    )


def draw_slices(sweep: TrackedSweep) -> Drawing | None:
    """The score against each searched setting; None where it is not known what was searched."""
    space = sweep.space
    if not space:
        return None
    figure, axes = make_axes(len(space), height=2.6, sharey=True, squeeze=False)
    for each, (name, values) in zip(axes[0], space.items(), strict=True):
        draw_points(each, sweep.scored, _places(sweep.scored[name], values), sweep.metric)
        _scale(each, values)
        each.set_xlabel(setting_name(name))
    label_score(axes[0][0], sweep.metric)
    add_legend(figure, axes[0][0])
    return Drawing(
        "slices",
        "Score against each setting",
        "Every trial once in each panel. A trial that was stopped early shows the score it had "
        "then, which is lower than what it would have reached.",
        figure,
    )


def draw_parallel(sweep: TrackedSweep) -> Drawing | None:
    """Each trial as a line through its settings to its score; None where they are not known."""
    space = sweep.space
    if len(space) < 2:
        return None
    figure, axes = make_axes(height=3.2)
    trials = sweep.scored.sort_values(sweep.metric)
    heights = np.column_stack(
        [_fractions(trials[name], values) for name, values in space.items()]
        + [trials[sweep.metric].to_numpy(dtype=float)]
    )
    for line, (_, trial) in zip(heights, trials.iterrows(), strict=True):
        whole = trial["outcome"] == "complete"
        (drawn,) = axes.plot(line, "-" if whole else ":", color=BLUE if whole else GREY,
                             lw=0.5 + 2.5 * float(line[-1]), alpha=0.8)  # fmt: skip
        mark_trial(drawn, trial, sweep.metric)
    names = [*map(setting_name, space), "score"]
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks([])
    axes.set_xlim(-0.35, len(names) - 0.8)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    scales = [*map(_scale_of, space.values()), {"0": 0.0, "1": 1.0}]
    for place, scale in enumerate(scales):
        axes.plot([place, place], [0, 1], color=GREY, lw=0.8, alpha=0.6)
        for text, height in scale.items():
            axes.text(place - 0.04, height, text, ha="right", va="center", fontsize=7)
    axes.spines[:].set_visible(False)
    return Drawing(
        "parallel",
        "Trials as lines through their settings",
        "Read from the right: follow the lines that end high back to the values they came from. "
        "The thicker the line the better the score; dotted ones did not run to their end.",
        figure,
    )


def _places(column: pd.Series[Any], values: BaseDistribution) -> pd.Series[Any]:
    """Where a value stands on its axis: choices side by side, numbers where they are."""
    if isinstance(values, CategoricalDistribution):
        return column.map(lambda value: values.choices.index(value))
    return column


def _scale(axes: Any, values: BaseDistribution) -> None:
    if isinstance(values, CategoricalDistribution):
        axes.set_xticks(range(len(values.choices)), [str(choice) for choice in values.choices])
        axes.set_xlim(-0.5, len(values.choices) - 0.5)
        return
    assert isinstance(values, FloatDistribution)
    room = 0.04
    if values.log:
        wide = (values.high / values.low) ** room
        axes.set_xscale("log")
        axes.set_xlim(values.low / wide, values.high * wide)
        # As numbers: powers of ten are few within the ranges that are searched.
        ticks = _decades(values)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    else:
        wide = (values.high - values.low) * room
        axes.set_xlim(values.low - wide, values.high + wide)


def _decades(values: FloatDistribution) -> list[float]:
    """1 and 3 times the powers of ten within a range."""
    powers = range(math.floor(math.log10(values.low)), math.ceil(math.log10(values.high)) + 1)
    ticks = [times * 10.0**power for power in powers for times in (1, 3)]
    near = 1 + 1e-9
    return [tick for tick in ticks if values.low / near <= tick <= values.high * near]


def _fractions(column: pd.Series[Any], values: BaseDistribution) -> Any:
    """Values as heights between 0 and 1."""
    if isinstance(values, CategoricalDistribution):
        return _places(column, values) / max(1, len(values.choices) - 1)
    assert isinstance(values, FloatDistribution)
    scale = np.log if values.log else np.asarray
    low, high = scale([values.low, values.high])
    return (scale(column.to_numpy(dtype=float)) - low) / (high - low)


def _scale_of(values: BaseDistribution) -> dict[str, float]:
    """What is written beside an axis, and how high: every choice, or the ends of a range."""
    if isinstance(values, CategoricalDistribution):
        last = max(1, len(values.choices) - 1)
        return {str(choice): place / last for place, choice in enumerate(values.choices)}
    assert isinstance(values, FloatDistribution)
    return {f"{values.low:g}": 0.0, f"{values.high:g}": 1.0}
