"""Charts of a sweep as Vega-Lite: frames in, specifications out.

The colours are Okabe and Ito's, which colour-blind readers can distinguish. A page replaces `INK`,
`GROUND` and `BLUE` by its own colours, so charts fit light and dark pages (`report.css`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from analysis.data.runs import count_validation
from analysis.data.tracked_sweep import TrackedSweep, read_history
from analysis.tables.rendering import format_setting, setting_name

INK, GROUND, GREY = "#1b1c1d", "#fffffe", "#8c8c8c"
BLUE, ORANGE, GREEN, PINK = "#0072b2", "#d55e00", "#009e73", "#cc79a7"

# Label, colour and shape of each outcome of a trial.
_OUTCOMES = {
    "complete": ("complete", BLUE, "circle"),
    "pruned": ("stopped early", GREY, "cross"),
    "running": ("running", GREEN, "triangle-up"),
    "out_of_time": ("out of time", ORANGE, "square"),
    "interrupted": ("interrupted", ORANGE, "diamond"),
    "failed": ("failed", PINK, "triangle-down"),
}
_ACCURACIES = {
    "val/relation_accuracy_pixels": "pixels",
    "val/relation_accuracy_encoded": "encoded",
    "val/relation_accuracy_latent": "latent",
    "val/factor_accuracy": "factors",
}
_TEXT = {"labelColor": INK, "titleColor": INK, "labelFontSize": 12, "titleFontSize": 12}
_LINES = {"domainColor": GREY, "tickColor": GREY, "gridColor": GREY, "gridOpacity": 0.25}
_CONFIG: dict[str, Any] = {
    "background": None,
    "font": "DejaVu Sans",
    "axis": {**_TEXT, **_LINES, "titleFontWeight": "normal"},
    "header": _TEXT,
    "range": {"category": [BLUE, ORANGE, GREEN, PINK]},
    "legend": {**_TEXT, "orient": "top", "title": None, "labelLimit": 0},
    "text": {"color": INK, "fontSize": 12},
    "view": {"stroke": None, "continuousWidth": 520, "discreteWidth": 520,
             "continuousHeight": 260, "discreteHeight": 260},
}  # fmt: skip
Chart = alt.TopLevelMixin


def draw_charts(
    sweep: TrackedSweep, importance: pd.DataFrame, client: MlflowClient
) -> dict[str, dict[str, Any]]:
    """Draw the charts of a sweep: specifications by name, none for a sweep without a winner.

    `importance` is the frame of `analysis.data.setting_importance.compute_importances`.
    """
    best = sweep.best
    if best is None:
        return {}
    trials = _collect_trials(sweep)
    reports = read_history(client, trials["run_id"], [sweep.metric])
    own = read_history(client, [best["run_id"]], list(_ACCURACIES))
    charts = {
        "progress": _draw_progress(trials),
        "importance": _draw_importance(importance) if len(importance) else None,
        "parallel": _draw_parallel(trials, sweep) if len(sweep.space) > 1 else None,
        "slices": _draw_slices(trials, sweep) if sweep.space else None,
        "labels": _draw_front(trials) if "data.labels" in sweep.space else None,
        "rungs": _draw_rungs(trials, reports, sweep),
        "curves": _draw_learning_curves(best, own, sweep),
    }
    return {name: styled(chart) for name, chart in charts.items() if chart is not None}


def draw_comparison(sweeps: Sequence[TrackedSweep], client: MlflowClient) -> dict[str, Any]:
    """Draw the lowest error so far of several sweeps over time, and the curves of their winners."""
    found, curves = [], []
    for sweep in sweeps:
        trials = _collect_trials(sweep)
        reports = read_history(client, trials.loc[trials["best"], "run_id"], [sweep.metric])
        curves.append(reports.assign(sweep=sweep.name, error=_to_error(reports["value"], sweep)))
        found.append(_best_so_far(trials).assign(sweep=sweep.name))
    color = alt.Color("sweep:N").legend(columns=1)
    tooltip = ["sweep:N", alt.Tooltip("error:Q", format=".2%")]
    left = alt.Chart(pd.concat(found)).mark_line(interpolate="step-after", point=True)
    right = alt.Chart(pd.concat(curves)).mark_line(point=True)
    step = alt.X("step:Q", title="step of the best trial")
    panels = left.encode(_minutes()), right.encode(step)
    return styled(alt.hconcat(*(each.encode(_error(), color, tooltip=tooltip) for each in panels)))


def styled(chart: Chart) -> dict[str, Any]:
    """Return the specification of a chart in the style of this module."""
    return {**chart.to_dict(), "config": _CONFIG}


def _collect_trials(sweep: TrackedSweep) -> pd.DataFrame:
    """Collect the trials with a score; columns up to `error` belong into tooltips."""
    trials, best = sweep.scored, sweep.best
    start = pd.Timestamp(sweep.run.info.start_time, unit="ms", tz="UTC")
    last = trials["started"] + pd.to_timedelta(trials["seconds"].fillna(0.0), unit="s")
    return pd.DataFrame(
        {
            "trial": trials["trial_id"].astype(int),
            "outcome": [_OUTCOMES[name][0] for name in trials["outcome"]],
            "score": trials[sweep.metric],
            **{setting_name(name): trials[name] for name in sweep.space},
            "error": _to_error(trials[sweep.metric], sweep),
            "minutes": (trials["finished"].fillna(last) - start).dt.total_seconds() / 60,
            "run_id": trials["run_id"],
            "best": trials["run_id"].eq("" if best is None else best["run_id"]),
        }
    )


def _to_error(accuracy: pd.Series[Any], sweep: TrackedSweep) -> pd.Series[Any]:
    # At least half an image, which a log axis can show.
    counts = [count_validation(row) or 0 for _, row in sweep.trials.iterrows()]
    images = max(counts, default=0) or 1000
    return (1 - accuracy).clip(lower=0.5 / images)


def _error() -> alt.Y:
    axis = alt.Y("error:Q", title="validation error").axis(format="~%")
    return axis.scale(type="log", nice=False, padding=10)


def _minutes() -> alt.X:
    return alt.X("minutes:Q", title="minutes since the sweep began").axis(tickCount=6)


def _steps(sweep: TrackedSweep) -> alt.X:
    return alt.X("step:Q", title="training step").scale(domain=[0, sweep.steps])


def _outcomes(trials: pd.DataFrame, place: int) -> alt.Scale:
    """Return the colours (place 1) or shapes (2) of the outcomes that there are."""
    rows = [row for row in _OUTCOMES.values() if row[0] in set(trials["outcome"])]
    return alt.Scale(domain=[row[0] for row in rows], range=[row[place] for row in rows])


def _tooltip(trials: pd.DataFrame) -> list[alt.Tooltip]:
    names = trials.columns[: trials.columns.get_loc("error")]
    form = {kind: ".4~g" if kind == "f" else alt.Undefined for kind in "biufO"}
    return [alt.Tooltip(str(name), format=form[trials[name].dtype.kind]) for name in names]


def _draw_points(trials: pd.DataFrame, x: alt.X) -> alt.Chart:
    return alt.Chart(trials, mark=alt.MarkDef("point", size=60, strokeWidth=2)).encode(
        x,
        _error(),
        alt.Color("outcome:N", scale=_outcomes(trials, 1)),
        alt.Shape("outcome:N", scale=_outcomes(trials, 2)),
        tooltip=_tooltip(trials),
    )


def _draw_lines(trials: pd.DataFrame, lines: pd.DataFrame) -> alt.Chart:
    """Draw a line for each trial, the best one thick."""
    return alt.Chart(lines, mark=alt.MarkDef("line", point={"size": 25})).encode(
        alt.Color("outcome:N", scale=_outcomes(trials, 1)),
        strokeWidth=alt.when("datum.best").then(alt.value(4)).otherwise(alt.value(1.2)),
        detail="trial:N",
        tooltip=_tooltip(trials),
    )


def _best_so_far(trials: pd.DataFrame) -> pd.DataFrame:
    complete = trials[trials["outcome"].eq("complete")].sort_values("minutes")
    return complete.assign(error=complete["error"].cummin())


def _draw_progress(trials: pd.DataFrame) -> Chart:
    best = alt.Chart(_best_so_far(trials)).mark_line(interpolate="step-after", color=BLUE)
    points = _draw_points(trials, _minutes())
    return alt.layer(best.encode(_minutes(), _error()), points)


def _draw_front(trials: pd.DataFrame) -> Chart:
    """Draw the error against the labels, with the front that no trial with as few labels beats."""
    complete = trials[trials["outcome"].eq("complete")].sort_values(["labels", "error"])
    front = complete[complete["error"] < complete["error"].cummin().shift(fill_value=2.0)]
    labels = alt.X("labels:Q").scale(type="log", nice=False, padding=20)
    labels = labels.axis(values=sorted(trials["labels"].unique()), format="d")
    line = alt.Chart(front).mark_line(color=BLUE, point={"size": 150, "color": BLUE})
    return alt.layer(line.encode(labels, _error()), _draw_points(trials, labels))


def _draw_rungs(trials: pd.DataFrame, reports: pd.DataFrame, sweep: TrackedSweep) -> Chart:
    curves = reports.merge(trials.drop(columns="error"), on="run_id")
    lines = _draw_lines(trials, curves.assign(error=_to_error(curves["value"], sweep)))
    return lines.encode(_steps(sweep), _error())


def _draw_learning_curves(
    best: pd.Series[Any], reports: pd.DataFrame, sweep: TrackedSweep
) -> Chart:
    """Draw the errors of the best trial over its training, with the stages shaded."""
    warmup, ending = (sweep.steps * best[f"training.{name}"] for name in ("warmup", "ending"))
    stages = [("warmup", 0, warmup), ("ending", sweep.steps - ending, sweep.steps)]
    base = alt.Chart(pd.DataFrame(stages, columns=["stage", "start", "end"]))
    base = base.transform_filter("datum.end > datum.start").encode(alt.X("start:Q"))
    shade = base.mark_rect(color=GREY, opacity=0.2).encode(x2="end:Q")
    text = base.mark_text(align="left", baseline="bottom").encode(y=alt.value(-3), text="stage:N")
    reports = reports.assign(error=_to_error(reports["value"], sweep))
    reports["accuracy"] = reports["metric"].map(_ACCURACIES)
    color = alt.Color("accuracy:N", sort=list(_ACCURACIES.values()))
    tooltip = ["step:Q", "accuracy:N", alt.Tooltip("error:Q", format=".2%")]
    lines = alt.Chart(reports).mark_line(point=True)
    lines = lines.encode(_steps(sweep), _error(), color, tooltip=tooltip)
    return alt.layer(shade, text, lines)


def _draw_importance(table: pd.DataFrame) -> Chart:
    base = alt.Chart(table.assign(setting=table["setting"].map(setting_name))).encode(
        alt.Y("setting:N", sort=None, title=None),
        tooltip=[alt.Tooltip(f"{name}:Q", format=".0%") for name in ("importance", "low", "high")],
    )
    share = alt.X("importance:Q", title="explained share of the score's variance")
    share = share.scale(domain=[0, 1]).axis(format="%", tickCount=5)
    bars = base.mark_bar(color=BLUE, opacity=0.85, height={"band": 0.6}).encode(share)
    whiskers = base.mark_rule(color=ORANGE, strokeWidth=2).encode(x="low:Q", x2="high:Q")
    return alt.layer(bars, whiskers)


def _draw_slices(trials: pd.DataFrame, sweep: TrackedSweep) -> Chart:
    panels = []
    for name, values in sweep.space.items():
        x = alt.X(setting_name(name), type="ordinal").axis(labelAngle=0)
        if isinstance(values, FloatDistribution):
            x = alt.X(setting_name(name)).axis(tickCount=5)
            x = x.scale(type="log" if values.log else "linear", nice=False, padding=10)
        panels.append(_draw_points(trials, x).properties(width=220, height=130))
    return alt.concat(*panels, columns=2)


def _draw_parallel(trials: pd.DataFrame, sweep: TrackedSweep) -> Chart:
    """Draw each trial as a line through its settings; the one under the pointer is orange."""
    low, high = trials["error"].min(), trials["error"].max()
    axes = {setting_name(name): values for name, values in sweep.space.items()}
    axes["error"] = FloatDistribution(low, max(high, low + 1e-9), log=True)
    lines, ticks = [], []
    for name, values in axes.items():
        height, places = _place(values)
        lines.append(trials.assign(axis=name, height=height(trials[name])))
        text = places.map("{:.2%}".format if name == "error" else format_setting)
        ticks.append(pd.DataFrame({"axis": name, "height": height(places), "text": text}))
    x = alt.X("axis:N", sort=list(axes), title=None)
    x = x.axis(orient="top", labelAngle=0, labelPadding=14, domain=False, ticks=False, grid=True)
    y = alt.Y("height:Q", axis=None).scale(domain=[0, 1])
    pointed = alt.selection_point(
        fields=["trial"], on="pointerover", clear="pointerout", nearest=True, empty=False
    )
    # Vega-Lite shows no text at the nearest point, so no outcome (vega-lite 6.1).
    numbers = [each for each in _tooltip(trials) if each.shorthand != "outcome"]
    drawn = _draw_lines(trials, pd.concat(lines)).encode(x, y)
    named = pd.concat(ticks).drop_duplicates(["axis", "text"])
    labels = alt.Chart(named).encode(x, y, text="text:N")
    # A halo separates the text from the lines.
    layers = [
        drawn,
        drawn.encode(color=alt.value(ORANGE), strokeWidth=alt.value(4)).transform_filter(pointed),
        labels.mark_text(align="right", dx=-7, stroke=GROUND, strokeWidth=5, strokeJoin="round"),
        labels.mark_text(align="right", dx=-7),
        drawn.mark_point(size=25, filled=True).encode(tooltip=numbers).add_params(pointed),
    ]
    return alt.layer(*layers)


def _place(values: BaseDistribution) -> tuple[Callable[[pd.Series[Any]], Any], pd.Series[Any]]:
    """Return a function from a setting's values to heights in [0, 1], and the values of ticks."""
    if isinstance(values, CategoricalDistribution):
        choices, last = values.choices, max(1, len(values.choices) - 1)
        return lambda column: column.map(choices.index) / last, pd.Series(choices)
    assert isinstance(values, FloatDistribution)
    scale, space = (np.log, np.geomspace) if values.log else (np.asarray, np.linspace)
    low, high = scale([values.low, values.high])
    ticks = pd.Series(space(values.low, values.high, 5))
    return lambda column: (scale(column.to_numpy(dtype=float)) - low) / (high - low), ticks
