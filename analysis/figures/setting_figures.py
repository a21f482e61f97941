"""Figures of the searched settings and their effect on the score: frames in, figures out."""

from __future__ import annotations

import math
from dataclasses import dataclass
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

# Space beside the searched range of a number, as a share of it.
_MARGIN = 0.04


def draw_importance(table: pd.DataFrame) -> Drawing | None:
    """Draw the frame of `compute_importances` with its intervals; None if it is empty."""
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
    axes.set_xlabel("explained share of the score's variance")
    axes.grid(visible=False, axis="y")
    first = rows.iloc[-1]
    return Drawing(
        "importance",
        "Importance of each setting",
        f"{setting_name(first['setting']).capitalize()} explains {first['importance']:.0%} of the "
        f"variance of scores (fANOVA). Whiskers hold 95% of repetitions on trials drawn with "
        f"replacement. {int(first['trials'])} trials; the figure needs at least {FEWEST}.",
        figure,
    )


def draw_slices(sweep: TrackedSweep) -> Drawing | None:
    """Draw the score against each searched setting; None if the search space is unknown."""
    space = sweep.space
    if not space:
        return None
    figure, axes = make_axes(len(space), height=2.6, sharey=True, squeeze=False)
    for each, (name, values) in zip(axes[0], space.items(), strict=True):
        scale = _Scale.of(values)
        draw_points(each, sweep.scored, scale.place(sweep.scored[name]), sweep.metric)
        scale.apply_to(each)
        each.set_xlabel(setting_name(name))
    label_score(axes[0][0], sweep.metric)
    add_legend(figure, axes[0][0])
    return Drawing(
        "slices",
        "Score against each setting",
        "Each panel shows every trial once. A trial that was stopped early shows its score at that "
        "time, which is lower than a full training would have reached.",
        figure,
    )


def draw_parallel(sweep: TrackedSweep) -> Drawing | None:
    """Draw each trial as a line through its settings; None with fewer than two known settings."""
    scales = {name: _Scale.of(values) for name, values in sweep.space.items()}
    if len(scales) < 2:
        return None
    figure, axes = make_axes(height=3.2)
    trials = sweep.scored.sort_values(sweep.metric)
    heights = np.column_stack(
        [scale.heights(trials[name]) for name, scale in scales.items()]
        + [trials[sweep.metric].to_numpy(dtype=float)]
    )
    for line, (_, trial) in zip(heights, trials.iterrows(), strict=True):
        complete = trial["outcome"] == "complete"
        (drawn,) = axes.plot(line, "-" if complete else ":", color=BLUE if complete else GREY,
                             lw=0.5 + 2.5 * float(line[-1]), alpha=0.8)  # fmt: skip
        mark_trial(drawn, trial, sweep.metric)
    names = [*map(setting_name, scales), "score"]
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks([])
    axes.set_xlim(-0.35, len(names) - 0.8)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    labels = [*(scale.labels() for scale in scales.values()), {"0": 0.0, "1": 1.0}]
    for place, heights_by_label in enumerate(labels):
        axes.plot([place, place], [0, 1], color=GREY, lw=0.8, alpha=0.6)
        for text, height in heights_by_label.items():
            axes.text(place - 0.04, height, text, ha="right", va="center", fontsize=7)
    axes.spines[:].set_visible(False)
    return Drawing(
        "parallel",
        "Trials as lines through their settings",
        "Follow the lines that end high on the right back to their settings. Thicker lines have "
        "higher scores; dotted lines are trials that ended early.",
        figure,
    )


@dataclass(frozen=True)
class _Scale:
    """The axis of a setting: choices at 0, 1, ..., numbers between `low` and `high`."""

    low: float
    high: float
    log: bool = False
    choices: tuple[Any, ...] = ()

    @classmethod
    def of(cls, values: BaseDistribution) -> _Scale:
        if isinstance(values, CategoricalDistribution):
            return cls(0, max(1, len(values.choices) - 1), choices=values.choices)
        assert isinstance(values, FloatDistribution)
        return cls(values.low, values.high, values.log)

    def place(self, column: pd.Series[Any]) -> pd.Series[Any]:
        return column.map(self.choices.index) if self.choices else column

    def heights(self, column: pd.Series[Any]) -> Any:
        """Return each value as a height between 0 and 1."""
        scale = np.log if self.log else np.asarray
        low, high = scale([self.low, self.high])
        return (scale(self.place(column).to_numpy(dtype=float)) - low) / (high - low)

    def labels(self) -> dict[str, float]:
        """Return the height of each label: every choice, or both ends of a range."""
        if self.choices:
            return {str(choice): place / self.high for place, choice in enumerate(self.choices)}
        return {f"{self.low:g}": 0.0, f"{self.high:g}": 1.0}

    def apply_to(self, axes: Any) -> None:
        """Set the limits and ticks of a horizontal axis."""
        if self.choices:
            axes.set_xticks(range(len(self.choices)), [str(choice) for choice in self.choices])
            axes.set_xlim(-0.5, len(self.choices) - 0.5)
        elif self.log:
            margin = (self.high / self.low) ** _MARGIN
            axes.set_xscale("log")
            axes.set_xlim(self.low / margin, self.high * margin)
            # Searched ranges contain few powers of ten, so 3 times those are ticks too.
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            ticks = [times * 10.0**power for power in range(first, last + 1) for times in (1, 3)]
            near = 1 + 1e-9
            ticks = [tick for tick in ticks if self.low / near <= tick <= self.high * near]
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.minorticks_off()
        else:
            margin = (self.high - self.low) * _MARGIN
            axes.set_xlim(self.low - margin, self.high + margin)
