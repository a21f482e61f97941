"""`make ui`: both UIs start, on loopback only, and no process is left after Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import re
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
from playwright.sync_api import sync_playwright

from sweeps.cli.ui import run
from tests.conftest import program
from tests.patience import PATIENCE
from tests.sweeps.support.finished import SCRIPT, Finished
from tests.sweeps.support.services import free_port
from weakdis_core.errors import UserError

ROOT = SCRIPT.parents[1]
# Skip the installation.
MAKE = ["make", "-C", str(ROOT), "-o", ".venv/project", "ui"]


def call(monkeypatch: pytest.MonkeyPatch, *flags: str) -> str:
    """Start the UIs with flags that are refused, and return the error."""
    monkeypatch.setattr(sys, "argv", ["python -m sweeps.cli.ui", *flags])
    with pytest.raises(UserError) as refused:
        run()
    return str(refused.value)


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Kill the process group at the end, whatever happens."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def started(
    finished: Finished, ports: tuple[int, int], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Start `make ui` for a finished sweep, and wait until both answer."""
    settings = [f"PORT={ports[0]}", f"OPTUNA_PORT={ports[1]}"]
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": finished.uri,
        "WEAKDIS_STORAGE": str(finished.folder.parent),
    }
    with log.open("w") as output, subprocess.Popen(
        [*MAKE, *settings], stdout=output, stderr=output, env=environment, start_new_session=True,
        # Tests that run in the background may ignore SIGHUP, and their children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    ) as process, ended(process):  # fmt: skip
        deadline = time.monotonic() + PATIENCE
        while "Ctrl-C ends both" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            process.wait(timeout=PATIENCE)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    return tmp_path


def test_ports_and_sweeps_that_cannot_be_used_are_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


@pytest.mark.slow
def test_make_ui_prints_errors_without_a_traceback() -> None:
    done = subprocess.run([*MAKE, "PORT=80000"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "error: port: 80000 is not allowed" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_both_answer_until_a_signal(
    finished: Finished, tmp_path: Path, number: signal.Signals
) -> None:
    ports, log = (free_port(), free_port()), tmp_path / "log"
    with started(finished, ports, log) as process:
        assert f"MLflow: http://127.0.0.1:{ports[0]}/#/experiments/1/runs?" in log.read_text()
        assert f"Optuna: http://127.0.0.1:{ports[1]} (small/study.db)\n" in log.read_text()
        page = requests.get(f"http://127.0.0.1:{ports[0]}", timeout=PATIENCE)
        assert "MLflow" in page.text
        studies = requests.get(f"http://127.0.0.1:{ports[1]}/api/studies", timeout=PATIENCE).json()
        assert {study["study_name"] for study in studies["study_summaries"]} >= {"small"}
        family = psutil.Process(process.pid).children(recursive=True)
        listening = [
            each.laddr for member in family for each in member.net_connections("tcp")
            if each.status == "LISTEN"
        ]  # fmt: skip
        assert {address.ip for address in listening} == {"127.0.0.1"}
        os.killpg(process.pid, number)
        process.wait(timeout=PATIENCE)
    assert psutil.wait_procs(family, timeout=PATIENCE)[1] == []
    assert "Traceback" not in log.read_text()


_LOADED = """
wanted => [...document.images].filter(
    each => /manipulation|^blob:/.test(each.src) && each.naturalWidth > 0
).length >= wanted
"""


@pytest.mark.slow
@pytest.mark.needs_command("chromium", "chromium")
def test_a_browser_shows_the_leaderboard_and_pictures(finished: Finished, tmp_path: Path) -> None:
    ports, log = (free_port(), free_port()), tmp_path / "log"
    best, pixels = finished.best, "val/relation_accuracy_pixels"
    pictures = f"{best.info.run_id}/artifacts/pictures/manipulation.png"
    with started(finished, ports, log), sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=program("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 2300, "height": 1400})
        page.set_default_timeout(PATIENCE * 1000)
        link = log.read_text().split("MLflow: ")[1].split()[0]
        page.goto(link)
        # The best trial is first. Nothing has to be typed to see scores, settings and outcomes.
        page.get_by_role("columnheader", name=pixels).first.wait_for()
        page.get_by_text(best.info.run_name, exact=True).first.wait_for()
        heads = page.locator("[role=columnheader]").all_inner_texts()
        settings = {"data.labels", "loss.lambda", "model.latent_size", "training.warmup"}
        assert settings | {"outcome", pixels, "val/relation_accuracy_encoded"} <= set(heads)
        links = page.get_by_text(re.compile(r"^trial \d+$")).all()
        boxes = {link.inner_text(): link.bounding_box() for link in links}
        tops = {name: box["y"] for name, box in boxes.items() if box is not None}
        scores = {run.info.run_name: run.data.metrics[pixels] for run in finished.children}
        # Trials of 30 steps may have equal scores.
        assert [scores[name] for name in sorted(tops, key=tops.__getitem__)] == sorted(
            scores.values(), reverse=True
        )
        page.screenshot(path=tmp_path / "runs.png")
        # The pictures of the best trials stand side by side.
        page.goto(f"{link}&compareRunsMode=CHART")
        page.get_by_text("manipulation", exact=True).filter(visible=True).first.wait_for()
        complete = sum(run.data.tags["outcome"] == "complete" for run in finished.children)
        # The page replaces its images while it loads: no handle of one is kept.
        page.wait_for_function(_LOADED, arg=complete)
        page.get_by_text(pixels, exact=True).filter(visible=True).first.wait_for()
        page.screenshot(path=tmp_path / "charts.png")
        page.goto(f"{link.partition('?')[0]}/{pictures}")
        picture = page.locator("img[src^='blob:'], img[src*='manipulation.png']").first
        picture.wait_for()
        page.wait_for_function("(image) => image.naturalWidth > 0", arg=picture.element_handle())
        page.screenshot(path=tmp_path / "pictures.png")
        page.goto(f"http://127.0.0.1:{ports[1]}/dashboard/")
        page.get_by_text("small", exact=False).first.wait_for()
        number = int(finished.best.data.tags["trial_id"])
        page.goto(f"http://127.0.0.1:{ports[1]}/dashboard/studies/1/trials?numbers={number}")
        page.get_by_role("heading", name=f"Trial {number} ").wait_for()
        shown_run = page.get_by_role("link", name="Run in MLflow").get_attribute("href")
        assert shown_run == f"http://127.0.0.1:5000/#/experiments/1/runs/{best.info.run_id}"
        page.screenshot(path=tmp_path / "optuna.png")
        browser.close()
    shown = ("runs", "charts", "pictures", "optuna")
    assert all((tmp_path / f"{name}.png").stat().st_size for name in shown)
