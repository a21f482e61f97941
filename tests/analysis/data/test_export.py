"""Export of study runs from MLflow to the archive."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from analysis.__main__ import run
from analysis.data.archive import RUNS_FILE, SCORES_FILE, Archive, merge_runs, read_frame
from analysis.data.outbox_files import DELIVERED_FILE, OUTBOX_FILE, count_undelivered
from analysis.data.runs import read_runs
from analysis.data.tracked_sweep import find_sweep
from tests.analysis.searched import search
from tests.analysis.studied import FINISHED, HERE, studied, track
from tests.analysis.tracked import Store
from weakdis_core import rows
from weakdis_core.errors import UserError
from weakdis_core.run_key import Versions

ROOT = Path(__file__).parents[3]
OURS = rows.ours("dsprites_v2", "rendered")
LATENT = "relation_accuracy_latent"
LATER = FINISHED + pd.Timedelta(days=1)


def export(monkeypatch: pytest.MonkeyPatch, *flags: str) -> None:
    monkeypatch.setattr(sys, "argv", ["python -m analysis", "export", *flags])
    run()


def archived(folder: Path, runs: pd.DataFrame) -> None:
    archive = Archive(folder)
    archive.add(runs)
    archive.write()


def texts(folder: Path) -> list[str]:
    return [(folder / file).read_text() for file in (RUNS_FILE, SCORES_FILE)]


def test_tracked_runs_are_exported_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = studied((OURS, {LATENT: [0.9, 0.8], "factor_accuracy": [0.7, 0.6]}))
    track(store, made)
    export(monkeypatch)
    assert capsys.readouterr().out == "results: 2 new, 0 replaced, 0 unchanged, 0 left out\n"
    archived(Path("straight"), made)
    assert texts(Path("results")) == texts(Path("straight"))
    export(monkeypatch)
    assert "0 new, 0 replaced, 2 unchanged" in capsys.readouterr().out


def test_committed_lines_do_not_change(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "results", "results", ignore=shutil.ignore_patterns(".lock"))
    before = texts(Path("results"))
    # A committed run, trained again to another digit, and a new one.
    track(store, studied((OURS, {LATENT: [0.123]}), finished=LATER.timestamp() * 1000))
    export(monkeypatch)
    assert texts(Path("results")) == before
    track(store, studied((rows.ours("dsprites_v2", "rendered", [21]), {LATENT: [0.5]})))
    export(monkeypatch)
    after = texts(Path("results"))
    for old, new in zip(before, after, strict=True):
        assert set(old.splitlines()) < set(new.splitlines())
    assert len(after[0].splitlines()) == len(before[0].splitlines()) + 1


def test_stale_run_is_replaced_only_by_a_later_one(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = Versions(HERE.code - 1, HERE.scikit_learn)
    archived(Path("results"), studied((OURS, {LATENT: [0.1]}), versions=old))
    other = tuple(
        rows.DeclaredRun(run.row, run.config.with_values({"loss.lambda": 0.9})) for run in OURS
    )
    archived(Path("results"), studied((other[1:], {LATENT: [0.2]})))
    at = [(FINISHED + pd.Timedelta(days=days)).timestamp() * 1000 for days in (1, -1)]
    track(store, studied((OURS, {LATENT: [0.9]}), finished=at[0]))
    track(store, studied((OURS[1:], {LATENT: [0.8]}), finished=at[1]))
    track(store, studied((OURS[2:], {LATENT: [0.7]}), versions=old))
    export(monkeypatch)
    assert capsys.readouterr().out == "results: 0 new, 1 replaced, 0 unchanged, 2 left out\n"
    kept = Archive(Path("results")).frame().sort_values("seed")
    assert kept[f"test/{LATENT}"].tolist() == [0.9, 0.2]


def test_runs_of_a_dirty_work_tree_are_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    track(store, studied((OURS, {LATENT: [0.9]})))
    track(store, studied((OURS[1:], {LATENT: [0.8]}), commit="0123abc-dirty"))
    with pytest.raises(UserError, match="export: dsprites_v2: trained from a work tree with unc"):
        export(monkeypatch)
    assert Archive(Path("results")).runs == []
    # A dirty run that is already committed is no error.
    archived(Path("results"), studied((OURS[1:], {LATENT: [0.8]}), commit="0123abc-dirty"))
    export(monkeypatch)
    assert len(Archive(Path("results")).runs) == 2


def test_nothing_is_exported_while_mlflow_lacks_entries(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    track(store, studied((OURS, {LATENT: [0.9]})))
    folder = tmp_path / "runs" / "study-models-dsprites_v2-core2"
    folder.mkdir(parents=True)
    assert count_undelivered(folder) == 0
    (folder / OUTBOX_FILE).write_text("{}\n{}\n{}\n")
    assert count_undelivered(folder) == 3
    (folder / DELIVERED_FILE).write_text("000000000002\n")
    message = r"export: MLflow lacks 1 entries of .*study-models-dsprites_v2-core2; run the same"
    for flags in ([], ["--storage", str(tmp_path / "runs")], ["--storage", "s3://bucket/runs"]):
        with pytest.raises(UserError, match=message):
            export(monkeypatch, *flags)
    assert not Path("results").exists()
    # Another storage has no undelivered entries.
    monkeypatch.setenv("WEAKDIS_STORAGE", str(tmp_path / "elsewhere"))
    export(monkeypatch)
    assert len(Archive(Path("results")).runs) == 1


def test_unwritable_folder_is_reported(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "results").write_text("in the way")
    with pytest.raises(UserError, match="results: results cannot be written"):
        export(monkeypatch)


def test_mlflow_wins_if_both_have_a_run(store: Store) -> None:
    archived(Path("results"), studied((OURS, {LATENT: [0.1, 0.2]})))
    track(store, studied((OURS, {LATENT: [0.9]})))
    runs = read_frame().sort_values("seed")
    assert runs[f"test/{LATENT}"].tolist() == [0.9, 0.2]
    # Another row of the same configuration, and a run that failed, do not stand for it.
    track(store, studied((OURS[1:], {LATENT: [0.8]}), row="another"))
    track(store, studied((OURS[1:], {LATENT: [0.7]}), outcome="failed"))
    assert 0.2 in read_frame()[f"test/{LATENT}"].tolist()
    assert merge_runs(read_runs(store.uri), Archive(Path("nowhere")).frame()).shape[0] == 3


def test_sweeps_do_not_contain_study_runs(store: Store) -> None:
    track(store, studied((OURS, {LATENT: [0.9]})))
    with pytest.raises(UserError, match="sweep: there is none in this store"):
        find_sweep(store.client, read_runs(store.uri))
    search(store, trials=2)
    sweep = find_sweep(store.client, read_runs(store.uri))
    assert (sweep.name, len(sweep.trials), len(sweep.confirmed)) == ("tried", 2, 0)
