"""What a user asks of the reproduction: every flag of `python -m reproduction`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field
from tyro.conf import FlagCreatePairsOff, Positional

from weakdis_core.errors import UserError
from weakdis_core.settings import Settings, Source, VariantName

SetName = Literal["models", "baselines", "ablation", "labels", "controls"]


class Reproduction(Settings):
    """Train what the tables of docs/results.md still miss.

    models: six variants, five seeds. baselines: the previous work's model. ablation: each addition
    taken out alone. labels: 30 to 3000 of them. controls: what must be at chance.
    """

    parts: Positional[tuple[SetName, ...]] = ()
    """Which of them."""
    plan: Annotated[bool, FlagCreatePairsOff] = False
    """Print what is missing and its core-hours, and stop."""
    variants: Annotated[tuple[VariantName, ...] | None, Field(min_length=1)] = None
    """Only these variants (default: all six)."""
    seeds: Annotated[tuple[int, ...] | None, Field(min_length=1)] = None
    """Only these of a set's training seeds (default: all; 11 to 15 of the models, 11 to 13 of the
    others, or 11 alone)."""
    max_concurrent: Annotated[int | None, Field(ge=1, le=10_000)] = None
    """Most models trained at once (default: one a core; with GPUs, as many as have their share)."""
    gpus_per_trial: Annotated[float | None, Field(ge=0, le=1)] = None
    """A model's share of a GPU (default: a quarter where there are GPUs); 0 trains on the CPU."""
    address: str | None = None
    """Ray cluster to run on (`auto` on its head node); default: this machine."""
    results: Path = Path("results")
    """Folder of runs.csv and scores.csv."""
    data_dir: Path | None = None
    """Folder of the official files."""
    data_source: Source = "auto"
    """Official files, our own rendering, or official where the files are present (auto)."""

    @property
    def sets(self) -> tuple[SetName, ...]:
        """The sets to train, each once.

        Raises:
            UserError: No part is named.
        """
        if not self.parts:
            raise UserError("parts: none given; say models, baselines, ablation, labels, controls")
        return tuple(dict.fromkeys(self.parts))

    def variant_names(self) -> tuple[VariantName, ...]:
        """The variants to train."""
        return self.variants or get_args(VariantName)
