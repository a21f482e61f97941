"""The report: known answers, marks, and what is never averaged in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.disentanglement_table import Ceiling, table2
from analysis.runs import COLUMNS
from reproduction import ablations, cells, studies, tables
from reproduction.evidence import Evidence
from reproduction.report import write_report
from reproduction.rows import Results, Stored, Versions
from tests.reproduction.made_up import HERE, stored, together
from weakdis_core.paper import DATA_SETS, load

ROOT = Path(__file__).parents[2]
PAPER = load()
LATENT, PIXELS = "relation_accuracy_latent", "relation_accuracy_pixels"
OURS = cells.ours("dsprites_v4", "rendered")
# Mean 0.94, s = 0.0316228, t(0.975, 4) = 2.776445: half width 0.0392647.
FIVE = [0.90, 0.92, 0.94, 0.96, 0.98]


def of(table: pd.DataFrame, **where: str) -> dict[str, str]:
    rows = table
    for column, value in where.items():
        rows = rows[rows[column] == value]
    assert len(rows) == 1
    return {str(k): str(v) for k, v in rows.iloc[0].items()}


def latent(values: Sequence[float]) -> dict[str, Sequence[float]]:
    return {LATENT: values}


def test_table1_known_answer() -> None:
    table = tables.table1(Evidence(stored((OURS, latent(FIVE)))), "rendered", PAPER)
    row = of(table, Variant="dsprites_v4")
    assert row["Ours, 1000 labels"] == "0.940 ± 0.039"
    assert row["Modular, published (labels)"] == "0.685 (1000)"
    assert row["Previous work, published (labels)"] == "0.491 (10800)"
    assert of(table, Variant="dsprites_v2")["Ours, 1000 labels"] == "-"
    assert table["Variant"].tolist() == [quoted.variant for quoted in PAPER.table1]


def test_the_summary_has_the_published_numbers_and_ours() -> None:
    table = tables.summary(Evidence(stored((OURS, latent(FIVE)))), "rendered", PAPER)
    row = of(table, Variant="dsprites_v4")
    assert row["Paper (labels)"] == "0.685 (1000)"
    assert row["Previous work (labels)"] == "0.491 (10800)"
    assert (row["Latent"], row["Pixels"]) == ("0.940 ± 0.039", "-")


def test_the_documents_are_what_the_committed_results_say(tmp_path: Path) -> None:
    committed = Results(ROOT / "results").read()
    write_report(committed, tmp_path)
    document = (ROOT / "docs" / "results.md").read_text()
    assert document == (tmp_path / "results.md").read_text()
    summary = document.split("### Summary")[1].split("###")[0]
    rows = [line for line in summary.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 6
    assert "\n".join(rows) in (ROOT / "README.md").read_text()


def test_fewer_seeds_than_planned_are_preliminary() -> None:
    table = tables.table1(Evidence(stored((OURS, latent(FIVE[:3])))), "rendered", PAPER)
    assert of(table, Variant="dsprites_v4")["Ours, 1000 labels"] == "0.920 ± 0.050 ‡"
    table = tables.table1(Evidence(stored((OURS, latent(FIVE[:1])))), "rendered", PAPER)
    assert of(table, Variant="dsprites_v4")["Ours, 1000 labels"] == "0.900 ‡"


@pytest.mark.parametrize(
    "versions", [Versions(HERE.code - 1, HERE.scikit_learn), Versions(HERE.code, "0.99")]
)
def test_rows_of_other_versions_are_never_averaged_in(versions: Versions) -> None:
    now = stored((OURS, latent([0.5, 0.5])))
    past = stored((OURS, latent([0.9] * 5)), versions=versions)
    evidence = Evidence(together(past, now))
    assert evidence.left_out == 5
    assert evidence.interval(OURS, LATENT).n == 2
    assert evidence.interval(OURS, LATENT).value == 0.5
    np.testing.assert_array_equal(evidence.values(OURS, LATENT)[2:], math.nan)
    assert Evidence(together(past, now), versions).interval(OURS, LATENT).value == 0.9


def test_rows_of_other_settings_or_another_source_are_never_averaged_in() -> None:
    others = [
        tuple(
            cells.Cell(cell.name, cell.config.with_values(change), cell.disentanglement)
            for cell in OURS
        )
        for change in ({"loss.lambda": 0.9}, {"data.source": "official"}, {"data.labels": 999})
    ]
    every = together(*(stored((row, latent([0.1] * 5))) for row in others))
    evidence = Evidence(together(every, stored((OURS, latent([0.7])))))
    assert evidence.values(OURS, LATENT)[0] == 0.7
    assert evidence.interval(OURS, LATENT).n == 1
    assert Evidence(every).interval(OURS, LATENT).n == 0


def test_the_ablation_pairs_seeds() -> None:
    full = cells.ours("dsprites_v4", "rendered", cells.FEWER_SEEDS)
    less = ablations.changed(ablations.ABLATIONS[0], "rendered")["without ending phase"]
    rows = ((full, latent([0.9, 0.8, 0.7])), (less, latent([0.8, 0.7, 0.6])))
    table = studies.ablation(Evidence(stored(*rows)), "rendered", ablations.ABLATIONS[0])
    assert of(table, Model="ours")["Latent"] == "0.800 ± 0.248"
    assert of(table, Model="without ending phase")["Latent"] == "-0.100 ± 0.000"
    assert of(table, Model="without ending phase")["Seeds"] == "3"
    assert of(table, Model="without ending phase")["Pixels"] == "-"
    assert of(table, Model="with He initialisation")["Latent"] == "-"


def test_other_seeds_are_not_paired() -> None:
    full = cells.ours("dsprites_v4", "rendered", [1, 2, 4])
    less = ablations.changed(ablations.ABLATIONS[0], "rendered")["without ending phase"]
    with pytest.raises(ValueError, match="other seeds"):
        Evidence(stored()).difference(less, full, LATENT)


def test_table2_quotes_unchanged_and_marks_what_no_code_reaches() -> None:
    scores = {
        "mig_ceiling": [0.999] * 5,
        "sap_ceiling": [0.56] * 5,
        "mig_converted": FIVE,
        "dci_disentanglement_partition": FIVE,
    }
    evidence = Evidence(stored((OURS, scores)))
    table = tables.table2(evidence, "rendered", PAPER, "dsprites", Ceiling(1.0, 0.998, 0.6))
    quoted = of(table, Method="Modular representations (2022), published")
    assert quoted == {
        "Method": quoted["Method"],
        "DCI": "0.9732",
        "MIG": "0.9721",
        "SAP": "0.7877 †",
    }
    assert of(table, Method="Locatello et al. (2019), published")["SAP"] == "0.01"
    ours = of(table, Method="ours, codes converted to factor values")
    assert (ours["MIG"], ours["SAP"]) == ("0.940 ± 0.039", "-")
    assert of(table, Method="ours, raw codes by partition")["DCI"] == "0.940 ± 0.039"
    assert of(table, Method="perfect codes, same images as ours")["SAP"] == "0.560 ± 0.000"
    assert of(table, Method="perfect codes, mean over draws")["SAP"] == "0.600"
    assert of(table, Method="perfect codes, mean over draws")["DCI"] == "1.000"


def test_both_tables_mark_the_same_published_scores() -> None:
    best = {variant: Ceiling(1.0, 1.0, 0.58) for variant in DATA_SETS.values()}
    there = table2(pd.DataFrame(columns=list(COLUMNS)), PAPER, best)
    for family, variant in DATA_SETS.items():
        here = tables.table2(Evidence(stored()), "rendered", PAPER, family, best[variant])
        marked = there[there["data_set"].eq(family) & there["sap_above_ceiling"].eq(True)]
        quoted = [cell for cell in here["SAP"] if "†" in cell]
        assert quoted == [f"{sap:g} †" for sap in marked["sap"]]


def test_controls_stand_beside_their_chance() -> None:
    # 3 x 5 x 8 x 3 x 3 values; nine relations: shape once, the other four factors twice.
    every, one = studies.chance("dsprites_v4")
    assert every == pytest.approx(1 / 1080)
    assert one == pytest.approx((1 / 3 + 2 * (1 / 5 + 1 / 8 + 1 / 3 + 1 / 3)) / 9)
    row = cells.shuffled("dsprites_v4", "rendered")
    factors = {"shape": 0.33, "scale": 0.4, "orientation": 0.2, "posX": 0.9, "posY": 0.9}
    read = {f"factor_accuracy_{name}": [value] for name, value in factors.items()}
    table = studies.controls(Evidence(stored((row, read | latent([0.99])))), "rendered")
    shown = of(table, Variant="dsprites_v4", Control="labels shuffled")
    # Wilson, 99 of 100.
    assert (shown["Latent"], shown["Chance"]) == ("0.990 (0.946 to 0.998)", "0.0009")
    assert shown["Worst factor (chance)"] == "shape 0.330 (0.333)"
    assert of(table, Variant="dsprites_v4", Control="untrained")["Worst factor (chance)"] == "-"


def test_rows_of_a_gpu_are_named_and_cost_no_core_hours(tmp_path: Path) -> None:
    made = stored((OURS, latent(FIVE)))
    on_gpu = made.runs[1].model_copy(update={"device": "NVIDIA H200", "cpu_seconds": 9e9})
    write_report(Stored((made.runs[0], on_gpu, *made.runs[2:]), made.scores), tmp_path)
    text = (tmp_path / "results.md").read_text()
    assert "5 models, 0.1 core-hours" in text
    assert "Abacus (NVIDIA H200), Abacus (cpu x86_64)" in text
    assert "1 of them were trained on a GPU" in text
    assert f"not in the core-hours: {OURS[0].name}." in text


def test_the_report_is_whole_and_keeps_sources_apart(tmp_path: Path) -> None:
    official = cells.ours("dsprites_v4", "official")
    past = Versions(HERE.code - 1, HERE.scikit_learn)
    every = together(
        stored((OURS, latent(FIVE) | {"component_spread": [0.1] * 5}), (official, latent([0.3]))),
        stored((cells.ours("dsprites_v2", "rendered"), latent([0.11])), versions=past),
    )
    assert write_report(every, tmp_path) == f"written to {tmp_path / 'results.md'}"
    text = (tmp_path / "results.md").read_text()
    rendered, _, from_official = text.partition("## Official data")
    assert "0.940 ± 0.039" in rendered
    assert "0.300 ‡" not in rendered
    assert "0.300 ‡" in from_official
    assert "0.940" not in from_official
    assert "0.110" not in text
    assert "1 of another version of the core or of scikit-learn are left out" in rendered
    assert "6 models, 0.2 core-hours, 2026-01-02 to 2026-01-02" in rendered
    for heading in ("Table 1", "Table 2", "Ablation", "Labels", "Controls", "Spread"):
        assert rendered.count(f"### {heading}") == from_official.count(f"### {heading}") == 1
    assert (tmp_path / "labels.png").read_bytes()[:4] == b"\x89PNG"
    assert "![Accuracy against labels](labels_official.png)" in from_official
    first = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    write_report(every, tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == first


def test_without_results_nothing_is_written(tmp_path: Path) -> None:
    assert "`make reproduce`" in write_report(Stored((), {}), tmp_path)
    assert not list(tmp_path.iterdir())
