"""One sweep as MLflow has it: what was searched, its trials, and how they went."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import TrialState, create_trial

from analysis.data.runs import search_runs
from analysis.data.store import restore_command
from weakdis_core.errors import UserError

_SPACE = "space."

HISTORY = ("run_id", "metric", "step", "value")
"""Columns of a history: a row for each report of a metric."""


@dataclass(frozen=True)
class TrackedSweep:
    """A sweep's own run, and those of its trials.

    Attributes:
        run: The parent run.
        trials: Rows of `analysis.data.runs.read_runs`: the trials of the search, in their order.
        confirmed: Likewise the confirm runs.
    """

    run: Run
    trials: pd.DataFrame
    confirmed: pd.DataFrame

    @property
    def name(self) -> str:
        """What it is called."""
        return self.run.data.tags["sweep"]

    @property
    def variant(self) -> str:
        """Its data set variant."""
        return self.run.data.tags["variant"]

    @property
    def source(self) -> str:
        """Where its images come from: official or rendered."""
        return self.run.data.tags["data.source"]

    @property
    def metric(self) -> str:
        """The validation accuracy that it maximises; under pareto the first of two objectives."""
        objective = self.run.data.params.get("objective", "pixels")
        return f"val/relation_accuracy_{'pixels' if objective == 'pareto' else objective}"

    @property
    def steps(self) -> int:
        """Training steps of a full trial."""
        return int(self.run.data.params["training.steps"])

    @property
    def space(self) -> dict[str, BaseDistribution]:
        """What was searched, by dotted name; empty where the run does not say it as JSON."""
        try:
            return {
                name.removeprefix(_SPACE): json_to_distribution(text)
                for name, text in self.run.data.params.items()
                if name.startswith(_SPACE)
            }
        except json.JSONDecodeError:
            return {}

    @property
    def scored(self) -> pd.DataFrame:
        """The trials of the search that have a score."""
        if self.metric not in self.trials:
            return self.trials.iloc[:0]
        return self.trials[self.trials[self.metric].notna()]

    @property
    def complete(self) -> pd.DataFrame:
        """The trials of the search that reached their last step with a score."""
        return self.scored[self.scored["outcome"].eq("complete")]

    @property
    def choice(self) -> pd.Series[float]:
        """Confirmed configurations by hash: their mean score on validation, the best first."""
        own = self.confirmed[self.confirmed["status"].eq("FINISHED")]
        if self.metric not in own:
            return pd.Series(dtype=float)
        means = own.groupby("config_hash")[self.metric].mean()
        return means.sort_values(ascending=False, kind="stable")

    @property
    def lacking(self) -> dict[str, int]:
        """How many of its trials and confirm runs MLflow lacks, most likely deleted."""
        tags, listed = self.run.data.tags, set(self.trials["trial_id"])
        # Earlier versions did not count.
        named = {tags.get("best_trial_id")} - {None} - listed
        confirmed = set(self.confirmed["config_hash"]) - set(self.trials["config_hash"])
        counted = int(tags.get("search.ended", 0)) - len(listed)
        again = int(tags.get("confirm.ended", 0)) - len(self.confirmed)
        return {"trials": max(counted, len(named), len(confirmed)), "confirm runs": max(again, 0)}

    @property
    def deficit(self) -> str:
        """What MLflow lacks of it, and what to do; empty where that is nothing."""
        had = {"trials": len(self.trials), "confirm runs": len(self.confirmed)}
        parts = [f"{n} of {had[what] + n} {what}" for what, n in self.lacking.items() if n]
        if not parts:
            return ""
        return (
            f"MLflow lacks {' and '.join(parts)} of {self.name}, so what follows is of the rest; "
            f"`python sweeps/run.py --resume {self.name}` sends MLflow what it lacks."
        )

    @property
    def best(self) -> pd.Series[Any] | None:
        """The trial whose configuration did best when it was confirmed, else the search's best.

        None without a score, and where MLflow lacks the run of that trial.
        """
        if self.choice.empty or self.lacking["confirm runs"]:
            return self.found
        confirmed = self.scored[self.scored["config_hash"].eq(self.choice.index[0])]
        return None if confirmed.empty else confirmed.iloc[0]

    @property
    def found(self) -> pd.Series[Any] | None:
        """The trial that the search chose or, while it runs, the best so far.

        That is the best complete trial or, without any, the best of those cut short.
        """
        chosen = self.scored["trial_id"].eq(self.run.data.tags.get("best_trial_id", ""))
        if self.run.info.status != "RUNNING" and chosen.any():
            # Among equals it is not always the first.
            return self.scored[chosen].iloc[0]
        if self.lacking["trials"]:
            # The best of those that are left may not be the best of all.
            return None
        among = self.complete if len(self.complete) else self.scored
        if among.empty:
            return None
        return among.iloc[int(among[self.metric].argmax())]


def find_sweep(
    client: MlflowClient, runs: pd.DataFrame, name: str | None = None, variant: str | None = None
) -> TrackedSweep:
    """A sweep by its name or the id of its run, or else the newest.

    Args:
        client: The store.
        runs: All trials in it, the frame of `analysis.data.runs.read_runs`.
        name: Its name, or the id of its run.
        variant: The data set variant that it must be of.

    Raises:
        UserError: There is no such sweep, or there are several of that name.
    """
    parents = [
        run for run in search_runs(client, "tags.kind = 'sweep'") if "sweep" in run.data.tags
    ]
    parents.sort(key=lambda run: run.info.start_time)
    wanted = [run for run in parents if _matches(run, name, variant)]
    if not wanted:
        _check_deleted(client, name, variant)
    if variant is not None:
        known = ", ".join(sorted({run.data.tags["variant"] for run in parents})) or "none"
        parents = [run for run in parents if run.data.tags["variant"] == variant]
        if not parents:
            raise UserError(f"variant: no sweep of {variant!r} in this store; of: {known}")
    if name is not None:
        among = ", ".join(dict.fromkeys(run.data.tags["sweep"] for run in parents)) or "none"
        parents = [run for run in parents if name in (run.data.tags["sweep"], run.info.run_id)]
        if len(parents) > 1:
            ids = ", ".join(f"{run.info.run_id} ({run.data.tags['variant']})" for run in parents)
            raise UserError(f"sweep: {name!r} is the name of several; say which run: {ids}")
        if not parents:
            raise UserError(f"sweep: there is no {name!r}; there are: {among}")
    if not parents:
        raise UserError("sweep: there is none in this store; python sweeps/run.py makes one")
    return _with_trials(parents[-1], runs)


def find_deficits(client: MlflowClient, runs: pd.DataFrame) -> list[str]:
    """What MLflow lacks of each sweep of a store; `runs` are as for `find_sweep`."""
    parents = [
        run for run in search_runs(client, "tags.kind = 'sweep'") if "sweep" in run.data.tags
    ]
    return [deficit for run in parents if (deficit := _with_trials(run, runs).deficit)]


def _matches(run: Run, name: str | None, variant: str | None) -> bool:
    tags = run.data.tags
    return variant in (None, tags["variant"]) and name in (None, tags["sweep"], run.info.run_id)


def _check_deleted(client: MlflowClient, name: str | None, variant: str | None) -> None:
    """Raise a UserError if the sweep asked for was deleted in MLflow."""
    for run in search_runs(client, "tags.kind = 'sweep'", deleted=True):
        if "sweep" in run.data.tags and _matches(run, name, variant):
            experiment = client.get_experiment(run.info.experiment_id)
            command = restore_command(client.tracking_uri, run.info.run_id, experiment)
            sweep = run.data.tags["sweep"]
            raise UserError(f"sweep: {sweep!r} was deleted in MLflow; restore it with {command}")


def _with_trials(run: Run, runs: pd.DataFrame) -> TrackedSweep:
    own = runs[runs["parent_run_id"].eq(run.info.run_id)].copy()
    own = own.reindex(columns=list(dict.fromkeys([*own, "seconds"])))
    own = own.sort_values("trial_id", kind="stable", ignore_index=True)
    stage = own["stage"]
    return TrackedSweep(run, own[stage.eq("search")], own[stage.eq("confirm")])


def read_history(
    client: MlflowClient, run_ids: Iterable[str], metrics: Sequence[str]
) -> pd.DataFrame:
    """Every report of some metrics of some runs, by step: columns `HISTORY`."""
    points = [
        (run, metric, point.step, point.value)
        for run in run_ids
        for metric in metrics
        for point in client.get_metric_history(run, metric)
    ]
    history = pd.DataFrame(points, columns=list(HISTORY))
    return history.sort_values(["run_id", "metric", "step"], ignore_index=True)


def build_study(sweep: TrackedSweep) -> optuna.Study:
    """The sweep's search as an Optuna study in memory, for Optuna's own analyses.

    It is built from MLflow, which other machines can read too, and while the sweep runs. Failed
    trials are left out: their last score is no measure of their settings.
    """
    study, space = create_empty_study(), sweep.space
    for _, row in sweep.scored[sweep.scored["outcome"].ne("failed")].iterrows():
        # As the search drew them: MLflow keeps text, and the frame numbers.
        params = {
            name: values.to_external_repr(values.to_internal_repr(row.get(name)))
            for name, values in space.items()
        }
        state = TrialState.COMPLETE if row["outcome"] == "complete" else TrialState.PRUNED
        value = float(row[sweep.metric])
        study.add_trial(create_trial(state=state, params=params, distributions=space, value=value))
    return study


def create_empty_study() -> optuna.Study:
    """A study in memory, made without a word on the console."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(direction="maximize")
    finally:
        optuna.logging.set_verbosity(level)
