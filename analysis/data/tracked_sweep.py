"""One sweep as MLflow stores it: its search space, trials and confirm runs."""

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
"""Columns of a history: one row for each report of a metric."""


@dataclass(frozen=True)
class TrackedSweep:
    """The run of a sweep, and the runs of its trials.

    Attributes:
        run: The parent run.
        trials: Rows of `analysis.data.runs.read_runs` for the search trials, in their order.
        confirmed: Likewise for the confirm runs.
    """

    run: Run
    trials: pd.DataFrame
    confirmed: pd.DataFrame

    @property
    def name(self) -> str:
        """Name of the sweep."""
        return self.run.data.tags["sweep"]

    @property
    def variant(self) -> str:
        """Data set variant."""
        return self.run.data.tags["variant"]

    @property
    def source(self) -> str:
        """Source of the images: official or rendered."""
        return self.run.data.tags["data.source"]

    @property
    def metric(self) -> str:
        """The maximised validation accuracy; under pareto, the first of two objectives."""
        objective = self.run.data.params.get("objective", "pixels")
        return f"val/relation_accuracy_{'pixels' if objective == 'pareto' else objective}"

    @property
    def steps(self) -> int:
        """Training steps of a full trial."""
        return int(self.run.data.params["training.steps"])

    @property
    def space(self) -> dict[str, BaseDistribution]:
        """Search space by dotted name; empty if the run does not store it as JSON."""
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
        """Search trials with a score."""
        if self.metric not in self.trials:
            return self.trials.iloc[:0]
        return self.trials[self.trials[self.metric].notna()]

    @property
    def complete(self) -> pd.DataFrame:
        """Search trials with a score that reached their last step."""
        return self.scored[self.scored["outcome"].eq("complete")]

    @property
    def choice(self) -> pd.Series[float]:
        """Mean validation score of each confirmed configuration, by hash, best first."""
        finished = self.confirmed[self.confirmed["status"].eq("FINISHED")]
        if self.metric not in finished:
            return pd.Series(dtype=float)
        means = finished.groupby("config_hash")[self.metric].mean()
        return means.sort_values(ascending=False, kind="stable")

    @property
    def lacking(self) -> dict[str, int]:
        """Number of trials and of confirm runs that MLflow lacks, most likely deleted ones."""
        tags, listed = self.run.data.tags, set(self.trials["trial_id"])
        # Earlier versions stored no counts; then the best trial and confirmed configurations show
        # which trials there were.
        named = {tags.get("best_trial_id")} - {None} - listed
        searched = set(self.confirmed["config_hash"]) - set(self.trials["config_hash"])
        counted = int(tags.get("search.ended", 0)) - len(listed)
        confirmed = int(tags.get("confirm.ended", 0)) - len(self.confirmed)
        trials = max(counted, len(named), len(searched))
        return {"trials": trials, "confirm runs": max(confirmed, 0)}

    @property
    def deficit(self) -> str:
        """Warning about the runs that MLflow lacks, with the remedy; empty if it lacks none."""
        present = {"trials": len(self.trials), "confirm runs": len(self.confirmed)}
        parts = [f"{n} of {present[what] + n} {what}" for what, n in self.lacking.items() if n]
        if not parts:
            return ""
        return (
            f"MLflow lacks {' and '.join(parts)} of {self.name}, so these results cover only the "
            f"rest. Send it the missing runs with `python sweeps/run.py --resume {self.name}`."
        )

    @property
    def best(self) -> pd.Series[Any] | None:
        """Trial of the configuration that was best when confirmed, or else `found`.

        None without a score, or if MLflow lacks the run of that trial.
        """
        if self.choice.empty or self.lacking["confirm runs"]:
            return self.found
        confirmed = self.scored[self.scored["config_hash"].eq(self.choice.index[0])]
        return None if confirmed.empty else confirmed.iloc[0]

    @property
    def fresh(self) -> pd.DataFrame:
        """Finished confirm runs of the best configuration, on fresh seeds."""
        best, finished = self.best, self.confirmed["status"].eq("FINISHED")
        own = self.confirmed["config_hash"].eq("" if best is None else best["config_hash"])
        return self.confirmed[finished & own]

    @property
    def found(self) -> pd.Series[Any] | None:
        """Trial that the search chose; while it runs, the best so far, complete ones first."""
        chosen = self.scored["trial_id"].eq(self.run.data.tags.get("best_trial_id", ""))
        if self.run.info.status != "RUNNING" and chosen.any():
            # Of trials with equal scores, the search does not always choose the first.
            return self.scored[chosen].iloc[0]
        candidates = self.complete if len(self.complete) else self.scored
        # A missing trial may have been better than those that are left.
        if candidates.empty or self.lacking["trials"]:
            return None
        return candidates.iloc[int(candidates[self.metric].argmax())]


def find_sweep(
    client: MlflowClient, runs: pd.DataFrame, name: str | None = None, variant: str | None = None
) -> TrackedSweep:
    """Find a sweep by its name or run id; the newest by default.

    Args:
        client: The store.
        runs: The frame of `analysis.data.runs.read_runs`.
        name: Name of the sweep, or the id of its run.
        variant: Data set variant of the sweep.

    Raises:
        UserError: No sweep matches, or several have this name.
    """
    parents = sorted(_search_sweeps(client), key=lambda run: run.info.start_time)
    found = [run for run in parents if _matches(run, name, variant)]
    if len(found) > 1 and name is not None:
        ids = ", ".join(f"{run.info.run_id} ({run.data.tags['variant']})" for run in found)
        raise UserError(f"sweep: {name!r} is the name of several sweeps; give a run's id: {ids}")
    if found:
        return _add_trials(found[-1], runs)
    _check_deleted(client, name, variant)
    candidates = [run for run in parents if _matches(run, None, variant)]
    if variant is not None and not candidates:
        known = ", ".join(sorted({run.data.tags["variant"] for run in parents})) or "none"
        raise UserError(f"variant: no sweep of {variant!r} in this store; of: {known}")
    if name is not None:
        known = ", ".join(dict.fromkeys(run.data.tags["sweep"] for run in candidates)) or "none"
        raise UserError(f"sweep: there is no {name!r}; there are: {known}")
    raise UserError("sweep: there is none in this store; python sweeps/run.py makes one")


def find_deficits(client: MlflowClient, runs: pd.DataFrame) -> list[str]:
    """Return the `TrackedSweep.deficit` of each sweep that has one; `runs` as in `find_sweep`."""
    found = (_add_trials(run, runs).deficit for run in _search_sweeps(client))
    return [deficit for deficit in found if deficit]


def _search_sweeps(client: MlflowClient, deleted: bool = False) -> list[Run]:
    found = search_runs(client, "tags.kind = 'sweep'", deleted)
    return [run for run in found if "sweep" in run.data.tags]


def _matches(run: Run, name: str | None, variant: str | None) -> bool:
    tags = run.data.tags
    return variant in (None, tags["variant"]) and name in (None, tags["sweep"], run.info.run_id)


def _check_deleted(client: MlflowClient, name: str | None, variant: str | None) -> None:
    """Raise a UserError if the sweep was deleted in MLflow."""
    for run in _search_sweeps(client, deleted=True):
        if _matches(run, name, variant):
            experiment = client.get_experiment(run.info.experiment_id)
            command = restore_command(client.tracking_uri, run.info.run_id, experiment)
            sweep = run.data.tags["sweep"]
            raise UserError(f"sweep: {sweep!r} was deleted in MLflow; restore it with {command}")


def _add_trials(run: Run, runs: pd.DataFrame) -> TrackedSweep:
    own = runs[runs["parent_run_id"].eq(run.info.run_id)].copy()
    own = own.reindex(columns=list(dict.fromkeys([*own, "seconds"])))
    own = own.sort_values("trial_id", kind="stable", ignore_index=True)
    stage = own["stage"]
    return TrackedSweep(run, own[stage.eq("search")], own[stage.eq("confirm")])


def read_history(
    client: MlflowClient, run_ids: Iterable[str], metrics: Sequence[str]
) -> pd.DataFrame:
    """Read every report of some metrics of some runs, sorted by step; the columns are `HISTORY`."""
    points = [
        (run, metric, point.step, point.value)
        for run in run_ids
        for metric in metrics
        for point in client.get_metric_history(run, metric)
    ]
    history = pd.DataFrame(points, columns=list(HISTORY))
    return history.sort_values(["run_id", "metric", "step"], ignore_index=True)


def build_study(sweep: TrackedSweep) -> optuna.Study:
    """Build an in-memory Optuna study of a sweep's search, for Optuna's own analyses.

    It contains what MLflow has, so any machine can build it, even while the sweep runs. Failed
    trials are left out: their last score does not measure their settings.
    """
    study, space = create_empty_study(), sweep.space
    for _, row in sweep.scored[sweep.scored["outcome"].ne("failed")].iterrows():
        # Params have other types in the frame than in the search.
        params = {
            name: values.to_external_repr(values.to_internal_repr(row.get(name)))
            for name, values in space.items()
        }
        state = TrialState.COMPLETE if row["outcome"] == "complete" else TrialState.PRUNED
        value = float(row[sweep.metric])
        study.add_trial(create_trial(state=state, params=params, distributions=space, value=value))
    return study


def create_empty_study() -> optuna.Study:
    """Create an in-memory study without Optuna's console message."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(direction="maximize")
    finally:
        optuna.logging.set_verbosity(level)
