from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from weakdis_core.data.variants import VARIANTS
from weakdis_core.paper import PAPER, load


def test_table1_equals_the_papers() -> None:
    rows = {
        row.variant: (
            row.previous_work.accuracy,
            row.previous_work.labels,
            row.this_work.accuracy,
            row.this_work.labels,
        )
        for row in load().table1
    }
    assert rows == {
        "dsprites_v2": (0.592, 270, 0.724, 1000),
        "dsprites_v3": (0.571, 1350, 0.751, 1000),
        "dsprites_v4": (0.491, 10800, 0.685, 1000),
        "shapes3d_v2": (0.275, 400, 0.690, 1000),
        "shapes3d_v3": (0.220, 1200, 0.653, 1000),
        "shapes3d_v5": (0.124, 12000, 0.633, 1000),
    }


def test_combinations_match_the_variants() -> None:
    quoted = {row.variant: row.combinations for row in load().table1}
    assert quoted == {name: VARIANTS[name].n_combinations for name in quoted}


def test_table2_equals_the_papers() -> None:
    ours = load().table2[-1]
    assert (ours.dsprites.dci, ours.dsprites.mig, ours.dsprites.sap) == (0.9732, 0.9721, 0.7877)
    assert (ours.shapes3d.dci, ours.shapes3d.mig, ours.shapes3d.sap) == (0.7056, 0.6919, 0.5511)
    assert len(load().table2) == 4


def test_citations_name_authors_and_arxiv() -> None:
    published = load()
    assert published.cite() == "Valenti and Bacciu (2022), arXiv:2209.05336"
    assert published.references["locatello2019few"].cite().startswith("Locatello et al. (2019)")


def broken(change: str, tmp_path: Path) -> Path:
    content: dict[str, Any] = yaml.safe_load(PAPER.read_text(encoding="utf-8"))
    match change:
        case "accuracy above 1":
            content["table1"][0]["this_work"]["accuracy"] = 72.4
        case "unknown name":
            content["table1"][0]["accurracy"] = 0.5
        case "variant twice":
            content["table1"].append(content["table1"][0])
        case "unknown reference":
            content["table2"][0]["reference"] = "nobody2020"
    path = tmp_path / "published.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("accuracy above 1", "less than or equal to 1"),
        ("unknown name", "accurracy"),
        ("variant twice", "names a variant twice"),
        ("unknown reference", "nobody2020"),
    ],
)
def test_mistakes_in_the_file_are_refused(change: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=message):
        load(broken(change, tmp_path))
