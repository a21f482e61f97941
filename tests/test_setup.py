"""The set-up: what is pinned, what make promises, what CI does not let pass."""

from __future__ import annotations

import importlib
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

from sweeps.cli import weakdis
from weakdis_core.version import CODE_VERSION

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
WITHOUT_POSIX = """
import importlib, os, pkgutil, signal, sys
for name in ("fcntl", "grp", "pwd", "resource", "termios", "tty", "pty", "syslog"):
    sys.modules[name] = None
for name in ("killpg", "sched_getaffinity", "setsid", "O_DIRECTORY"):
    delattr(os, name)
for name in ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU"):
    delattr(signal, name)
import analysis, weakdis_core
for package in (weakdis_core, analysis):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
analysis.commands.table1()
from sweeps.run import run
sys.platform = "win32"
run(["--variant", "dsprites_v2"])
"""
LOADED = """
import sys
from sweeps.cli.weakdis import run
for words in (["--help"], ["--version"], ["sweep", "--help"]):
    sys.argv = ["weakdis", *words]
    try:
        run()
    except SystemExit:
        pass
print(*sys.modules, file=sys.stderr)
"""
ENTRIES = {
    "weakdis": ["-m", "sweeps.cli.weakdis", "data", "list"],
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


@pytest.mark.slow
def test_windows_has_everything_but_sweeps(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": ""}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_POSIX],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "| Variant" in done.stdout, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.endswith(
        "platform: Windows is not allowed: sweeps run on Linux and macOS; use WSL2"
    )


def test_the_command_and_its_help_load_quickly() -> None:
    environment = os.environ | {"COLUMNS": "80"}
    done = subprocess.run(
        [sys.executable, "-c", LOADED],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert not {"torch", "ray", "mlflow", "optuna", "scipy", "matplotlib"} & set(
        done.stderr.split()
    )
    assert f"\nweakdis {CODE_VERSION}." in done.stdout
    for words in ("weakdis tables compare", "manipulate  ", "budget options", "resource options"):
        assert words in done.stdout
    assert "None" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_all_commands_lead_to_functions() -> None:
    targets = [*PROJECT["scripts"].values()]
    targets += [command.target for group in weakdis.COMMANDS.values() for command in group.values()]
    for target in targets:
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


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
