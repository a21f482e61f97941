from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.__main__ import run
from tests.analysis.searched import search
from tests.analysis.tracked import Store, scores
from weakdis_core.errors import UserError


def call(monkeypatch: pytest.MonkeyPatch, *args: str) -> None:
    monkeypatch.setattr(sys, "argv", ["python -m analysis", *args])
    run()


def test_table1_of_the_store_in_this_folder(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store.trial(stage="confirm", metrics=scores(0.91))
    call(monkeypatch, "table1")
    assert "0.910 ‡" in capsys.readouterr().out


def test_store_from_flag_and_environment(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    store.trial(stage="confirm", metrics=scores(0.91))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    call(monkeypatch, "table1", "--tracking-uri", store.uri, "--format", "csv")
    assert "0.91," in capsys.readouterr().out
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    call(monkeypatch, "table1", "--format", "latex")
    assert r"\begin{tabular}" in capsys.readouterr().out


def test_table2_of_the_store_in_this_folder(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store.trial(stage="confirm", metrics=scores(0.91) | {"test/mig_converted": 0.875})
    call(monkeypatch, "table2")
    printed = capsys.readouterr().out
    assert "0.875 ‡" in printed
    assert "0.7877" in printed


def test_missing_default_store_shows_committed_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    call(monkeypatch, "table1")
    printed = capsys.readouterr()
    assert printed.err == "There is no mlflow.db in this folder: runs of results only.\n"
    assert "0.685 (1000)" in printed.out
    assert "--confirm-seeds 5" in printed.out
    assert list(tmp_path.iterdir()) == []


def test_only_published_numbers_without_confirm_runs(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, "table1")
    assert "No sweep has confirmed a configuration of dsprites_v2" in capsys.readouterr().out
    store.trial(metrics=scores(0.91))
    call(monkeypatch, "table1")
    assert "Search results not shown: 1 of dsprites_v4" in capsys.readouterr().out


def test_given_store_must_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"there is no file other\.db"):
        call(monkeypatch, "table1", "--tracking-uri", "sqlite:///other.db")


def test_an_unknown_format_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        call(monkeypatch, "table1", "--format", "word")
    assert stopped.value.code == 2
    assert "--format" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("command", ["table2", "trials"])
def test_tables_are_printed_in_an_ascii_locale(command: str, store: Store) -> None:
    search(store, trials=2, confirm=(0.8, 0.9))
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    call = [sys.executable, "-m", "analysis", command, "--tracking-uri", store.uri]
    done = subprocess.run(call, env=os.environ | locale, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.decode("ascii").splitlines()) > 3


@pytest.mark.slow
def test_errors_of_the_command_have_no_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "analysis", "table1", "--tracking-uri", "sqlite:///other.db"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == ("error: tracking URI: sqlite:///other.db: there is no file other.db\n")
    assert list(tmp_path.iterdir()) == []
