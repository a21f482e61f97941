"""Entries reach MLflow in order, as soon as it answers, and none is lost."""

from __future__ import annotations

import resource
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from sweeps.tracking.client import RunClient, may_work_later
from sweeps.tracking.experiments import open_experiment
from sweeps.tracking.outbox import OF_REPORT, PARENT, Entry, Outbox
from sweeps.tracking.worker import DeliveryWorker
from tests.patience import PATIENCE
from tests.sweeps.support.finished import runs_of
from tests.sweeps.support.services import KEYS
from weakdis_core.errors import UserError

VARIANT = "dsprites_v2"


def numbered(number: int) -> Entry:
    return Entry(key="00001", kind="log", at=number, step=number, metrics={"train/loss": 0.5})


class Mlflow:
    """Takes entries, except while it is down."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self.up = threading.Event()
        self.asked = threading.Event()

    def __call__(self, entry: Entry) -> None:
        self.asked.set()
        if not self.up.is_set():
            raise ConnectionError("down")
        self.received.append(entry.step)


def test_training_never_waits_for_mlflow(tmp_path: Path) -> None:
    submitted = threading.Event()
    free: list[bool] = []
    writer = DeliveryWorker(Outbox(tmp_path), lambda entry: free.append(submitted.wait(PATIENCE)))
    for number in range(3):
        writer.submit(numbered(number))
    submitted.set()
    writer.close()
    # Entries were delivered while training continued.
    assert free == [True, True, True]


def test_entries_are_delivered_in_order(tmp_path: Path) -> None:
    mlflow = Mlflow()
    mlflow.up.set()
    writer = DeliveryWorker(Outbox(tmp_path), mlflow)
    for number in range(50):
        writer.submit(numbered(number))
    writer.close()
    assert mlflow.received == list(range(50))
    assert (writer.undelivered, writer.failures) == (0, [])
    assert list(Outbox(tmp_path).waiting()) == []


def test_a_server_that_comes_back_receives_everything_in_order(tmp_path: Path) -> None:
    mlflow = Mlflow()
    writer = DeliveryWorker(Outbox(tmp_path), mlflow, pause=0.01)
    for number in range(5):
        writer.submit(numbered(number))
    assert mlflow.asked.wait(PATIENCE)
    assert mlflow.received == []
    mlflow.up.set()
    writer.close()
    assert mlflow.received == list(range(5))


def test_the_next_session_delivers_what_a_dead_server_did_not_receive(tmp_path: Path) -> None:
    mlflow = Mlflow()
    writer = DeliveryWorker(Outbox(tmp_path), mlflow, pause=0.01)
    for number in range(5):
        writer.submit(numbered(number))
    writer.close(grace=0.05)
    assert (writer.undelivered, mlflow.received) == (5, [])
    mlflow.up.set()
    again = DeliveryWorker(Outbox(tmp_path), mlflow)
    again.submit(numbered(5))
    again.close()
    assert mlflow.received == list(range(6))


def test_a_process_killed_while_writing_leaves_whole_entries(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.append(numbered(1))
    outbox.append(numbered(2))
    outbox.delivered()
    content = outbox.path.read_bytes()
    outbox.path.write_bytes(content + content[:20])
    again = Outbox(tmp_path)
    again.append(numbered(3))
    assert [entry.step for entry in Outbox(tmp_path).waiting()] == [2, 3]


def test_a_disk_that_fills_up_in_an_entry_leaves_whole_ones(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.append(numbered(1))
    size = outbox.path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # As on a full disk, what there is room for is written.
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            outbox.append(numbered(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    outbox.append(numbered(3))
    assert [entry.step for entry in outbox.waiting()] == [1, 3]


def test_a_file_that_is_no_outbox_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mlflow.jsonl").write_text("hello\n")
    with pytest.raises(UserError, match=r"mlflow\.jsonl, line 1: not an entry"):
        list(Outbox(tmp_path).waiting())


def test_a_refused_entry_is_noted_and_the_next_follows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    received: list[int] = []

    def deliver(entry: Entry) -> None:
        if entry.step == 1:
            raise MlflowException.invalid_parameter_value("no such thing")
        received.append(entry.step)

    writer = DeliveryWorker(Outbox(tmp_path), deliver)
    for number in range(3):
        writer.submit(numbered(number))
    writer.close()
    assert received == [0, 2]
    assert writer.failures == ["MlflowException: no such thing"]
    assert "no such thing" in caplog.text


def begin(key: str, **params: str) -> Entry:
    kind = {"kind": "sweep"} if key == PARENT else {"kind": "trial", "trial_id": key}
    return Entry(key=key, kind="begin", at=1000, tags={"sweep": "one", **kind}, params=params)


def test_runs_are_made_found_again_and_ended(database: str) -> None:
    open_experiment(database, VARIANT, "one")
    first = RunClient(database, VARIANT, "one")
    report = Entry(key="00001", kind="log", at=2000, step=7, metrics={"train/loss": 0.5})
    for entry in (begin(PARENT, trials="3"), begin("00001"), report, report):
        first(entry)
    # Another session, as after a crash.
    second = RunClient(database, VARIANT, "one")
    second(begin(PARENT, trials="5", seed="0"))
    second(begin("00001"))
    second(report)
    second(Entry(key="00001", kind="end", at=3000, status="FINISHED", tags={"outcome": "complete"}))
    second(Entry(key=PARENT, kind="end", at=4000, status="KILLED"))
    parent, children = runs_of(database, VARIANT, "one")
    (child,) = children
    assert (parent.info.status, child.info.status) == ("KILLED", "FINISHED")
    assert (child.info.start_time, child.info.end_time) == (1000, 3000)
    assert child.data.tags["outcome"] == "complete"
    # Params keep the values of the first session; changed values are tags.
    assert parent.data.params == {"trials": "3", "seed": "0"}
    assert parent.data.tags["resumed.trials"] == "5"
    client = MlflowClient(tracking_uri=database)
    history = client.get_metric_history(child.info.run_id, "train/loss")
    assert [(point.step, point.value) for point in history] == [(7, 0.5)]


def test_a_step_that_a_trial_reports_again_is_logged_once(database: str) -> None:
    # Its checkpoint may be older than the last report in MLflow.
    open_experiment(database, VARIANT, "one")
    for session, steps in enumerate(((20, 40, 60), (40, 60, 80), (80, 100)), start=1):
        deliver = RunClient(database, VARIANT, "one")
        deliver(begin(PARENT))
        deliver(begin("00001"))
        for step in steps:
            metrics = {"train/loss": 0.5, OF_REPORT: 1.0}
            at = 1000 * session + step
            deliver(Entry(key="00001", kind="log", at=at, step=step, metrics=metrics))
    # Test scores have the last step too, but are no report of training.
    deliver(Entry(key="00001", kind="log", at=9000, step=100, metrics={"test/accuracy": 0.9}))
    (run,) = runs_of(database, VARIANT, "one")[1]
    client = MlflowClient(tracking_uri=database)
    for name in ("train/loss", OF_REPORT):
        history = client.get_metric_history(run.info.run_id, name)
        assert [point.step for point in history] == [20, 40, 60, 80, 100]
    assert run.data.metrics["test/accuracy"] == 0.9


def test_a_deleted_run_is_not_made_again_without_its_beginning(database: str) -> None:
    open_experiment(database, VARIANT, "one")
    with pytest.raises(ValueError, match="no run of 00001 of one"):
        RunClient(database, VARIANT, "one")(numbered(1))


def test_a_call_that_fails_comes_back_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # MLflow's own repetitions take minutes, in which a sweep that ends would wait for its last one.
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    asked: list[str] = []

    class Busy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(503 if len(asked) <= 2 else 400)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Busy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        deliver = RunClient(f"http://127.0.0.1:{server.server_port}", VARIANT, "one")
        with pytest.raises(MlflowException) as caught:
            deliver(begin(PARENT))
        server.shutdown()
    assert may_work_later(caught.value)
    assert 1 <= len(asked) <= 2


class Store(BaseHTTPRequestHandler):
    """A file store, MLflow's or Amazon's, that answers with the status `answer`."""

    answer = 200

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_error(self.answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("own", [True, False], ids=["mlflow", "s3"])
def test_a_file_is_retried_if_its_store_is_away_but_not_if_it_is_refused(
    own: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("content")
    once = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "AWS_MAX_ATTEMPTS": "1"}
    found: dict[int, bool] = {}
    with ThreadingHTTPServer(("127.0.0.1", 0), Store) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        for name, value in {"MLFLOW_S3_ENDPOINT_URL": address, **once, **KEYS}.items():
            monkeypatch.setenv(name, value)
        place = get_artifact_repository(address if own else "s3://bucket/files")
        for answer in (413, 403, 503, 0):
            monkeypatch.setattr(Store, "answer", answer)
            if not answer:
                server.shutdown()
                server.server_close()
            with pytest.raises(Exception) as caught:  # noqa: PT011  # the client's own
                place.log_artifact(str(file))  # type: ignore[no-untyped-call]
            found[answer] = may_work_later(caught.value)
    assert found == {413: False, 403: False, 503: True, 0: True}


def test_an_experiment_is_made_once_with_artifacts_beside_the_database(
    database: str, tmp_path: Path
) -> None:
    client = MlflowClient(tracking_uri=database)
    open_experiment(database, VARIANT, "one")
    first = client.get_experiment_by_name(VARIANT)
    open_experiment(database, VARIANT, "one")
    again = client.get_experiment_by_name(VARIANT)
    assert first is not None
    assert again is not None
    assert again.experiment_id == first.experiment_id
    assert first.artifact_location == (tmp_path / "mlruns" / VARIANT).as_uri()


def test_a_sweep_is_not_tracked_twice(database: str) -> None:
    open_experiment(database, VARIANT, "one")
    RunClient(database, VARIANT, "one")(begin(PARENT))
    with pytest.raises(UserError, match="name: there is a sweep 'one' of dsprites_v2 already"):
        open_experiment(database, VARIANT, "one")
    open_experiment(database, VARIANT, "one", resumed=True)
    open_experiment(database, VARIANT, "two")
