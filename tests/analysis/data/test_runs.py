from __future__ import annotations

import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from analysis.data import runs as module
from analysis.data.runs import COLUMNS, build_frame, read_runs
from analysis.data.store import hide_password, open_store, resolve_uri
from tests.analysis.tracked import Store, scores
from weakdis_core.errors import UserError


def test_each_trial_is_one_row(store: Store) -> None:
    parent = store.sweep()
    run = store.trial(parent=parent, seed=3, labels=300, metrics=scores(0.91))
    runs = read_runs(store.uri)
    assert len(runs) == 1
    row = runs.iloc[0]
    assert row["run_id"] == run
    assert row["parent_run_id"] == parent
    assert row["variant"] == "dsprites_v4"
    assert row["stage"] == "search"
    assert row["seed"] == 3
    assert row["status"] == "FINISHED"
    assert row["data.labels"] == 300
    assert row["test/relation_accuracy_latent"] == 0.91
    assert row["finished"] >= row["started"]
    # The param is the setting, the tag is the resolved source.
    assert (row["data.source"], row["source"]) == ("auto", "rendered")


def test_numbers_are_numeric_and_absent_values_missing(store: Store) -> None:
    store.trial(metrics=scores(0.91))
    store.trial(seed=1, metrics={"train/reconstruction": 9.5}, status="RUNNING")
    runs = read_runs(store.uri)
    assert pd.api.types.is_numeric_dtype(runs["data.labels"])
    assert runs["seed"].dtype == "Int64"
    assert runs["test/relation_accuracy_latent"].isna().tolist() == [False, True]
    assert pd.isna(runs["finished"].iloc[1])


def test_only_trials_are_rows(store: Store) -> None:
    store.sweep()
    store.client.create_run(store.experiment("someone else's"))
    deleted = store.trial(metrics=scores(0.5))
    store.client.delete_run(deleted)
    kept = store.trial(seed=1)
    assert read_runs(store.uri)["run_id"].tolist() == [kept]


def test_all_pages_are_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAGE", 2)
    for variant in ("dsprites_v2", "dsprites_v3", "shapes3d_v2"):
        for seed in range(3):
            store.trial(variant, seed=seed, start=1000 + seed)
    runs = read_runs(store.uri)
    assert len(runs) == runs["run_id"].nunique() == 9
    assert runs["started"].is_monotonic_increasing


def test_an_empty_store_gives_an_empty_frame(store: Store) -> None:
    runs = read_runs(store.uri)
    assert runs.empty
    assert tuple(runs.columns) == COLUMNS


def test_run_without_tags_is_a_search_trial(store: Store) -> None:
    tags = {"variant": "dsprites_v2", "mlflow.parentRunId": "parent"}
    store.client.create_run(store.experiment("dsprites_v2"), tags=tags)
    row = read_runs(store.uri).iloc[0]
    assert (row["stage"], row["source"], row["config_hash"]) == ("search", "unknown", "unknown")
    assert pd.isna(row["seed"])


def test_frame_keeps_words_as_text() -> None:
    rows: list[dict[str, object]] = [
        {"run_id": "a", "model.encoder": "convolutional", "model.latent_size": "8"},
        {"run_id": "b", "model.encoder": "object_centred", "model.latent_size": "16"},
    ]
    runs = build_frame(rows)
    assert runs["model.encoder"].tolist() == ["convolutional", "object_centred"]
    assert runs["model.latent_size"].tolist() == [8, 16]


def test_a_missing_file_is_named_and_not_created(tmp_path: Path) -> None:
    path = tmp_path / "absent.db"
    with pytest.raises(UserError, match=r"there is no file .*absent\.db"):
        read_runs(f"sqlite:///{path}")
    assert not path.exists()


def test_file_that_is_not_a_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_text("not a database, however long this text may be " * 50)
    with pytest.raises(UserError, match="file is not a database"):
        read_runs(f"sqlite:///{path}")


def test_database_of_another_program_is_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("create table sales (amount)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(UserError, match="without MLflow's tables"):
        read_runs(f"sqlite:///{path}")
    assert path.read_bytes() == before


@pytest.mark.parametrize("uri", ["mlruns", "nothing://here", "sqlite://[", "mysql+nodriver://h/d"])
def test_invalid_store_is_refused(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="tracking URI: "):
        open_store(uri)
    assert list(tmp_path.iterdir()) == []


def test_unreachable_server_fails_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UserError, match=r"127\.0\.0\.1:9 cannot be read"):
        open_store("http://127.0.0.1:9")


def test_passwords_are_not_printed() -> None:
    assert "secret" not in hide_password("postgresql://me:secret@host/db")
    assert "secret" not in hide_password("http://me:secret@host:5000")


def test_order_of_store_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert resolve_uri() == "sqlite:///mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    assert resolve_uri() == "http://host:5000"
    assert resolve_uri("sqlite:///mine.db") == "sqlite:///mine.db"
