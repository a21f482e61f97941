"""A real sweep by the command that users run, and its runs in MLflow."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.trial import Trial, TrialState
from optuna_dashboard import get_note

from sweeps.state.study import open_storage
from tests.sweeps.support.finished import Finished, command
from weakdis_core.config.config import Config
from weakdis_core.data.prepared import prepare
from weakdis_core.evaluation.oracle_cache import prepare_oracle
from weakdis_core.pictures.write import CAPTIONS
from weakdis_core.training.trainer import Trainer

pytestmark = pytest.mark.slow

NAMES = ("small", "small/confirm")
PIXELS = "relation_accuracy_pixels"


def test_the_output_shows_scores_and_the_paper(finished: Finished) -> None:
    for word in (
        "best: trial",
        "this sweep, validation",
        "this sweep, test",
        "paper, test",
        "0.724",
        "review       weakdis ui",
        "model        models:/weakdis-dsprites_v2/latest\n",
        "pictures     runs/small/pictures\n",
        "tables       weakdis tables table1\n",
    ):
        assert word in finished.output
    phases = ("start", "images", "oracle", "search", "best on test", "confirm", "report")
    lines = [rf"^{name} +(ready|\d+:\d\d)(  .+)?$" for name in phases]
    assert re.search("(.*\n)*".join(lines), finished.output, re.MULTILINE)
    assert re.search(r"^search +3 trials \.\.\.$", finished.output, re.MULTILINE)
    assert re.search(r"^report +\d+:\d\d  runs/small/report.html$", finished.output, re.MULTILINE)
    assert finished.errors == ""


def test_mlflow_has_a_parent_run_and_finished_children(finished: Finished) -> None:
    assert finished.parent.info.status == "FINISHED"
    assert len(finished.children) == 3
    assert {run.info.status for run in finished.children} == {"FINISHED"}
    assert {run.data.tags["outcome"] for run in finished.children} <= {"complete", "pruned"}


def test_params_of_a_run_are_its_config(finished: Finished) -> None:
    config = Config.load(finished.folder / "best.yaml")
    expected = {name: str(value) for name, value in config.flat().items()}
    assert finished.best.data.params == expected
    assert finished.parent.data.params["objective"] == "pixels"


def test_tags_describe_a_run(finished: Finished) -> None:
    config = Config.load(finished.folder / "best.yaml")
    tags = finished.best.data.tags
    assert tags["config_hash"] == config.hash()
    assert tags["variant"] == "dsprites_v2"
    assert tags["data.source"] == "rendered"
    assert tags["stage"] == "search"
    assert tags["seed"] == "0"
    assert tags["device"].startswith("cpu")
    assert {"git_commit", "version.torch", "version.ray", "version.python"} <= set(tags)


def test_metrics_are_logged_at_each_evaluation(finished: Finished) -> None:
    history = finished.client.get_metric_history(
        finished.best.info.run_id, "val/relation_accuracy_pixels"
    )
    steps = [metric.step for metric in history]
    assert steps == [10, 20, 30]
    losses = [name for name in finished.best.data.metrics if name.startswith("train/")]
    assert losses


def test_the_parent_has_the_scores_of_the_best_trial(finished: Finished) -> None:
    for kind in ("latent", "encoded", "pixels"):
        name = f"test/relation_accuracy_{kind}"
        assert finished.best.data.metrics[name] == finished.parent.data.metrics[name]
    best = finished.best.data.metrics["val/relation_accuracy_pixels"]
    assert finished.parent.data.metrics["best/relation_accuracy_pixels"] == best


def test_artifacts_of_the_best_run_and_the_parent(finished: Finished) -> None:
    def names(run_id: str, folder: str | None = None) -> set[str]:
        return {file.path for file in finished.client.list_artifacts(run_id, folder)}

    pictures = {f"pictures/{stem}.png" for stem in CAPTIONS} | {"pictures/confusion.csv"}
    best = finished.best.info.run_id
    assert names(best) == {"best.yaml", "checkpoint", "images", "pictures"}
    assert names(best, "checkpoint") == {"checkpoint/checkpoint.pt"}
    # A picture at the start and at each report, each as PNG and compressed.
    steps = Counter(re.findall(r"\+step\+(\d+)\+", " ".join(names(best, "images"))))
    history = finished.client.get_metric_history(best, "val/factor_accuracy")
    assert steps == dict.fromkeys(["0", *(str(point.step) for point in history)], 2)
    parent = finished.parent.info.run_id
    tables = {"trials.csv", "confirm.csv"}
    assert names(parent) == {"best.yaml", "pictures", "report.html", *tables}
    for run_id in (best, parent):
        assert names(run_id, "pictures") == pictures
    page = (finished.folder / "report.html").read_text()
    assert "Trained again on 2 fresh seeds" in page
    assert page.count('<img src="data:') == len(CAPTIONS)
    assert f"Trial {int(finished.best.data.tags['trial_id'])} is " in page


def test_the_study_has_all_trials(finished: Finished) -> None:
    storage = open_storage(finished.folder)
    assert set(optuna.get_all_study_names(storage)) == set(NAMES)
    trials = optuna.load_study(study_name="small", storage=storage).trials
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    ids = {f"{trial.number:05d}" for trial in trials}
    assert ids == {run.data.tags["trial_id"] for run in finished.children}


def test_the_dashboard_of_optuna_shows_trials_as_mlflow_does(finished: Finished) -> None:
    storage = open_storage(finished.folder)
    search, confirm = (optuna.load_study(study_name=name, storage=storage) for name in NAMES)
    for run in [*finished.children, *finished.confirmed]:
        tags = run.data.tags
        stage, _, number = tags["trial_id"].rpartition("-")
        study, kinds = (confirm, ("val", "test")) if stage else (search, ("val",))
        trial = study.trials[int(number)]
        assert stage or tags["mlflow.runName"] == f"trial {trial.number}"
        note = get_note(Trial(study, trial._trial_id))
        assert note.startswith(tags["mlflow.note.content"])
        assert f"127.0.0.1:5000/#/experiments/1/runs/{run.info.run_id})" in note
        assert str(finished.folder / "report.html") in note
        pixels = {name: run.data.metrics[name] for name in (f"{k}/{PIXELS}" for k in kinds)}
        assert {"outcome": tags["outcome"], **pixels}.items() <= trial.user_attrs.items()
    assert finished.parent.info.run_id in get_note(search)


def test_the_best_config_trains_again_to_the_same_scores(finished: Finished) -> None:
    config = Config.load(finished.folder / "best.yaml")
    prepared = prepare(config.data)
    trainer = Trainer(config, prepared, prepare_oracle(prepared, config.data))
    *_, last = trainer.fit()
    found = finished.best.data.metrics
    assert {name: found[name] for name in last.metrics if name in found} == {
        name: value for name, value in last.metrics.items() if value == value
    }
    for name, value in trainer.evaluate("test").items():
        assert value != value or found[f"test/{name}"] == value


def test_a_name_in_use_is_refused(finished: Finished) -> None:
    done = subprocess.run(
        command("--name", "small"),
        cwd=finished.folder.parents[1], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: name: there is a sweep 'small' already")


def test_more_gpus_than_there_are_is_refused(cache: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        command("--gpus-per-trial", "64"),
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: gpus_per_trial: 64 is not allowed: there are ")
