"""Confirm runs of a real sweep: their MLflow runs, and their rows in the tables."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.data.runs import read_runs
from analysis.statistics import t_interval
from analysis.tables.accuracy_table import build_table1
from sweeps.confirm import fresh_seeds
from tests.sweeps.support.finished import SCRIPT, Finished
from weakdis_core.config.config import Config
from weakdis_core.paper import load
from weakdis_core.pictures.write import CAPTIONS

VARIANT = "dsprites_v2"


@pytest.mark.slow
def test_confirm_runs_have_their_own_mlflow_runs(finished: Finished) -> None:
    assert len(finished.confirmed) == 2
    best = finished.best.data
    assert {run.data.tags["seed"] for run in finished.confirmed} == set(map(str, fresh_seeds(0, 2)))
    for run in finished.confirmed:
        tags = run.data.tags
        assert run.info.status == "FINISHED"
        assert tags["config_hash"] == best.tags["config_hash"]
        assert tags["outcome"] == "complete"
        assert tags["mlflow.runName"] == f"confirm {tags['config_hash']} seed {tags['seed']}"
        assert {"version.core", "version.scikit-learn", "git_commit", "device"} <= set(tags)
        assert run.data.params == best.params | {
            "seed": tags["seed"],
            "runtime.precision": "float32",
        }
    assert "stage" not in finished.parent.data.tags
    assert finished.parent.data.params["confirm_seeds"] == "2"


@pytest.mark.slow
def test_a_confirm_run_is_scored_on_test_once_at_its_last_step(finished: Finished) -> None:
    wanted = {"test/oracle_accuracy", "test/oracle_accuracy_softened", "test/factor_accuracy"}
    wanted |= {f"test/relation_accuracy_{kind}" for kind in ("latent", "encoded", "pixels")}
    for run in finished.confirmed:
        assert wanted <= set(run.data.metrics)
        for name in wanted | {"seconds"}:
            history = finished.client.get_metric_history(run.info.run_id, name)
            steps = [30] if name in wanted else [10, 20, 30]
            assert [metric.step for metric in history] == steps


@pytest.mark.slow
def test_confirm_runs_do_not_change_the_result_of_the_search(finished: Finished) -> None:
    best = finished.client.get_metric_history(
        finished.parent.info.run_id, "best/relation_accuracy_pixels"
    )
    assert max(metric.step for metric in best) == len(finished.children)
    name = "test/relation_accuracy_latent"
    assert finished.parent.data.metrics[name] == finished.best.data.metrics[name]
    evaluated = [run for run in finished.children if name in run.data.metrics]
    assert evaluated == [finished.best]


@pytest.mark.slow
def test_artifacts_of_a_confirm_run(finished: Finished) -> None:
    for run in finished.confirmed:
        files = finished.client.list_artifacts(run.info.run_id)
        assert {file.path for file in files} == {
            "checkpoint", "config.yaml", "images", "pictures",
        }  # fmt: skip
        pictures = finished.client.list_artifacts(run.info.run_id, "pictures")
        assert {Path(file.path).stem for file in pictures} == set(CAPTIONS)
        (checkpoint,) = finished.client.list_artifacts(run.info.run_id, "checkpoint")
        assert checkpoint.path == "checkpoint/checkpoint.pt"


@pytest.mark.slow
def test_scores_are_printed_beside_those_of_the_paper(finished: Finished) -> None:
    printed = finished.output[finished.output.index("confirm      2 confirm runs ...") :]
    found = [run.data.metrics["test/relation_accuracy_latent"] for run in finished.confirmed]
    mean = t_interval(found)
    assert f"{mean.value:.3f} ± {mean.half_width:.3f}" in printed
    for run, value in zip(finished.confirmed, found, strict=True):
        words = f"seed {run.data.tags['seed']}, test"
        (line,) = [line for line in printed.splitlines() if words in line]
        assert f"{value:.3f}" in line
    assert "0.724" in printed
    with (finished.folder / "confirm.csv").open() as file:
        rows = {row["seed"]: row for row in csv.DictReader(file)}
    for run, value in zip(finished.confirmed, found, strict=True):
        row = rows[run.data.tags["seed"]]
        assert float(row["test/relation_accuracy_latent"]) == pytest.approx(value)


@pytest.mark.slow
def test_table1_shows_only_the_confirm_runs(finished: Finished) -> None:
    table = build_table1(read_runs(finished.uri), load()).set_index("variant")
    row = table.loc[VARIANT]
    found = [run.data.metrics["test/relation_accuracy_latent"] for run in finished.confirmed]
    assert row["latent"] == pytest.approx(t_interval(found).value)
    assert (row["seeds"], row["source"]) == (2, "rendered")
    assert table.drop(VARIANT)["latent"].isna().all()


@pytest.mark.slow
def test_a_confirm_run_equals_a_single_training_run(finished: Finished, tmp_path: Path) -> None:
    run = finished.confirmed[0]
    config = finished.client.download_artifacts(run.info.run_id, "config.yaml", str(tmp_path))
    assert Config.load(Path(config)).hash() == run.data.tags["config_hash"]
    call = [sys.executable, "-m", "weakdis_core", "train", "--config", config]
    done = subprocess.run(
        [*call, "--output", str(tmp_path / "alone")],
        cwd=SCRIPT.parents[1], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    alone = json.loads((tmp_path / "alone" / "metrics.json").read_text())
    known = {name: value for name, value in alone.items() if value is not None}
    assert len(known) > 10
    assert {name: run.data.metrics[f"test/{name}"] for name in known} == known
