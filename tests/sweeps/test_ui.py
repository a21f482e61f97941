"""`make ui`: both UIs come up, on loopback only, and nothing of them is left after Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
import requests

from sweeps.ui import run
from tests.sweeps.finished import SCRIPT, Finished
from tests.sweeps.services import free_port
from weakdis_core.errors import UserError

ROOT = SCRIPT.parents[1]
# What is installed is not looked at again.
MAKE = ["make", "-C", str(ROOT), "-o", ".venv/project", "ui"]


def call(monkeypatch: pytest.MonkeyPatch, *flags: str) -> str:
    """Start the UIs with flags that are refused; why."""
    monkeypatch.setattr(sys, "argv", ["python -m sweeps.ui", *flags])
    with pytest.raises(UserError) as refused:
        run()
    return str(refused.value)


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Whatever happens, nothing of the process is left for others to wait for."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder without sweeps."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    return tmp_path


def test_ports_and_sweeps_that_cannot_be(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "port: 80000 is not allowed" in call(monkeypatch, "--port", "80000")
    assert "optuna_port: 0 is not allowed" in call(monkeypatch, "--optuna-port", "0")
    assert "8080 is MLflow's port" in call(monkeypatch, "--port", "8080")
    assert "there is no 'nope'; there are: none" in call(monkeypatch, "--sweep", "nope")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = call(monkeypatch, "--port", str(port))
    assert message.startswith(f"port: {port} cannot be used (Address already in use)")
    assert message.endswith("make ui PORT=NUMBER")
    assert list(place.iterdir()) == []


def test_a_mistake_in_make_ui_is_told_without_a_traceback() -> None:
    done = subprocess.run([*MAKE, "PORT=80000"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "error: port: 80000 is not allowed" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_both_answer_and_end_with_ctrl_c(finished: Finished, tmp_path: Path) -> None:
    ports = free_port(), free_port()
    settings = [f"PORT={ports[0]}", f"OPTUNA_PORT={ports[1]}"]
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": finished.uri,
        "WEAKDIS_STORAGE": str(finished.folder.parent),
    }
    log = tmp_path / "log"
    with log.open("w") as output, subprocess.Popen(
        [*MAKE, *settings], stdout=output, stderr=output, env=environment, start_new_session=True
    ) as process, ended(process):  # fmt: skip
        deadline = time.monotonic() + 200
        while "Ctrl-C ends both" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert f"MLflow: http://127.0.0.1:{ports[0]}\n" in log.read_text()
        assert f"Optuna: http://127.0.0.1:{ports[1]} (small/study.db)\n" in log.read_text()
        page = requests.get(f"http://127.0.0.1:{ports[0]}", timeout=20)
        assert "MLflow" in page.text
        studies = requests.get(f"http://127.0.0.1:{ports[1]}/api/studies", timeout=20).json()
        assert {study["study_name"] for study in studies["study_summaries"]} >= {"small"}
        family = psutil.Process(process.pid).children(recursive=True)
        listening = [
            each.laddr for member in family for each in member.net_connections("tcp")
            if each.status == "LISTEN"
        ]  # fmt: skip
        assert {address.ip for address in listening} == {"127.0.0.1"}
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=60)
    assert psutil.wait_procs(family, timeout=20)[1] == []
    assert "Traceback" not in log.read_text()
