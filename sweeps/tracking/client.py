"""Entries of the outbox as calls of MLflow."""

from __future__ import annotations

import errno
import functools
import logging
import os
import socket
from collections import Counter
from collections.abc import Collection

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import (
    MLFLOW_DATASET_CONTEXT,
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_RUN_NOTE,
)
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from analysis.data.runs import iterate_pages
from sweeps.cluster.storage_errors import causes
from sweeps.tracking.outbox import OF_REPORT, PARENT, Entry
from sweeps.tracking.registry import publish

# The outbox repeats by itself, in order; MLflow's own repetition would hold up the thread that
# makes the calls for minutes.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    # The address of every run that ends, between the lines of the console.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_REQUEST_TIMEOUT = 408
_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500
# Of one model, where the registry fails while its run can be read.
_REGISTRY_TRIES = 3


class RunClient:
    """Makes the calls of MLflow that entries stand for.

    Args:
        uri: MLflow's database or server.
        experiment: Name of the experiment, which exists.
        sweep: Name of the sweep, by which its runs are found again.
    """

    def __init__(self, uri: str, experiment: str, sweep: str) -> None:
        self._uri = uri
        self._experiment = experiment
        self._sweep = sweep
        self._run_ids: dict[str, str] = {}
        self._new: set[str] = set()
        self._lacking: set[str] = set()
        self._begun: set[str] = set()
        self._last_steps: dict[str, int] = {}
        self._registry_errors: Counter[str] = Counter()

    def lacking(self, keys: Collection[str]) -> set[str]:
        """Find the runs that were deleted in MLflow; the next entry of each restores or makes it.

        Args:
            keys: The runs that MLflow had.

        Returns:
            Those that it has no more.
        """
        query, place = f"tags.sweep = '{self._sweep}'", [self._experiment_id]
        found = iterate_pages(self._client.search_runs, experiment_ids=place, filter_string=query)
        self._lacking = set(keys) - {run.data.tags.get("trial_id", PARENT) for run in found}
        return self._lacking

    def __call__(self, entry: Entry) -> None:
        """Send an entry to MLflow.

        Raises:
            Exception: It refuses, or is not there; `may_work_later` distinguishes them.
        """
        client, run = self._client, self._run_id(entry)
        if entry.kind == "model":
            self._publish(run, entry)
            return
        params, tags, metrics = entry.params, entry.tags, entry.metrics
        if entry.kind == "begin":
            self._begun.add(run)
            if run in self._new:
                # If what follows fails, the retry has to look at what MLflow has.
                self._new.remove(run)
            else:
                self._last_steps[run] = _last_report(client, run)
                # The run of an interrupted trial goes on. Params cannot be changed: what a resumed
                # sweep has otherwise is a tag.
                client.update_run(run, status="RUNNING")
                known = client.get_run(run).data.params
                changed = {k: v for k, v in params.items() if known.get(k, v) != v}
                tags = tags | {f"resumed.{name}": value for name, value in changed.items()}
                params = {name: value for name, value in params.items() if name not in known}
            if entry.key == PARENT:
                self._attach_trials(run)
            if entry.dataset:
                client.log_inputs(run, [_input(entry)])
        elif OF_REPORT in metrics and entry.step <= self._last_steps.get(run, 0):
            # A trial that goes on from a checkpoint reports some steps again.
            metrics = {}
        if metrics or params or tags:
            client.log_batch(
                run,
                metrics=[Metric(k, v, entry.at, entry.step) for k, v in metrics.items()],
                params=[Param(name, value) for name, value in params.items()],
                tags=[RunTag(name, value) for name, value in tags.items()],
            )
        if entry.file is not None:
            client.log_artifact(run, entry.file, entry.folder)
        if entry.kind == "end" and not self._has_ended(run, entry):
            client.set_terminated(run, entry.status, end_time=entry.at)

    def _publish(self, run: str, entry: Entry) -> None:
        """Store and register a model; a registry that keeps failing must not hold up the rest."""
        client = self._client
        try:
            publish(client, run, entry)
        except MlflowException as error:
            # Fails too where all of MLflow is away: that is no error of the registry.
            note = client.get_run(run).data.tags.get(MLFLOW_RUN_NOTE, "")
            self._registry_errors[run] += 1
            if may_work_later(error) and self._registry_errors[run] < _REGISTRY_TRIES:
                raise
            reason = f"The model is not registered: {error}".splitlines()[0]
            client.set_tag(run, MLFLOW_RUN_NOTE, f"{note}\n\n{reason}")
            raise MlflowException.invalid_parameter_value(reason) from error

    def _has_ended(self, run: str, entry: Entry) -> bool:
        """Whether a run of an earlier process has ended just so: then the time is right too."""
        if run in self._begun:
            return False
        return bool(self._client.get_run(run).info.status == entry.status)

    @functools.cached_property
    def _client(self) -> MlflowClient:
        return connect(self._uri)

    @functools.cached_property
    def _experiment_id(self) -> str:
        experiment = self._client.get_experiment_by_name(self._experiment)
        if experiment is None:
            raise ValueError(f"MLflow has no experiment {self._experiment} any more")
        return str(experiment.experiment_id)

    def _run_id(self, entry: Entry) -> str:
        """The run of a trial: known, found by its trial id, or made."""
        key = entry.key
        if key not in self._run_ids:
            self._run_ids[key] = self._found(key) or self._made(entry)
        return self._run_ids[key]

    def _found(self, key: str) -> str | None:
        own = "tags.kind != 'trial'" if key == PARENT else f"tags.trial_id = '{key}'"
        query = f"tags.sweep = '{self._sweep}' and {own}"
        place = [self._experiment_id]
        runs = self._client.search_runs(place, query, max_results=1)
        if not runs and key in self._lacking:
            # The newest: an earlier sweep of this name may have been deleted too.
            runs = self._client.search_runs(place, query, ViewType.DELETED_ONLY, max_results=1)
            for run in runs:
                self._client.restore_run(run.info.run_id)
        return runs[0].info.run_id if runs else None

    def _attach_trials(self, parent: str) -> None:
        """Make the trials' runs children of the parent: it may be new, the old one purged."""
        own = f"tags.sweep = '{self._sweep}' and tags.kind = 'trial'"
        others = f"{own} and tags.`{MLFLOW_PARENT_RUN_ID}` != '{parent}'"
        place = [self._experiment_id]
        found = iterate_pages(self._client.search_runs, experiment_ids=place, filter_string=others)
        for run in list(found):
            self._client.set_tag(run.info.run_id, MLFLOW_PARENT_RUN_ID, parent)

    def _made(self, entry: Entry) -> str:
        if entry.kind != "begin":
            raise ValueError(f"MLflow has no run of {entry.key} of {self._sweep} any more")
        tags = dict(entry.tags)
        if entry.key != PARENT:
            parent = self._run_ids.get(PARENT) or self._found(PARENT)
            if parent is None:
                raise ValueError(f"MLflow has no run of {self._sweep} any more")
            tags[MLFLOW_PARENT_RUN_ID] = self._run_ids[PARENT] = parent
        made = self._client.create_run(self._experiment_id, start_time=entry.at, tags=tags)
        run = str(made.info.run_id)
        self._new.add(run)
        return run


def _last_report(client: MlflowClient, run: str) -> int:
    """Step of the last report of training that MLflow has of a run; 0 without any."""
    return max((point.step for point in client.get_metric_history(run, OF_REPORT)), default=0)


def _input(entry: Entry) -> DatasetInput:
    """The images of a run; how many of them are labelled is the run's own."""
    tags = [InputTag(MLFLOW_DATASET_CONTEXT, "training")]
    if "data.labels" in entry.params:
        tags.append(InputTag("labels", entry.params["data.labels"]))
    return DatasetInput(Dataset(**entry.dataset), tags)


def connect(uri: str) -> MlflowClient:
    """A client that fails fast."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # Their notes about making the tables of a new database are of no use to anyone.
    for name in ("mlflow.store.db.utils", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient(uri)


def may_work_later(error: Exception) -> bool:
    """Whether a call failed because MLflow, or the place of its files, was away or busy.

    Files may go past MLflow, to an object store. What its client raises differs from one to the
    next, but it is made of an answer's status, or comes of an error of the connection.
    """
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    chain = list(causes(error))
    status = next((status for each in chain if (status := _status(each)) is not None), None)
    if status is not None:
        return status >= _SERVER_ERROR or status in (_REQUEST_TIMEOUT, _TOO_MANY_REQUESTS)
    # The third is urllib3's, which HTTP clients are made of.
    passing = (RequestException, ConnectionError, HTTPError, TimeoutError, socket.gaierror)
    return any(isinstance(each, passing) for each in chain)


def _status(error: BaseException) -> int | None:
    """Status of the HTTP answer that an error tells of, if it does."""
    if isinstance(error, MlflowException):
        return int(error.get_http_status_code())  # type: ignore[no-untyped-call]
    answer = getattr(error, "response", None)
    # Amazon's client has it as a dictionary, others as an object.
    if isinstance(answer, dict):
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        status = getattr(answer, "status_code", None)
    return status if isinstance(status, int) else None
