"""The identity of a trained run: runs with equal keys have equal scores."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from typing import NamedTuple

from weakdis_core.config.config import Config
from weakdis_core.version import CODE_VERSION


class Versions(NamedTuple):
    """The code versions that scores depend on."""

    code: int
    scikit_learn: str

    @classmethod
    def here(cls) -> Versions:
        """Return the versions of the running process."""
        return cls(CODE_VERSION, version("scikit-learn"))


class RunKey(NamedTuple):
    """The identity of a trained run.

    Attributes:
        config: Hash of the settings (with the data source, without seed and runtime).
        seed: The training seed.
        source: Source of the images: official or rendered.
        versions: Versions of the core and of scikit-learn.
    """

    config: str
    seed: int
    source: str
    versions: Versions

    @classmethod
    def of(cls, config: Config, versions: Versions | None = None) -> RunKey:
        """Return the key of settings with a resolved data source.

        `versions` defaults to those of this process.
        """
        return cls(config.hash(), config.seed, config.data.source, versions or Versions.here())

    @property
    def run_id(self) -> str:
        """Ten hex digits that name the run in `results/runs.csv`."""
        return hashlib.sha256(repr(tuple(self)).encode()).hexdigest()[:10]
