from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from analysis.__main__ import run
from tests.analysis.tracked import Store, scores
from weakdis_core.errors import UserError


def call(monkeypatch: pytest.MonkeyPatch, *args: str) -> None:
    monkeypatch.setattr(sys, "argv", ["python -m analysis", *args])
    run()


def test_table1_of_the_store_in_this_folder(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store.trial(metrics=scores(0.91))
    call(monkeypatch, "table1")
    assert "0.910 †‡" in capsys.readouterr().out


def test_store_from_flag_and_environment(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    store.trial(metrics=scores(0.91))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    call(monkeypatch, "table1", "--tracking-uri", store.uri, "--format", "csv")
    assert "0.91," in capsys.readouterr().out
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    call(monkeypatch, "table1", "--format", "latex")
    assert r"\begin{tabular}" in capsys.readouterr().out


def test_no_store_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    call(monkeypatch, "table1")
    assert capsys.readouterr().out.startswith("No runs: there is no mlflow.db in this folder")
    assert list(tmp_path.iterdir()) == []


def test_no_runs_and_no_results_say_so(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, "table1")
    assert capsys.readouterr().out.startswith("No runs in sqlite:///mlflow.db")
    store.trial()
    call(monkeypatch, "table1")
    assert "1 runs, none of them evaluated on test yet" in capsys.readouterr().out


def test_a_store_asked_for_must_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_errors_of_the_command_have_no_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "analysis", "table1", "--tracking-uri", "sqlite:///other.db"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == ("error: tracking URI: sqlite:///other.db: there is no file other.db\n")
    assert list(tmp_path.iterdir()) == []
