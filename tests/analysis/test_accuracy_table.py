from __future__ import annotations

import io

import pandas as pd
import pytest

from analysis.accuracy_table import TABLE1, table1, write_table1
from analysis.runs import read_runs
from analysis.selection import unconfirmed
from tests.analysis.tracked import Store, scores
from weakdis_core.paper import load

PAPER = load()


def built(store: Store) -> pd.DataFrame:
    return table1(read_runs(store.uri), PAPER)


def row(table: pd.DataFrame, variant: str = "dsprites_v4") -> pd.Series:
    found = table[table["variant"] == variant]
    assert len(found) == 1
    return found.iloc[0]


def line(text: str, variant: str = "dsprites_v4") -> list[str]:
    found = [part for part in text.splitlines() if variant in part]
    assert len(found) == 1
    return [cell.strip() for cell in found[0].strip("|").split("|")]


def test_a_search_result_is_no_row(store: Store) -> None:
    store.trial(metrics=scores(0.91234))
    runs = read_runs(store.uri)
    table = table1(runs, PAPER)
    ours = row(table)
    assert ours[["source", "latent", "seeds"]].isna().all()
    waiting = unconfirmed(runs, table["variant"])
    assert waiting["dsprites_v4"] == 1
    text = write_table1(table, PAPER, "md", waiting)
    assert "0.912" not in text
    assert "Search results not shown: 1 of dsprites_v4." in text
    assert "--variant dsprites_v2 --confirm-seeds 5" in text


def test_published_numbers_stand_beside_with_their_citation(store: Store) -> None:
    store.trial(stage="confirm", metrics=scores(0.91))
    table = built(store)
    assert tuple(table.columns) == TABLE1
    assert table["variant"].tolist() == [quoted.variant for quoted in PAPER.table1]
    text = write_table1(table, PAPER, "md", {})
    assert line(text)[:4] == ["dsprites_v4", "1080", "0.491 (10800)", "0.685 (1000)"]
    assert "arXiv:2209.05336" in text
    # Not measured: published numbers and nothing else.
    assert line(text, "shapes3d_v2")[2:] == ["0.275 (400)", "0.690 (1000)"] + ["-"] * 8


def test_five_confirmed_seeds_are_a_row(store: Store) -> None:
    store.confirm()
    table = built(store)
    ours = row(table)
    assert ours["latent"] == pytest.approx(0.94)
    assert ours["latent_seeds"] == 5
    assert ours["latent_low"] == pytest.approx(0.94 - 2.776445 * 0.0316228 / 5**0.5, abs=1e-6)
    text = write_table1(table, PAPER, "md", {})
    assert "0.940 ± 0.039" in line(text)
    assert "†" not in text
    assert "‡" not in text


def test_search_runs_never_join_confirm_runs(store: Store) -> None:
    store.trial(metrics=scores(0.99, validation=0.99))
    for seed in (1, 2):
        store.trial(seed=seed, stage="confirm", metrics=scores(0.9))
    ours = row(built(store))
    assert (ours["latent"], ours["seeds"]) == (0.9, 2)
    assert "0.900 ± 0.000 ‡" in line(write_table1(built(store), PAPER, "md", {}))


def test_official_and_rendered_never_share_a_cell(store: Store) -> None:
    store.confirm((0.9,) * 5)
    store.confirm((0.5,) * 5, source="official")
    table = built(store)
    v4 = table[table["variant"] == "dsprites_v4"].set_index("source")
    assert v4["latent"].to_dict() == {"rendered": pytest.approx(0.9), "official": 0.5}
    assert v4["paper_accuracy"].tolist() == [0.685, 0.685]


def test_a_score_some_seeds_lack_is_counted_without_them(store: Store) -> None:
    for seed in range(5):
        metrics = scores(0.9)
        if seed == 0:
            del metrics["test/factor_accuracy"]
        store.trial(seed=seed, stage="confirm", metrics=metrics)
    table = built(store)
    ours = row(table)
    assert (ours["latent_seeds"], ours["factor_seeds"], ours["oracle_seeds"]) == (5, 4, 0)
    cells = line(write_table1(table, PAPER, "md", {}))
    assert cells[-5:] == ["0.900 ± 0.000", "0.950 ± 0.000", "0.900 ± 0.000", "0.970 ± 0.000 ‡", "-"]


def test_a_variant_the_paper_does_not_have_comes_last(store: Store) -> None:
    store.trial("dsprites_v7", stage="confirm", metrics=scores(0.9))
    table = built(store)
    assert table["variant"].tolist()[-1] == "dsprites_v7"
    assert pd.isna(table["paper_accuracy"].iloc[-1])


def test_csv_holds_every_number(store: Store) -> None:
    store.confirm()
    table = built(store)
    read = pd.read_csv(io.StringIO(write_table1(table, PAPER, "csv", {})))
    assert tuple(read.columns) == TABLE1
    ours = row(read)
    assert ours["latent"] == pytest.approx(0.94)
    assert ours["latent_low"] < 0.94 < ours["latent_high"]
    assert ours["latent_iqm"] == pytest.approx(0.94)
    assert ours["paper_citation"] == "Valenti and Bacciu (2022), arXiv:2209.05336"


def test_latex_is_booktabs_and_escaped(store: Store) -> None:
    store.trial(stage="confirm", metrics=scores(0.91))
    runs = read_runs(store.uri)
    table = table1(runs, PAPER)
    text = write_table1(table, PAPER, "latex", unconfirmed(runs, table["variant"]))
    assert r"\toprule" in text
    assert r"dsprites\_v4 & 1080 & 0.491 (10800) & 0.685 (1000) & rendered" in text
    assert r"0.910 $^\ddagger$" in text
    assert r"95\% t-interval" in text
    assert r"\texttt{python sweeps/run.py -{}-variant dsprites\_v2" in text
    assert text.isascii()
