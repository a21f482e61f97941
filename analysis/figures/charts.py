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
_RECONSTRUCTION = "train/reconstruction"
_ACCURACIES = {
    "val/relation_accuracy_latent": ("latent", GREEN),
    "val/relation_accuracy_encoded": ("encoded", ORANGE),
    "val/relation_accuracy_pixels": ("pixels", BLUE),
    "val/factor_accuracy": ("factors", PINK),
}
_TEXT = {"labelColor": INK, "titleColor": INK, "labelFontSize": 12, "titleFontSize": 12}
_LINES = {"domainColor": GREY, "tickColor": GREY, "gridColor": GREY, "gridOpacity": 0.25}
_CONFIG: dict[str, Any] = {
    "background": None,
    "font": "DejaVu Sans",
    "axis": {**_TEXT, **_LINES, "titleFontWeight": "normal"},
    "header": _TEXT,
    "legend": {**_TEXT, "orient": "top", "title": None},
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
    own = read_history(client, [best["run_id"]], [_RECONSTRUCTION, *_ACCURACIES])
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


def draw_comparison(sweeps: Sequence[TrackedSweep]) -> dict[str, Any]:
    """Draw the lowest error so far of several sweeps over time."""
    curves = [_best_so_far(_collect_trials(each)).assign(sweep=each.name) for each in sweeps]
    color = alt.Color("sweep:N", scale=alt.Scale(range=[BLUE, ORANGE, GREEN, PINK]))
    tooltip = ["sweep:N", "trial:Q", alt.Tooltip("error:Q", format=".2%")]
    chart = alt.Chart(pd.concat(curves)).mark_line(interpolate="step-after", point=True)
    return styled(chart.encode(_minutes(), _error(), color, tooltip=tooltip))


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
    images = float(sweep.run.data.params.get("training.evaluation_samples", 1000))
    return (1 - accuracy).clip(lower=0.5 / images)


def _error() -> alt.Y:
    scale = alt.Scale(type="log", nice=False, padding=10)
    return alt.Y("error:Q", title="validation error", scale=scale, axis=alt.Axis(format="~%"))


def _minutes() -> alt.X:
    return alt.X("minutes:Q", title="minutes since the sweep began", scale=alt.Scale(zero=True))


def _steps(sweep: TrackedSweep) -> alt.X:
    return alt.X("step:Q", title="training step", scale=alt.Scale(domain=[0, sweep.steps]))


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
    return complete[complete["error"] <= complete["error"].cummin()]


def _draw_progress(trials: pd.DataFrame) -> Chart:
    best = alt.Chart(_best_so_far(trials)).mark_line(interpolate="step-after", color=BLUE)
    points = _draw_points(trials, _minutes())
    return alt.layer(best.encode(_minutes(), _error()), points)


def _draw_front(trials: pd.DataFrame) -> Chart:
    """Draw the error against the labels, with the front that no trial with as few labels beats."""
    complete = trials[trials["outcome"].eq("complete")].sort_values(["labels", "error"])
    front = complete[complete["error"] < complete["error"].cummin().shift(fill_value=2.0)]
    scale = alt.Scale(type="log", nice=False, padding=20)
    axis = alt.Axis(values=sorted(trials["labels"].unique()), format="d")
    labels = alt.X("labels:Q", scale=scale, axis=axis)
    line = alt.Chart(front).mark_line(color=BLUE, point={"size": 150, "color": BLUE})
    return alt.layer(line.encode(labels, _error()), _draw_points(trials, labels))


def _draw_rungs(trials: pd.DataFrame, reports: pd.DataFrame, sweep: TrackedSweep) -> Chart:
    curves = reports.merge(trials.drop(columns="error"), on="run_id")
    lines = _draw_lines(trials, curves.assign(error=_to_error(curves["value"], sweep)))
    return lines.encode(_steps(sweep), _error())


def _draw_learning_curves(
    best: pd.Series[Any], reports: pd.DataFrame, sweep: TrackedSweep
) -> Chart:
    loss = alt.Chart(reports[reports["metric"].eq(_RECONSTRUCTION)]).encode(
        alt.Y("value:Q", title="reconstruction, nats an image", scale=alt.Scale(zero=False)),
        color=alt.value(BLUE),
        tooltip=["step:Q", alt.Tooltip("value:Q", format=".4~g")],
    )
    scores = reports[reports["metric"].isin(_ACCURACIES)]
    names, colors = zip(*_ACCURACIES.values(), strict=True)
    kinds = [_ACCURACIES[metric][0] for metric in scores["metric"]]
    errors = alt.Chart(scores.assign(kind=kinds, error=_to_error(scores["value"], sweep))).encode(
        _error(),
        alt.Color("kind:N", scale=alt.Scale(domain=names, range=colors)),
        tooltip=["step:Q", "kind:N", alt.Tooltip("error:Q", format=".2%")],
    )
    steps, shares = sweep.steps, best[["training.warmup", "training.ending"]].astype(float)
    stages = [
        ("warmup", 0, steps * shares.iloc[0]),
        ("ending", steps * (1 - shares.iloc[1]), steps),
    ]
    base = alt.Chart(pd.DataFrame(stages, columns=["stage", "start", "end"]))
    base = base.transform_filter("datum.end > datum.start").encode(alt.X("start:Q"))
    shade = base.mark_rect(color=GREY, opacity=0.2).encode(x2="end:Q")
    text = base.mark_text(align="left", baseline="bottom").encode(y=alt.value(-3), text="stage:N")
    panels = [
        alt.layer(shade, text, each.mark_line(point=True).encode(_steps(sweep)))
        for each in (loss, errors)
    ]
    return alt.hconcat(*(panel.properties(width=230, height=260) for panel in panels))


def _draw_importance(table: pd.DataFrame) -> Chart:
    base = alt.Chart(table.assign(setting=table["setting"].map(setting_name))).encode(
        alt.Y("setting:N", sort=None, title=None),
        tooltip=[alt.Tooltip(f"{name}:Q", format=".0%") for name in ("importance", "low", "high")],
    )
    share = alt.X("importance:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%"))
    bars = base.mark_bar(color=BLUE, opacity=0.85, height={"band": 0.6})
    whiskers = base.mark_rule(color=ORANGE, strokeWidth=2).encode(x="low:Q", x2="high:Q")
    bars = bars.encode(share.title("explained share of the score's variance"))
    return alt.layer(bars, whiskers)


def _draw_slices(trials: pd.DataFrame, sweep: TrackedSweep) -> Chart:
    panels = []
    for name, values in sweep.space.items():
        x = alt.X(setting_name(name), type="ordinal", axis=alt.Axis(labelAngle=0))
        if isinstance(values, FloatDistribution):
            scale = alt.Scale(type="log" if values.log else "linear", nice=False, padding=10)
            x = alt.X(setting_name(name), scale=scale, axis=alt.Axis(tickCount=5))
        panels.append(_draw_points(trials, x).properties(width=220, height=130))
    return alt.concat(*panels, columns=2)


def _draw_parallel(trials: pd.DataFrame, sweep: TrackedSweep) -> Chart:
    """Draw each trial as a line through its settings; the one under the pointer is orange."""
    low, high = trials["error"].min(), trials["error"].max()
    axes = {setting_name(name): values for name, values in sweep.space.items()}
    axes["error"] = FloatDistribution(low, max(high, 1.01 * low), log=True)
    lines, ticks = [], []
    for name, values in axes.items():
        height, places = _place(values)
        lines.append(trials.assign(axis=name, height=height(trials[name])))
        text = places.map("{:.2%}".format if name == "error" else format_setting)
        ticks.append(pd.DataFrame({"axis": name, "height": height(places), "text": text}))
    heads = alt.Axis(orient="top", labelAngle=0, labelPadding=14, labelFontWeight="bold",
                     domain=False, ticks=False, grid=True)  # fmt: skip
    x = alt.X("axis:N", sort=list(axes), title=None, axis=heads)
    y = alt.Y("height:Q", axis=None, scale=alt.Scale(domain=[0, 1]))
    pointed = alt.selection_point(
        fields=["trial"], on="pointerover", clear="pointerout", nearest=True, empty=False
    )
    drawn, labels = _draw_lines(trials, pd.concat(lines)), alt.Chart(pd.concat(ticks))
    orange = {"color": alt.value(ORANGE), "strokeWidth": alt.value(4)}
    # A halo separates the text from the lines.
    halo: dict[str, Any] = {"stroke": GROUND, "strokeWidth": 5, "strokeJoin": "round"}
    layers = [
        drawn.encode(x, y),
        drawn.encode(x, y, **orange).transform_filter(pointed),
        drawn.mark_point(size=25, filled=True).encode(x, y).add_params(pointed),
        labels.mark_text(align="right", dx=-7, **halo).encode(x, y, text="text:N"),
        labels.mark_text(align="right", dx=-7).encode(x, y, text="text:N"),
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
