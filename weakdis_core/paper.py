"""The numbers that the paper published (`paper.yaml`), validated."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

Score = Annotated[float, Field(ge=0, le=1)]

PAPER = Path(__file__).with_name("paper.yaml")

DATA_SETS = {"dsprites": "dsprites_v4", "shapes3d": "shapes3d_v5"}
"""Data sets of the paper's Table 2, and the variant we compare with each (the paper names none)."""


class _Record(BaseModel):
    """Base class of the records: immutable, and unknown names are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Reference(_Record):
    """A publication."""

    title: str
    authors: tuple[str, ...] = Field(min_length=1)
    year: int = Field(ge=1900)
    arxiv: str = Field(pattern=r"^\d{4}\.\d{4,5}$")
    """arXiv identifier."""

    def cite(self) -> str:
        """Return a citation, such as `Valenti and Bacciu (2022), arXiv:2209.05336`."""
        surnames = [author.split()[-1] for author in self.authors]
        many = len(surnames) > 2
        names = f"{surnames[0]} et al." if many else " and ".join(surnames)
        return f"{names} ({self.year}), arXiv:{self.arxiv}"


class LabelledAccuracy(_Record):
    """A relation accuracy and the number of labels that the model used."""

    accuracy: Score
    labels: int = Field(gt=0)


class AccuracyRow(_Record):
    """A row of Table 1."""

    variant: str
    combinations: int = Field(gt=0)
    """Combinations of factor values."""
    previous_work: LabelledAccuracy
    """The earlier, non-modular model."""
    this_work: LabelledAccuracy
    """The paper's modular representations."""


class Scores(_Record):
    """Disentanglement scores on one data set."""

    dci: Score
    mig: Score
    sap: Score


class ScoresRow(_Record):
    """A row of Table 2."""

    method: str
    reference: str
    """Key of the method's reference."""
    dsprites: Scores
    shapes3d: Scores


class Published(_Record):
    """All numbers quoted from the paper."""

    references: dict[str, Reference]
    source: str
    """Key of the reference of the paper itself."""
    table1: tuple[AccuracyRow, ...]
    table2: tuple[ScoresRow, ...]

    @model_validator(mode="after")
    def _consistent(self) -> Published:
        unknown = {self.source, *(row.reference for row in self.table2)} - set(self.references)
        if unknown:
            raise ValueError(f"no such reference: {', '.join(sorted(unknown))}")
        variants = [row.variant for row in self.table1]
        if len(variants) != len(set(variants)):
            raise ValueError("table1 names a variant twice")
        return self

    def cite(self) -> str:
        """Return the citation of the paper."""
        return self.references[self.source].cite()


def load(path: Path = PAPER) -> Published:
    """Load the published numbers.

    Raises:
        pydantic.ValidationError: The file does not follow the schema above.
    """
    return Published.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
