"""Several programs open a new database at once, or one is killed while it creates the tables."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path

import optuna
import pytest

from sweeps.state.study import open_storage
from sweeps.tracking.experiments import open_experiment
from tests.patience import PATIENCE
from tests.sweeps.support.services import Postgres

SPAWN = multiprocessing.get_context("spawn")
PROGRAMS = 2

pytestmark = pytest.mark.slow


def open_mlflow(address: str, name: str) -> None:
    open_experiment(address, "dsprites_v2", name)


def open_optuna(address: str, name: str) -> None:
    optuna.create_study(storage=open_storage(Path(), address), study_name=name)


def open_together(barrier: Barrier, addresses: tuple[str, str], name: str) -> None:
    """Open both databases when the other programs do, and again when they have tables."""
    openings: tuple[Callable[[str, str], None], ...] = (open_mlflow, open_optuna)
    for opening, address in zip(openings, addresses, strict=True):
        barrier.wait(PATIENCE)
        opening(address, name)
        opening(address, f"{name}-later")


def run_together(*addresses: str) -> list[int | None]:
    """Return the exit codes of programs that open the same new databases."""
    barrier = SPAWN.Barrier(PROGRAMS)
    programs = [
        SPAWN.Process(target=open_together, args=(barrier, addresses, f"sweep-{number}"))
        for number in range(PROGRAMS)
    ]
    for program in programs:
        program.start()
    for program in programs:
        program.join(PATIENCE)
    return [program.exitcode for program in programs]


def test_programs_may_open_new_files_at_once(tmp_path: Path) -> None:
    addresses = (f"sqlite:///{tmp_path}/mlflow.db", f"sqlite:///{tmp_path}/studies.db")
    assert run_together(*addresses) == [0] * PROGRAMS


@pytest.mark.needs_command("initdb", "postgresql")
def test_programs_may_open_new_databases_of_a_server_at_once() -> None:
    with Postgres() as server:
        assert run_together(server.add("mlflow"), server.add("studies")) == [0] * PROGRAMS


def test_a_program_killed_while_it_creates_tables_leaves_no_database(tmp_path: Path) -> None:
    file, partial = tmp_path / "mlflow.db", tmp_path / "mlflow.db.partial"
    program = SPAWN.Process(target=open_mlflow, args=(f"sqlite:///{file}", "killed"))
    program.start()
    deadline = time.monotonic() + PATIENCE
    while not partial.exists() or not partial.stat().st_size:
        assert program.exitcode is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    program.kill()
    program.join(PATIENCE)
    assert program.exitcode == -signal.SIGKILL
    assert not file.exists()
    open_mlflow(f"sqlite:///{file}", "later")
    assert file.exists()
    assert not partial.exists()


@pytest.mark.parametrize(
    ("name", "address"), [("a b.db", "a%20b.db"), ("plain.db", "plain.db?timeout=20")]
)
def test_an_address_may_have_options_and_an_encoded_path(
    tmp_path: Path, name: str, address: str
) -> None:
    for study in ("first", "second"):
        open_optuna(f"sqlite:///{tmp_path}/{address}", study)
    assert {file.name for file in tmp_path.iterdir()} == {name, f"{name}.lock"}
