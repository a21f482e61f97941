from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.data.archive import read_frame
from analysis.data.runs import read_runs
from analysis.tables.accuracy_table import (
    SHORT,
    TABLE1,
    WIDE,
    build_table1,
    format_cells,
    write_table1,
)
from analysis.tables.rendering import Format
from tests.analysis.studied import studied
from tests.analysis.tracked import Store, scores
from weakdis_core import rows
from weakdis_core.paper import load

ROOT = Path(__file__).parents[3]
PAPER = load()
LATENT = "relation_accuracy_latent"
OURS = rows.ours("dsprites_v4", "rendered")


def built(store: Store) -> pd.DataFrame:
    return build_table1(read_runs(store.uri), PAPER)


def written(store: Store, form: Format = "md") -> str:
    return write_table1(read_runs(store.uri), PAPER, form)


def row(table: pd.DataFrame, variant: str = "dsprites_v4") -> pd.Series:
    found = table[table["variant"] == variant]
    assert len(found) == 1
    return found.iloc[0]


def line(text: str, variant: str = "dsprites_v4") -> list[str]:
    found = [part for part in text.splitlines() if part.startswith(f"| {variant} ")]
    assert len(found) == 1
    return [cell.strip() for cell in found[0].strip("|").split("|")]


def test_own_pictures_without_confirmed_rows_give_an_empty_table(store: Store) -> None:
    store.trial(metrics=scores(0.9), variant="people")
    nothing = PAPER.model_copy(update={"table1": ()})
    assert "Variant" in write_table1(read_runs(store.uri), nothing, "html")


def test_search_results_get_no_row(store: Store) -> None:
    store.trial(metrics=scores(0.91234))
    ours = row(built(store))
    assert ours[["source", "latent", "seeds"]].isna().all()
    text = written(store)
    assert "0.912" not in text
    assert "Search results not shown: 1 of dsprites_v4." in text
    assert "--variant dsprites_v2 --confirm-seeds 5" in text


def test_published_numbers_have_their_citation(store: Store) -> None:
    store.trial(stage="confirm", metrics=scores(0.91))
    table = built(store)
    assert tuple(table.columns) == TABLE1
    assert table["variant"].tolist() == [quoted.variant for quoted in PAPER.table1]
    text = written(store)
    assert line(text)[:4] == ["dsprites_v4", "0.491 (10800)", "0.685 (1000)", "ours, confirmed"]
    assert "arXiv:2209.05336" in text
    # Not measured: published numbers and nothing else.
    assert line(text, "shapes3d_v2")[1:] == ["0.275 (400)", "0.690 (1000)"] + ["-"] * 9


def test_five_confirmed_seeds_make_a_row(store: Store) -> None:
    store.confirm()
    ours = row(built(store))
    assert ours["latent"] == pytest.approx(0.94)
    assert ours["latent_seeds"] == 5
    assert ours["latent_low"] == pytest.approx(0.94 - 2.776445 * 0.0316228 / 5**0.5, abs=1e-6)
    text = written(store)
    assert "0.940 ± 0.039" in line(text)
    assert "†" not in text
    assert "‡" not in text


@pytest.mark.parametrize(("draw", "shown"), [("even", "100 even"), ("random", "100 random")])
def test_the_draw_of_the_labels_is_named(store: Store, draw: str, shown: str) -> None:
    store.trial(stage="confirm", metrics=scores(0.9), labels=100, data__label_draw=draw)
    assert row(built(store))["label_draw"] == draw
    assert shown in line(written(store))


def test_search_runs_never_join_confirm_runs(store: Store) -> None:
    store.trial(metrics=scores(0.99, validation=0.99))
    for seed in (1, 2):
        store.trial(seed=seed, stage="confirm", metrics=scores(0.9))
    ours = row(built(store))
    assert (ours["latent"], ours["seeds"]) == (0.9, 2)
    assert "0.900 ± 0.000 ‡" in line(written(store))


def test_official_and_rendered_never_share_a_cell(store: Store) -> None:
    store.confirm((0.9,) * 5)
    store.confirm((0.5,) * 5, source="official")
    table = built(store)
    v4 = table[table["variant"] == "dsprites_v4"].set_index("source")
    assert v4["latent"].to_dict() == {"rendered": pytest.approx(0.9), "official": 0.5}
    assert v4["paper_accuracy"].tolist() == [0.685, 0.685]


def test_missing_scores_are_not_counted(store: Store) -> None:
    for seed in range(5):
        metrics = scores(0.9)
        if seed == 0:
            del metrics["test/factor_accuracy"]
        store.trial(seed=seed, stage="confirm", metrics=metrics)
    ours = row(built(store))
    assert (ours["latent_seeds"], ours["factor_seeds"], ours["oracle_seeds"]) == (5, 4, 0)
    cells = line(written(store))
    assert cells[-5:] == ["0.900 ± 0.000", "0.950 ± 0.000", "0.900 ± 0.000", "0.970 ± 0.000 ‡", "-"]


def test_variants_missing_in_the_paper_come_last(store: Store) -> None:
    store.trial("dsprites_v7", stage="confirm", metrics=scores(0.9))
    table = built(store)
    assert table["variant"].tolist()[-1] == "dsprites_v7"
    assert pd.isna(table["paper_accuracy"].iloc[-1])


def test_csv_holds_every_number(store: Store) -> None:
    store.confirm()
    read = pd.read_csv(io.StringIO(written(store, "csv")))
    assert tuple(read.columns) == TABLE1
    ours = row(read)
    assert ours["latent"] == pytest.approx(0.94)
    assert ours["latent_low"] < 0.94 < ours["latent_high"]
    assert ours["latent_iqm"] == pytest.approx(0.94)
    assert ours["paper_citation"] == "Valenti and Bacciu (2022), arXiv:2209.05336"


def test_latex_is_booktabs_and_escaped(store: Store) -> None:
    store.trial(stage="confirm", metrics=scores(0.91))
    text = written(store, "latex")
    assert r"\toprule" in text
    assert r"dsprites\_v4 & 0.491 (10800) & 0.685 (1000) & ours, confirmed & rendered" in text
    assert r"0.910 $^\ddagger$" in text
    assert r"95\% t-interval" in text
    assert r"\texttt{python sweeps/run.py -{}-variant dsprites\_v2" in text
    assert text.isascii()


def test_committed_rows_are_shown_without_mlflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "results").symlink_to(ROOT / "results")
    table = build_table1(read_frame(), PAPER)
    ours = table[table["model"].eq("ours, preset")].set_index("variant")
    assert tuple(ours.index) == rows.VARIANTS
    assert ours["source"].eq("rendered").all()
    assert ours["latent_seeds"].eq(5).all()
    assert ours["latent"].min() > 0.99
    assert "‡" not in write_table1(read_frame(), PAPER, "md")


def test_preset_and_confirmed_rows_are_both_shown(store: Store) -> None:
    store.confirm((0.5,) * 5)
    committed = studied((OURS, {LATENT: [0.9, 0.92, 0.94, 0.96, 0.98]}))
    table = build_table1(pd.concat([committed, read_runs(store.uri)]), PAPER)
    own = table[table["variant"].eq("dsprites_v4")]
    assert own["model"].tolist() == ["ours, preset", "ours, confirmed"]
    assert own["latent"].tolist() == pytest.approx([0.94, 0.5])
    # Only the preset's rows are in the README.
    short = format_cells(table, SHORT)
    assert short["Variant"].tolist() == list(rows.VARIANTS)
    assert short["Latent"].tolist() == ["-", "-", "0.940 ± 0.039", "-", "-", "-"]
    confirmed = format_cells(build_table1(read_runs(store.uri), PAPER), SHORT)
    assert set(confirmed["Latent"]) == {"-"}


def test_previous_work_shows_its_share_of_combinations_and_seeds() -> None:
    previous = rows.previous_work("dsprites_v4", "rendered")[1000]
    scores = {LATENT: [0.4] * 3, "factor_accuracy": [0.5] * 3, "coverage": [0.926] * 3}
    table = build_table1(studied((previous, scores)), PAPER)
    shown = format_cells(table, WIDE).set_index("Variant").loc["dsprites_v4"]
    assert (shown["Model"], shown["Labels"], shown["Seeds"]) == (
        "previous work",
        "1000 by combination",
        "3",
    )
    assert shown["Latent"] == "0.400 ± 0.000 (of 0.926)"
    assert shown["Factors"] == "0.500 ± 0.000"
    few = build_table1(studied((previous, {LATENT: [0.4]})), PAPER)
    assert "0.400 ‡" in format_cells(few, WIDE)["Latent"].tolist()


def test_baselines_without_priors_have_no_latent_accuracy() -> None:
    row = rows.baseline("dsprites_v4", "rendered", "zerodim", 100)
    longer = rows.baseline("dsprites_v4", "rendered", "zerodim", 1000, longer=True)
    scores = {LATENT: [np.nan] * 3, "relation_accuracy_pixels": [0.2] * 3}
    more = {LATENT: [np.nan], "relation_accuracy_pixels": [0.3]}
    runs = studied((row, scores), (longer, more))
    shown = format_cells(build_table1(runs, PAPER), WIDE).set_index("Model")
    # One with more steps is named.
    assert shown.loc["zerodim, 10 times the steps", "Pixels"] == "0.300"
    line = shown.loc["zerodim"]
    assert (line["Latent"], line["Pixels"]) == ("-", "0.200 ± 0.000")
    assert line["Labels"] == "100 random"
