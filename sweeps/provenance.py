"""Where a run comes from: code, libraries, data and seed, as tags."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weakdis_core.config import Config
from weakdis_core.version import CODE_VERSION

_LIBRARIES = ("weakdis", "torch", "ray", "optuna", "mlflow", "numpy", "scikit-learn")


@dataclass(frozen=True)
class SweepRun:
    """What the runs of a sweep have in common.

    Attributes:
        name: Name of the sweep.
        base: Settings that its trials share.
        tags: Tags of the parent and of every child.
        params: Params of the parent: what was searched and how.
        dataset: The images, as `sweeps.datasets.training_images` describes them.
        description: What is searched and how, in words.
    """

    name: str
    base: Config
    tags: dict[str, str]
    params: dict[str, Any]
    dataset: dict[str, str] = field(default_factory=dict)
    description: str = ""


def common_tags(config: Config, source: str) -> dict[str, str]:
    """Tags of every run: variant, data source, seed, commit, versions of core and libraries."""
    versions = {f"version.{name}": importlib.metadata.version(name) for name in _LIBRARIES}
    return {
        "variant": config.data.variant,
        "data.source": source,
        "seed": str(config.seed),
        "git_commit": git_commit(),
        "version.core": str(CODE_VERSION),
        "version.python": platform.python_version(),
        **versions,
    }


@functools.cache
def git_commit() -> str:
    """The commit of the code that runs, with `-dirty` where it was changed; else `unknown`."""
    here = Path(__file__).parent
    call = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(call, cwd=here, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() or "unknown"
