"""The resources of trials, the start of Ray, and the signals and the time that stop a sweep."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from sweeps.budget import ENDING, Budget, Interruption
from sweeps.cluster.allotment import Allotment
from sweeps.cluster.nodes import largest_resources
from sweeps.cluster.ray_cluster import ALLOCATOR, cluster, explain_wait
from sweeps.sweep_settings import SweepSettings
from tests.patience import PATIENCE
from weakdis_core.errors import UserError

ROOT = Path(__file__).parents[3]


def settings(**flags: Any) -> SweepSettings:
    return SweepSettings(variant="dsprites_v2", **flags)


@pytest.mark.parametrize(
    ("flags", "available", "expected"),
    [
        ({}, {"CPU": 2.0}, Allotment(1.0, 0.0, 2)),
        ({}, {"CPU": 16.0, "GPU": 1.0}, Allotment(1.0, 0.25, 4)),
        ({}, {"CPU": 8.0, "GPU": 4.0}, Allotment(0.5, 0.25, 16)),
        ({"gpus_per_trial": 0.0}, {"CPU": 4.0, "GPU": 1.0}, Allotment(1.0, 0.0, 4)),
        ({"gpus_per_trial": 1.0}, {"CPU": 8.0, "GPU": 2.0}, Allotment(1.0, 1.0, 2)),
        ({"cpus_per_trial": 2.0}, {"CPU": 8.0}, Allotment(2.0, 0.0, 4)),
        ({"max_concurrent": 3}, {"CPU": 8.0}, Allotment(1.0, 0.0, 3)),
        ({"max_concurrent": 30}, {"CPU": 8.0}, Allotment(1.0, 0.0, 8)),
        ({"gpus_per_trial": 0.1}, {"CPU": 64.0, "GPU": 1.0}, Allotment(1.0, 0.1, 10)),
    ],
)
def test_resources_are_divided_between_trials(
    flags: dict[str, Any], available: dict[str, float], expected: Allotment
) -> None:
    assert settings(**flags).allot(available) == expected


def test_a_growing_cluster_has_room_for_the_trials_asked_for() -> None:
    asked = settings(gpus_per_trial=0.25, max_concurrent=32)
    with pytest.raises(UserError, match=r"gpus_per_trial: 0\.25 is not allowed"):
        asked.allot({"CPU": 2.0})
    assert asked.allot({"CPU": 2.0}, grows=True) == Allotment(1.0, 0.25, 32)
    # Without --max-concurrent only the machines that are there count.
    assert settings().allot({"CPU": 2.0}, grows=True) == Allotment(1.0, 0.0, 2)


def test_resources_include_machines_that_may_still_start(tmp_path: Path) -> None:
    file = tmp_path / "bootstrap.yaml"
    file.write_text((ROOT / "cluster.yaml").read_text())
    # Eight machines in all, of any kind; the head runs no trials.
    assert largest_resources({"CPU": 0.0, "memory": 5.0}, file) == {
        "CPU": 32.0,
        "GPU": 8.0,
        "memory": 5.0,
    }
    assert settings().allot(largest_resources({}, file)) == Allotment(1.0, 0.25, 32)
    assert largest_resources({"CPU": 2.0}, tmp_path / "none") == {"CPU": 2.0}


@pytest.mark.parametrize(
    ("content", "cpus"), [("# für später".encode(), 3.0), (b"# f\xfcr sp\xe4ter", 1.0)]
)
def test_a_cluster_file_is_read_the_same_in_every_locale(
    content: bytes, cpus: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(io, "text_encoding", lambda given, *_: given or "ascii")
    file = tmp_path / "cluster.yaml"
    kind = b"{head_node_type: head, available_node_types: {head: {resources: {CPU: 3}}}} "
    file.write_bytes(kind + content)
    assert largest_resources({"CPU": 1.0}, file) == {"CPU": cpus}


def test_more_gpus_than_there_are_are_refused() -> None:
    with pytest.raises(UserError, match=r"gpus_per_trial: 0\.5 is not allowed: there are 0 GPUs"):
        settings(gpus_per_trial=0.5).allot({"CPU": 2.0})


def test_more_cpus_than_there_are_are_refused() -> None:
    with pytest.raises(UserError, match="cpus_per_trial: 3 is not allowed: there are 2 CPUs"):
        settings(cpus_per_trial=3.0).allot({"CPU": 2.0})


def test_an_address_where_nothing_listens_is_refused_at_once() -> None:
    with socket.socket() as taken:
        # Bound but not listening: connections are refused.
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        refused = pytest.raises(UserError, match=f"address: '{address}' is not allowed: no Ray")
        with refused, cluster(address):
            raise AssertionError("joined a cluster")


def test_a_ray_that_does_not_start_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/dev/null/nowhere")
    # In a process of its own, in which Ray does not run yet.
    script = "from sweeps.cluster.ray_cluster import cluster\nwith cluster('local'): pass"
    call = [sys.executable, "-c", script]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].startswith(
        "weakdis_core.errors.UserError: address: Ray did not start on this machine (["
    )


@pytest.mark.slow
def test_trials_get_the_allocator_settings(resources: dict[str, float]) -> None:
    import ray

    @ray.remote
    def environment() -> dict[str, str]:
        return dict(os.environ)

    found = ray.get(environment.remote())
    assert found.items() >= ALLOCATOR.items()


def test_a_long_wait_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with explain_wait("nothing", seconds=60.0):
        pass
    with explain_wait("a lock", seconds=0.0):
        for timer in threading.enumerate():
            if isinstance(timer, threading.Timer):
                timer.join(PATIENCE)
    assert capsys.readouterr().err == "waiting for a lock, for 0 seconds so far\n"


def test_uv_run_does_not_change_the_environment_of_trials() -> None:
    """Ray looks for a parent process called `uv run` when it is imported."""
    script = (
        "import sweeps, ray._private.ray_constants as c; print(c.RAY_ENABLE_UV_RUN_RUNTIME_ENV)"
    )
    call = [sys.executable, "-c", script]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_ENABLE_UV")}
    done = subprocess.run(
        call, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_a_signal_raises_and_sets_the_exit_code() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interruption() as interruption:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert interruption.exit_code == 130
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("number", ENDING)
def test_every_signal_that_ends_a_program_interrupts(number: signal.Signals) -> None:
    # A test that runs in the background may ignore it.
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with Interruption() as interruption:
            # Tune replaces the handler of SIGUSR1 when it starts.
            signal.signal(number, lambda *_: None)
            interruption.session_started()
            with interruption.deferred():
                signal.raise_signal(number)
            assert interruption.signal == number
            assert interruption.exit_code == 128 + number
    finally:
        signal.signal(number, before)


def test_all_signals_that_end_a_program_are_listed() -> None:
    """Send each signal to a process to see whether its default action ends it."""
    faults = {"ILL", "TRAP", "ABRT", "BUS", "FPE", "SEGV", "SYS", "KILL", "PIPE", "XFSZ"}
    script = (
        "import os, signal, sys; signal.signal(int(sys.argv[1]), signal.SIG_DFL); "
        "os.kill(os.getpid(), int(sys.argv[1]))"
    )
    others = [
        each for each in signal.Signals
        if each.name.removeprefix("SIG") not in faults | {"STOP", "TSTP", "TTIN", "TTOU"}
        and not each.name.startswith("SIGRT")
    ]  # fmt: skip
    ended = {
        each for each in others
        if subprocess.run([sys.executable, "-S", "-c", script, str(each.value)], check=False)
        .returncode == -each
    }  # fmt: skip
    assert ended == set(ENDING)


@pytest.mark.parametrize(
    ("number", "stays"), [(signal.SIGHUP, True), (signal.SIGUSR2, True), (signal.SIGTERM, False)]
)
def test_an_ignored_signal_stays_ignored(number: signal.Signals, stays: bool) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with Interruption() as interruption, interruption.deferred():
            signal.raise_signal(number)
            assert (interruption.signal is None) == stays
    finally:
        signal.signal(number, before)


def test_the_first_deferred_signal_is_recorded_and_the_second_raises() -> None:
    with Interruption() as interruption, interruption.deferred():
        budget = Budget(60, interruption)
        assert not budget.stop_all()
        signal.raise_signal(signal.SIGTERM)
        assert budget.stop_all()
        assert interruption.exit_code == 143
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_budget_stops_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = Budget(60, Interruption())
    budget.start()
    assert not budget.stop_all()
    later = time.monotonic() + 60
    monkeypatch.setattr("sweeps.budget.time.monotonic", lambda: later)
    assert budget.stop_all()
    assert not budget("trial", {})
