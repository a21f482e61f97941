"""Many pictures: they are prepared in a stream, in little memory."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

PICTURES, CHUNK, SIDE = 100_000, 1_000, 48
LIMIT = 1_000_000
"""Resident memory in kB: 1 GB, with Python and torch."""


@pytest.mark.large
def test_100_000_pictures_need_less_than_a_gigabyte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEAKDIS_CACHE", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    with h5py.File(tmp_path / "many.h5", "w") as file:
        shape = (PICTURES, SIDE, SIDE, 3)
        images = file.create_dataset("images", shape, "uint8", chunks=(CHUNK, SIDE, SIDE, 3))
        for first in range(0, PICTURES, CHUNK):
            images[first : first + CHUNK] = random.integers(0, 256, (CHUNK, SIDE, SIDE, 3), "uint8")
        file["labels"] = random.integers(0, 4, (PICTURES, 2))
    address = f"{tmp_path / 'many.h5'}:"
    words = ["data", "add", "many", "--images", f"{address}images", "--labels", f"{address}labels"]
    done = subprocess.run(
        [sys.executable, "-m", "weakdis_core", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "100,000 pictures" in done.stdout
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < LIMIT
