"""The client that sends entries of the outbox to MLflow."""

from __future__ import annotations

import errno
import functools
import logging
import os
import socket
from collections import Counter
from collections.abc import Collection
from http import HTTPStatus

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.utils.mlflow_tags import (
    MLFLOW_DATASET_CONTEXT,
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_RUN_NOTE,
)
from PIL import Image
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from analysis.data.runs import iterate_pages
from sweeps.cluster.storage_errors import causes
from sweeps.tracking.outbox import OF_REPORT, PARENT, Entry
from sweeps.tracking.registry import publish

# The outbox retries in order. MLflow's own retries would block its thread for minutes.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    # MLflow would print the address of every run that ends.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
# Attempts to register a model while its run can be read.
_REGISTRY_TRIES = 3


class RunClient:
    """Sends entries of the outbox to MLflow.

    Args:
        uri: MLflow's database or server.
        experiment: Name of the experiment, which exists.
        sweep: Name of the sweep, the tag of its runs.
        system_metrics: Whether to measure this machine while the sweep's own run is open.
    """

    def __init__(self, uri: str, experiment: str, sweep: str, system_metrics: bool = False) -> None:
        self._uri = uri
        self._experiment = experiment
        self._sweep = sweep
        self._system_metrics = system_metrics
        self._monitor: SystemMetricsMonitor | None = None
        self._run_ids: dict[str, str] = {}
        self._new: set[str] = set()
        self._lacking: set[str] = set()
        self._begun: set[str] = set()
        self._last_steps: dict[str, int] = {}
        self._registry_errors: Counter[str] = Counter()

    def find_lacking(self, keys: Collection[str]) -> set[str]:
        """Find the runs that MLflow lacks; the next entry of each restores or creates it.

        Args:
            keys: Keys of the runs that MLflow had.
        """
        found = {run.data.tags.get("trial_id", PARENT) for run in self._search()}
        self._lacking = set(keys) - found
        return self._lacking

    def __call__(self, entry: Entry) -> None:
        """Send an entry to MLflow.

        Raises:
            Exception: MLflow refuses or is away; `may_work_later` distinguishes them.
        """
        client, run = self._client, self._run_id(entry)
        if entry.kind == "model":
            self._publish(run, entry)
            return
        if entry.kind == "experiment":
            for name, tag in entry.tags.items():
                client.set_experiment_tag(self._experiment_id, name, tag)
            return
        params, tags, metrics = entry.params, entry.tags, entry.metrics
        if entry.kind == "begin":
            params, tags = self._begin(run, entry)
        elif OF_REPORT in metrics and entry.step <= self._last_steps.get(run, 0):
            # A trial that continues from a checkpoint reports some steps again.
            metrics = {}
        if metrics or params or tags:
            client.log_batch(
                run,
                metrics=[Metric(k, v, entry.at, entry.step) for k, v in metrics.items()],
                params=[Param(name, value) for name, value in params.items()],
                tags=[RunTag(name, value) for name, value in tags.items()],
            )
        if entry.kind == "image":
            with Image.open(str(entry.file)) as image:
                client.log_image(run, image, key=entry.folder, step=entry.step, timestamp=entry.at)
        elif entry.file is not None:
            client.log_artifact(run, entry.file, entry.folder)
        if entry.kind == "end" and entry.key == PARENT and self._monitor is not None:
            self._monitor.finish()  # type: ignore[no-untyped-call]
            self._monitor = None
        # A run that an earlier process ended in the same state has the right end time.
        if entry.kind == "end" and (
            run in self._begun or client.get_run(run).info.status != entry.status
        ):
            client.set_terminated(run, entry.status, end_time=entry.at)

    def address_of(self, key: str) -> tuple[str, str, str]:
        """Return MLflow's address, the experiment and the id of a run that it has received."""
        return self._uri, self._experiment_id, self._run_ids[key]

    def _begin(self, run: str, entry: Entry) -> tuple[dict[str, str], dict[str, str]]:
        """Reopen a run that is not new; return the params and tags to log."""
        client, params, tags = self._client, entry.params, entry.tags
        self._begun.add(run)
        if entry.key == PARENT and self._system_metrics and self._monitor is None:
            self._monitor = SystemMetricsMonitor(  # type: ignore[no-untyped-call]
                run, resume_logging=run not in self._new, tracking_uri=self._uri
            )
            self._monitor.start()  # type: ignore[no-untyped-call]
        if run in self._new:
            # If a later call fails, the retry must look at what MLflow has.
            self._new.remove(run)
        else:
            history = client.get_metric_history(run, OF_REPORT)
            self._last_steps[run] = max((point.step for point in history), default=0)
            client.update_run(run, status="RUNNING")
            # Params cannot change, so a resumed sweep's changes become tags.
            known = client.get_run(run).data.params
            changed = {k: v for k, v in params.items() if known.get(k, v) != v}
            tags = tags | {f"resumed.{name}": value for name, value in changed.items()}
            params = {name: value for name, value in params.items() if name not in known}
        if entry.key == PARENT:
            # The parent may be new, and the old one purged.
            orphaned = f"tags.`{MLFLOW_PARENT_RUN_ID}` != '{run}'"
            for child in self._search("tags.kind = 'trial'", orphaned):
                client.set_tag(child.info.run_id, MLFLOW_PARENT_RUN_ID, run)
        if entry.dataset:
            usage = [InputTag(MLFLOW_DATASET_CONTEXT, "training")]
            if "data.labels" in entry.params:
                usage.append(InputTag("labels", entry.params["data.labels"]))
            client.log_inputs(run, [DatasetInput(Dataset(**entry.dataset), usage)])
        return params, tags

    def _publish(self, run: str, entry: Entry) -> None:
        """Store and register a model; give up if only the registry keeps failing."""
        client = self._client
        try:
            publish(client, run, entry)
        except MlflowException as error:
            # Raises an error if all of MLflow is away, which is no error of the registry.
            note = client.get_run(run).data.tags.get(MLFLOW_RUN_NOTE, "")
            self._registry_errors[run] += 1
            if may_work_later(error) and self._registry_errors[run] < _REGISTRY_TRIES:
                raise
            reason = f"The model is not registered: {error}".splitlines()[0]
            client.set_tag(run, MLFLOW_RUN_NOTE, f"{note}\n\n{reason}")
            raise MlflowException.invalid_parameter_value(reason) from error

    @functools.cached_property
    def _client(self) -> MlflowClient:
        return connect(self._uri)

    @functools.cached_property
    def _experiment_id(self) -> str:
        experiment = self._client.get_experiment_by_name(self._experiment)
        if experiment is None:
            raise ValueError(f"MLflow has no experiment {self._experiment} any more")
        return str(experiment.experiment_id)

    def _query(self, *conditions: str) -> str:
        return " and ".join([f"tags.sweep = '{self._sweep}'", *conditions])

    def _search(self, *conditions: str) -> list[Run]:
        place, query = [self._experiment_id], self._query(*conditions)
        return list(
            iterate_pages(self._client.search_runs, experiment_ids=place, filter_string=query)
        )

    def _run_id(self, entry: Entry) -> str:
        key = entry.key
        if key not in self._run_ids:
            self._run_ids[key] = self._find_run(key) or self._create_run(entry)
        return self._run_ids[key]

    def _find_run(self, key: str) -> str | None:
        """Find the run of a key; restore one that was deleted, if `find_lacking` found it gone."""
        client, place = self._client, [self._experiment_id]
        own = "tags.kind != 'trial'" if key == PARENT else f"tags.trial_id = '{key}'"
        query = self._query(own)
        runs = client.search_runs(place, query, max_results=1)
        if not runs and key in self._lacking:
            # The newest: an earlier sweep of this name may have been deleted too.
            runs = client.search_runs(place, query, ViewType.DELETED_ONLY, max_results=1)
            for run in runs:
                client.restore_run(run.info.run_id)
        return runs[0].info.run_id if runs else None

    def _create_run(self, entry: Entry) -> str:
        if entry.kind != "begin":
            raise ValueError(f"MLflow has no run of {entry.key} of {self._sweep} any more")
        tags = dict(entry.tags)
        if entry.key != PARENT:
            parent = self._run_ids.get(PARENT) or self._find_run(PARENT)
            if parent is None:
                raise ValueError(f"MLflow has no run of {self._sweep} any more")
            tags[MLFLOW_PARENT_RUN_ID] = self._run_ids[PARENT] = parent
        made = self._client.create_run(self._experiment_id, start_time=entry.at, tags=tags)
        run = str(made.info.run_id)
        self._new.add(run)
        return run


def connect(uri: str) -> MlflowClient:
    """Return a client of MLflow that fails fast."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # They log the creation of tables, and the start and end of a monitor.
    for name in ("mlflow.store.db.utils", "alembic", "mlflow.system_metrics"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient(uri)


def may_work_later(error: Exception) -> bool:
    """Check whether a call failed because MLflow or its file store was away or busy.

    The clients of file stores raise different errors, but each holds the status of an HTTP answer
    or comes from an error of the connection.
    """
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    chain = list(causes(error))
    status = next((status for each in chain if (status := _status(each)) is not None), None)
    if status is not None:
        busy = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
        return status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in busy
    # HTTPError is urllib3's.
    passing = (RequestException, ConnectionError, HTTPError, TimeoutError, socket.gaierror)
    return any(isinstance(each, passing) for each in chain)


def _status(error: BaseException) -> int | None:
    """Return the status of the HTTP answer that an error holds, if any."""
    if isinstance(error, MlflowException):
        return int(error.get_http_status_code())  # type: ignore[no-untyped-call]
    answer = getattr(error, "response", None)
    # Amazon's client holds it in a dictionary, others in an object.
    if isinstance(answer, dict):
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        status = getattr(answer, "status_code", None)
    return status if isinstance(status, int) else None
