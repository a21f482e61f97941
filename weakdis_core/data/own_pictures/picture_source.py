"""The interface of pictures in a file or in several."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Advance = Callable[[int], None]


class PictureSource(ABC):
    """Pictures in a fixed order.

    Attributes:
        files: The files that hold them.
    """

    files: list[Path]

    @property
    @abstractmethod
    def count(self) -> int:
        """Number of pictures."""

    @property
    def names(self) -> list[str] | None:
        """Name of each picture in the labels' column `file`; None if pictures have none."""
        return None

    @abstractmethod
    def read(
        self, rows: NDArray[np.int64], channels: int, size: int, advance: Advance | None = None
    ) -> NDArray[np.uint8]:
        """Read pictures, in any order, as `(n, channels, size, size)`.

        Raises:
            UserError: A picture cannot be read.
        """

    def fingerprint(self) -> str:
        """Return a digest of the files' names, sizes and times, which an edit changes."""
        seen = [(str(each), each.stat().st_size, each.stat().st_mtime_ns) for each in self.files]
        return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]

    def digest(self) -> str:
        """Return a digest of the files' names and contents."""
        total = hashlib.sha256()
        for name, file in zip(self.names or [""] * len(self.files), self.files, strict=True):
            with file.open("rb") as opened:
                total.update(name.encode() + hashlib.file_digest(opened, "sha256").digest())
        return total.hexdigest()[:16]
