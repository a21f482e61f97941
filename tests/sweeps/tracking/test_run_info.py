"""Where a run comes from: the commit of the code, and of no other."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sweeps.tracking import run_info


def git(folder: Path, *words: str) -> str:
    name = ["-c", "user.name=a", "-c", "user.email=a@b"]
    call = ["git", *name, *words]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another repository, in whose ignored folder the code lies."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / ".gitignore").write_text("lib/\n")
    git(tmp_path, "add", ".gitignore")
    git(tmp_path, "commit", "--quiet", "--message", "another")
    own = tmp_path / "lib" / "run_info.py"
    own.parent.mkdir()
    shutil.copy(run_info.__file__, own)
    monkeypatch.setattr(run_info, "__file__", str(own))
    run_info.git_commit.cache_clear()
    return tmp_path


def test_the_commit_is_that_of_the_code(repository: Path) -> None:
    git(repository, "add", "--force", "lib")
    git(repository, "commit", "--quiet", "--message", "code")
    head = git(repository, "rev-parse", "HEAD")
    assert run_info.git_commit() == head
    run_info.git_commit.cache_clear()
    (repository / ".gitignore").write_text("changed")
    assert run_info.git_commit() == f"{head}-dirty"


def test_installed_code_has_not_the_commit_of_a_repository_around_it(repository: Path) -> None:
    assert run_info.git_commit() == "unknown"


def test_code_outside_every_repository_has_no_commit(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(repository / ".git")
    assert run_info.git_commit() == "unknown"
    run_info.git_commit.cache_clear()
    monkeypatch.setenv("PATH", "/nowhere")
    assert run_info.git_commit() == "unknown"


@pytest.fixture(autouse=True)
def fresh() -> None:
    """The commit is looked up once a process: again in the next test."""
    run_info.git_commit.cache_clear()
