"""The pictures that a run left in MLflow, small enough for a page."""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from PIL import Image

from weakdis_core.pictures import CAPTIONS, FOLDER

BUDGET = 3_000_000
"""Bytes of all the pictures of a page."""

_QUALITY = 82


@dataclass(frozen=True)
class Picture:
    """A picture in a page.

    Attributes:
        name: Name of its file, without its kind.
        caption: What it shows.
        data: Its content as an address that needs no network; empty where the budget was used up.
        width: Pixels.
        height: Pixels.
    """

    name: str
    caption: str
    data: str
    width: int
    height: int

    @property
    def title(self) -> str:
        """Its name in words."""
        return self.name.replace("_", " ").capitalize()


def read_pictures(client: MlflowClient, run_id: str) -> list[Picture]:
    """The pictures of a run, in the order in which they are explained.

    Args:
        client: The store.
        run_id: The run; one without pictures has none.
    """
    with tempfile.TemporaryDirectory() as folder:
        names = [each.path for each in client.list_artifacts(run_id, FOLDER)]
        files = [
            Path(client.download_artifacts(run_id, name, folder))
            for name in names
            if name.endswith(".png")
        ]
        known = {name: place for place, name in enumerate(CAPTIONS)}
        files.sort(key=lambda file: (known.get(file.stem, len(known)), file.stem))
        return list(embedded(files))


def embedded(files: Iterable[Path], budget: int = BUDGET) -> Iterable[Picture]:
    """Pictures as parts of a page.

    Args:
        files: The pictures.
        budget: Bytes of all together; those beyond it are named without their content.
    """
    for file in files:
        with Image.open(file) as image:
            # Not every way of writing the same picture is the smallest.
            content = min(_as_webp(image), file.read_bytes(), key=len)
            width, height = image.size
        kind = "png" if content.startswith(b"\x89PNG") else "webp"
        text = base64.b64encode(content).decode()
        data = f"data:image/{kind};base64,{text}" if len(text) <= budget else ""
        budget -= len(data)
        yield Picture(file.stem, CAPTIONS.get(file.stem, ""), data, width, height)


def _as_webp(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.convert("RGB").save(content, "WEBP", quality=_QUALITY, method=4)
    return content.getvalue()
