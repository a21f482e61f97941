from __future__ import annotations

import io
import math

import pandas as pd
import pytest

from analysis.data.runs import read_runs
from analysis.tables.disentanglement_table import TABLE2, Ceiling, build_table2, write_table2
from analysis.tables.rendering import Format
from tests.analysis.studied import studied
from tests.analysis.tracked import Store, scores
from weakdis_core import rows
from weakdis_core.data.variants import VARIANTS
from weakdis_core.paper import DATA_SETS, load

PAPER = load()
CEILINGS = {
    "dsprites_v4": Ceiling(1.0, 0.98, 0.60, 1.0, 1.0, 1.0),
    "shapes3d_v5": Ceiling(1.0, 0.97, 0.40, 1.0, 1.0, 1.0),
}


def measured(level: float) -> dict[str, float]:
    """Return the disentanglement metrics of a confirm run."""
    return {
        "test/dci_disentanglement_converted": level,
        "test/mig_converted": level - 0.01,
        "test/sap_converted": 0.55,
        "test/dci_disentanglement_raw": 0.5,
        "test/mig_raw": 0.2,
        "test/sap_raw": 0.1,
        "test/dci_disentanglement_partition": 0.8,
        "test/mig_ceiling": 0.99,
        "test/sap_ceiling": 0.58,
        "test/disentanglement_train_rows": 10_000.0,
        "test/dci_raw_train_rows": 2_000.0,
    }


def confirm(store: Store, variant: str = "dsprites_v4", **how: object) -> None:
    """Add five confirm runs."""
    for seed, level in enumerate((0.90, 0.92, 0.94, 0.96, 0.98)):
        metrics = scores(0.9) | measured(level)
        store.trial(variant, seed=seed, stage="confirm", metrics=metrics, **how)  # type: ignore[arg-type]


def built(store: Store) -> pd.DataFrame:
    return build_table2(read_runs(store.uri), PAPER, CEILINGS)


def written(store: Store, form: Format = "md") -> str:
    return write_table2(read_runs(store.uri), PAPER, form, CEILINGS)


def lines(text: str, *words: str) -> list[list[str]]:
    found = [line for line in text.splitlines() if line.startswith("|")]
    found = [line for line in found if all(word in line for word in words)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found]


def test_variants_of_the_data_sets_exist() -> None:
    assert set(DATA_SETS.values()) <= set(VARIANTS)


def test_published_numbers_are_not_rounded(store: Store) -> None:
    text = written(store)
    (ours,) = lines(text, "dSprites", "Modular representations")
    assert ours[-3:] == ["0.9732", "0.9721", "0.7877 †"]
    (gabbay,) = lines(text, "Shapes3D", "Gabbay")
    assert gabbay[-3:] == ["1.0", "0.3", "1.0 †"]
    assert "arXiv:2209.05336" in text
    assert "which names no variant" in text


def test_published_sap_above_the_ceiling_is_marked(store: Store) -> None:
    table = built(store)
    marked = table[table["sap_above_ceiling"].eq(True)]
    found = list(zip(marked["data_set"], marked["sap"], strict=True))
    assert found == [
        ("dsprites", 0.7728), ("dsprites", 0.7877),
        ("shapes3d", 1.0), ("shapes3d", 0.5007), ("shapes3d", 0.5511),
    ]  # fmt: skip
    assert "† Higher than the score of perfect codes" in written(store)


def test_ceilings_come_last(store: Store) -> None:
    (ceiling,) = lines(written(store), "dsprites_v4", "perfect codes")
    assert ceiling[-3:] == ["1.000", "0.980", "0.600"]


def test_five_confirmed_seeds_make_a_row_for_each_form_of_codes(store: Store) -> None:
    confirm(store)
    text = written(store)
    found = lines(text, "dsprites_v4", "ours, confirmed")
    assert [row[2] for row in found] == ["converted", "raw", "by partition"]
    assert found[0][3:] == [
        "rendered", "1000 even", "5", "0.940 ± 0.039", "0.930 ± 0.039", "0.550 ± 0.000",
    ]  # fmt: skip
    assert found[2][-3:] == ["0.800 ± 0.000", "-", "-"]
    assert "10000 train rows (2000 for DCI of raw codes), core 1, scikit-learn 1.9.1" in text
    own, variants = lines(text, "dsprites_v4", "perfect codes")
    assert own[3:] == ["rendered", "1000 even", "5", "-", "0.990 ± 0.000", "0.580 ± 0.000"]
    assert variants[3:] == ["-", "-", "-", "1.000", "0.980", "0.600"]
    assert "‡" not in text
    # The other variant has none yet.
    assert lines(text, "shapes3d_v5", "ours, confirmed") == []
    assert "No sweep has confirmed a configuration of shapes3d_v5 yet" in text


def test_search_runs_get_no_row(store: Store) -> None:
    store.trial(metrics=scores(0.9) | measured(0.99))
    text = written(store)
    assert "ours, confirmed" not in text
    assert "Search results not shown: 1 of dsprites_v4" in text


def test_sources_and_versions_never_share_a_cell(store: Store) -> None:
    confirm(store)
    confirm(store, source="official")
    store.trial(seed=9, stage="confirm", metrics=scores(0.9) | measured(0.1), sklearn="1.8.0")
    table = built(store)
    ours = table[table["method"].eq("ours, confirmed") & table["codes"].eq("converted")]
    assert ours["train_rows"].tolist() == ours["dci_train_rows"].tolist() == [10_000, 10_000]
    assert ours["source"].tolist() == ["official", "rendered"]
    assert ours["dci"].tolist() == pytest.approx([0.94, 0.94])
    assert ours["dci_seeds"].tolist() == [5, 5]


def test_runs_without_scores_are_not_counted(store: Store) -> None:
    store.confirm()
    table = built(store)
    ours = table[table["method"].eq("ours, confirmed")]
    assert ours["dci"].isna().all()
    assert ours["dci_seeds"].tolist() == [0, 0, 0]


def test_csv_holds_every_number(store: Store) -> None:
    confirm(store)
    read = pd.read_csv(io.StringIO(written(store, "csv")))
    assert tuple(read.columns) == TABLE2
    (raw,) = read[read["codes"].eq("raw")].to_dict("records")
    assert (raw["train_rows"], raw["dci_train_rows"]) == (10_000, 2_000)
    assert raw["dci_low"] <= raw["dci"] <= raw["dci_high"]
    assert raw["sklearn"] == "1.9.1"
    assert math.isnan(raw["sap_above_ceiling"])


def test_latex_is_ascii(store: Store) -> None:
    confirm(store)
    text = written(store, "latex")
    assert r"0.7877 $^\dagger$" in text
    assert r"dsprites\_v4 (rendered)" in text
    assert text.isascii()


def test_preset_and_confirmed_rows_are_both_shown(store: Store) -> None:
    confirm(store)
    scores = {"mig_converted": [0.9] * 5, "mig_ceiling": [0.999] * 5, "sap_ceiling": [0.56] * 5}
    committed = studied((rows.ours("dsprites_v4", "rendered"), scores))
    runs = pd.concat([committed, read_runs(store.uri)])
    text = write_table2(runs, PAPER, "md", CEILINGS)
    methods = [row[1] for row in lines(text, "dsprites_v4 ")]
    ours, confirmed = ["ours, preset"] * 3, ["ours, confirmed"] * 3
    assert methods == [*ours, "perfect codes", *confirmed, "perfect codes", "perfect codes"]
    preset = lines(text, "ours, preset", "converted")[0]
    assert preset[-3:] == ["-", "0.900 ± 0.000", "-"]
