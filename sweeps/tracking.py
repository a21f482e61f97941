"""MLflow: a parent run for the sweep, a child for each trial and confirm run, true end states.

Not Ray's own MLflow callback: that one makes a call for each number on the driver, doubles runs
after a restore and knows no parent.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from ray.tune import Callback, Stopper
from ray.tune.experiment import Trial

from sweeps.ledger import Ledger, Outcome, Record, numbers
from sweeps.provenance import SweepRun
from sweeps.trainable import trial_config
from sweeps.writer import Writer

Stage = Literal["search", "confirm"]

# A trial stopped early by ASHA ended as planned; one that Tune had to cut short was killed.
STATUS: dict[Outcome, str] = {
    "complete": "FINISHED",
    "pruned": "FINISHED",
    "failed": "FAILED",
    "out_of_time": "KILLED",
    "interrupted": "KILLED",
}
_PARENT = "sweep"


class Tracking(Callback):
    """Sends what happens to MLflow, one `log_batch` per report.

    Args:
        writer: The thread that makes the calls.
        experiment: Id of the experiment.
        sweep: What the runs have in common.
        ledger: Account of the trials; it must come before this among the callbacks.
        stage: What the trials are for.
    """

    def __init__(
        self,
        writer: Writer,
        experiment: str,
        sweep: SweepRun,
        ledger: Ledger,
        stage: Stage = "search",
    ) -> None:
        self._writer = writer
        self._experiment = experiment
        self._sweep = sweep
        self._ledger = ledger
        self._stage = stage
        self._notes: list[str] = []
        # Filled and read by the writer's thread alone.
        self._run_ids: dict[str, str] = {}
        self._closed: set[str] = set()
        self._devices: set[str] = set()

    def confirming(self, ledger: Ledger) -> Tracking:
        """The tracking of the same sweep's confirm runs."""
        return Tracking(self._writer, self._experiment, self._sweep, ledger, "confirm")

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks; a thread cannot be, and a restored sweep makes its own.
        return {}

    def setup(
        self,
        stop: Stopper | None = None,
        num_samples: int | None = None,
        total_num_samples: int | None = None,
        **info: Any,
    ) -> None:
        """Open the parent run."""
        params = _params(self._sweep.params)
        self._submit(_PARENT, lambda client, run: client.log_batch(run, params=params))

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Open a trial's run with its params and tags."""
        config = trial_config(trial.config)
        record = self._ledger.records[trial.trial_id]
        name = f"trial {record.number}"
        if self._stage == "confirm":
            name = f"confirm {config.hash()} seed {config.seed}"
        tags = _tags({"config_hash": config.hash(), "seed": config.seed, "mlflow.runName": name})
        params = _params(config.flat())
        self._submit(
            trial.trial_id, lambda client, run: client.log_batch(run, params=params, tags=tags)
        )

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        """Log a report: all its numbers in one call, at the training step."""
        values = numbers(result, ("train", "val", "test"))
        # The report of the test scores trains nothing.
        if "seconds" in result:
            values["seconds"] = result["seconds"]
        metrics = _metrics(values, int(result["step"]))
        tags = _tags({"device": result["device"]}) if trial.trial_id not in self._devices else []
        if not self._devices:
            self.set_tags(None, {"device": result["device"]})
        self._devices.add(trial.trial_id)
        self._submit(
            trial.trial_id, lambda client, run: client.log_batch(run, metrics=metrics, tags=tags)
        )

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """End a trial's run; in a search, log the best score so far on the parent."""
        self._end(self._ledger.records.get(trial.trial_id))

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """End a trial's run as FAILED, with the reason."""
        self._end(self._ledger.records.get(trial.trial_id))

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """End the runs of trials that were cut short."""
        self.end_all()

    def end_all(self) -> None:
        """End the run of every trial that has ended."""
        for record in self._ledger.ended():
            self._end(record)

    def cut_short(self) -> None:
        """End every trial and its run, whatever it was doing."""
        self._ledger.cut_short()
        self.end_all()

    def log_final(self, trial_id: str | None, metrics: Mapping[str, float], step: int) -> None:
        """Log numbers of the end of the sweep on a trial's run, or on the parent (None)."""
        batch = _metrics(metrics, step)
        self._submit(trial_id or _PARENT, lambda client, run: client.log_batch(run, metrics=batch))

    def log_file(self, trial_id: str | None, path: Path, folder: str | None = None) -> None:
        """Store a file with a trial's run, or with the parent (None)."""
        self._submit(
            trial_id or _PARENT, lambda client, run: client.log_artifact(run, str(path), folder)
        )

    def set_tags(self, trial_id: str | None, tags: Mapping[str, Any]) -> None:
        """Set tags of a trial's run, or of the parent (None)."""
        batch = _tags(tags)
        self._submit(trial_id or _PARENT, lambda client, run: client.log_batch(run, tags=batch))

    def add_note(self, text: str) -> None:
        """Add to the parent's note, which MLflow's UI shows as its description."""
        self._notes.append(text)
        self.set_tags(None, {"mlflow.note.content": " ".join(self._notes)})

    def close(self, status: str) -> None:
        """End the parent run, and every trial's that is still open."""
        self.cut_short()
        self._submit(_PARENT, lambda client, run: client.set_terminated(run, status))

    def abandon(self) -> None:
        """End all runs as KILLED, and wait until MLflow knows."""
        self.close("KILLED")
        self._writer.close()

    def _end(self, record: Record | None) -> None:
        # A process that dies while it starts ends a trial that never began.
        if record is None or record.trial_id in self._closed:
            return
        self._closed.add(record.trial_id)
        tags = _tags({"outcome": record.outcome, "reason": record.error[:500] or None})
        status = STATUS[record.outcome]

        # Two calls: whatever becomes of the tags, the state must be true.
        self._submit(record.trial_id, lambda client, run: client.log_batch(run, tags=tags))
        self._submit(record.trial_id, lambda client, run: client.set_terminated(run, status))
        best = self._ledger.best() if self._stage == "search" else None
        if best is not None and best.score is not None:
            name = self._ledger.metric.replace("val/", "best/")
            self.log_final(None, {name: best.score}, len(self._ledger.ended()))

    def _submit(self, key: str, call: Any) -> None:
        """Queue `call(client, run_id)` for the run of a trial or of the parent."""
        self._writer.submit(lambda client: call(client, self._run_id(client, key)))

    def _run_id(self, client: MlflowClient, key: str) -> str:
        """The run of a trial: known, found by its trial id, or made."""
        if key not in self._run_ids:
            self._run_ids[key] = self._found(client, key) or self._made(client, key)
        return self._run_ids[key]

    def _found(self, client: MlflowClient, key: str) -> str | None:
        own = "tags.kind = 'sweep'" if key == _PARENT else f"tags.trial_id = '{key}'"
        query = f"tags.sweep = '{self._sweep.name}' and {own}"
        runs = client.search_runs([self._experiment], query, max_results=1)
        return runs[0].info.run_id if runs else None

    def _made(self, client: MlflowClient, key: str) -> str:
        name = self._sweep.name
        tags = self._sweep.tags | {"sweep": name, "mlflow.runName": name}
        tags["mlflow.source.name"] = "sweeps/run.py"
        tags["mlflow.source.type"] = "LOCAL"
        if key == _PARENT:
            tags["kind"] = "sweep"
        else:
            tags |= {"kind": "trial", "trial_id": key, "stage": self._stage}
            tags[MLFLOW_PARENT_RUN_ID] = self._run_id(client, _PARENT)
        return str(client.create_run(self._experiment, tags=tags).info.run_id)


def _params(values: Mapping[str, Any]) -> list[Param]:
    return [Param(name, str(value)) for name, value in values.items()]


def _metrics(values: Mapping[str, float], step: int) -> list[Metric]:
    now = int(time.time() * 1000)
    return [Metric(name, value, now, step) for name, value in values.items()]


def _tags(values: Mapping[str, Any]) -> list[RunTag]:
    return [RunTag(name, str(value)) for name, value in values.items() if value is not None]
