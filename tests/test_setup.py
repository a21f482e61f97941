"""The set-up: what is pinned, what make promises, what CI does not let pass."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): pin for name, pin in pins}


def test_every_dependency_is_pinned_within_its_range() -> None:
    pins = locked()
    wanted = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
    for requirement in map(Requirement, wanted):
        pin = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pin), f"{requirement} against {pin}"


def test_the_lock_names_no_local_build() -> None:
    assert [name for name, pin in locked().items() if "+" in pin] == []


def test_what_is_installed_is_what_is_locked() -> None:
    installed = {name: version(name).partition("+")[0] for name in locked()}
    assert installed == locked()


def test_packages_are_listed_and_there() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in ("weakdis_core", "sweeps", "analysis")
        for path in (ROOT / package).rglob("__init__.py")
    }
    assert set(settings["packages"]) == found


def test_make_clean_keeps_what_the_user_made(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    (tmp_path / "requirements.lock").write_text("")
    kept = ["mlflow.db", "mlruns/0/model", "runs/sweep/checkpoint", "sweeps/run.py"]
    removed = [".venv/project", ".mypy_cache/x", "sweeps/__pycache__/run.pyc"]
    for name in (*kept, *removed):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for folder in ("weakdis_core", "analysis", "benchmarks", "tests"):
        (tmp_path / folder).mkdir()
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True)
    assert all((tmp_path / name).exists() for name in kept)
    assert not any((tmp_path / name).exists() for name in removed)


def make_plan(folder: Path) -> str:
    command = ["make", "--dry-run", "lint"]
    # Run by `make test`, this make would take itself for a part of that one and say so.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    result = subprocess.run(
        command, cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    return result.stdout


def test_make_installs_when_the_lock_changed_and_only_then(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    (tmp_path / "pyproject.toml").touch()
    lock = tmp_path / "requirements.lock"
    lock.write_text("torch==2.13.0\n")
    half_made = tmp_path / ".venv/bin"
    half_made.mkdir(parents=True)
    assert "venv --clear .venv" in make_plan(tmp_path)
    stamp = next(line for line in make_plan(tmp_path).splitlines() if "touch .venv/lock" in line)
    (tmp_path / stamp.split()[1]).touch()
    (tmp_path / ".venv/project").touch()
    assert "pip install" not in make_plan(tmp_path)
    lock.touch()
    assert "pip install" not in make_plan(tmp_path)
    lock.write_text("torch==2.14.0\n")
    assert "-r requirements.lock" in make_plan(tmp_path)


WITHOUT_PASSWD = """
import pwd

def getpwuid(uid):
    raise KeyError(uid)

pwd.getpwuid = getpwuid
"""
ENTRIES = {
    "weakdis_core": ["-m", "weakdis_core", "data", "list"],
    "analysis": ["-m", "analysis", "table1"],
    "ui": ["-m", "sweeps.cli.ui", "--sweep", "none"],
    "run": ["sweeps/run.py", "--list"],
}


@pytest.mark.slow
@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_point_needs_a_home_folder(entry: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_PASSWD)
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "WEAKDIS_STORAGE": str(tmp_path)}
    environment.pop("HOME", None)

    def call(**more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *ENTRIES[entry]]
        return subprocess.run(
            command, cwd=ROOT, env=environment | more, capture_output=True, text=True, check=False
        )

    done = call()
    assert done.returncode == 2
    assert re.fullmatch("error: HOME: .+\n", done.stderr)
    done = call(HOME=str(tmp_path))
    assert done.returncode == (2 if entry == "ui" else 0)
    assert "HOME" not in done.stderr
    assert "Traceback" not in done.stderr


TESTS = """
import pytest

@pytest.mark.slow
def test_slow(): pass

@pytest.mark.needs_command("no-such-program", "no-such-package")
def test_program(): pass

def test_fast(): pass
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest((ROOT / "tests/conftest.py").read_text())
    pytester.makeini("[pytest]\nmarkers = slow\n    needs_command(name, package)")
    pytester.makepyfile(TESTS)
    return pytester


def test_fast_tests_run_first(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    result = project.runpytest_inprocess("-v")
    result.stdout.fnmatch_lines(
        ["*test_program SKIPPED*", "*test_fast PASSED*", "*test_slow PASS*"]
    )


def test_ci_does_not_skip_what_a_missing_program_needs(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    result = project.runpytest_inprocess()
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*needs no-such-program (Debian package no-such-package; *)*"])
