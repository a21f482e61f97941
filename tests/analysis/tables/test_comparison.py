"""Trials of a sweep side by side: the leaderboard, and what differs between runs."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from rich.console import Console

from analysis.data.runs import read_runs
from analysis.data.tracked_sweep import find_sweep
from analysis.tables.comparison import (
    compare_runs,
    print_comparison,
    select_runs,
    write_comparison,
)
from analysis.tables.leaderboard import (
    build_leaderboard,
    format_cells,
    print_leaderboard,
    write_leaderboard,
)
from tests.analysis.searched import SCORE, SPACE, search
from tests.analysis.tracked import Store
from weakdis_core.errors import UserError


@pytest.fixture
def table(store: Store) -> pd.DataFrame:
    search(store)
    return build_leaderboard(find_sweep(store.client, read_runs(store.uri)))


def test_best_trial_is_first_and_stopped_trials_last(table: pd.DataFrame) -> None:
    assert table["outcome"].tolist() == ["complete"] * 10 + ["pruned"] * 2
    assert table["score"].iloc[:10].is_monotonic_decreasing
    assert set(SPACE) < set(table.columns)


def test_scores_have_wilson_intervals(table: pd.DataFrame) -> None:
    assert (table["low"] < table["score"]).all()
    assert (table["score"] < table["high"]).all()
    # 1000 images at .63.
    first = table.iloc[0]
    assert (first["high"] - first["low"]) / 2 == pytest.approx(0.0299, abs=5e-4)


def test_a_trial_without_a_score_is_last_and_has_a_dash(store: Store) -> None:
    search(store, trials=2)
    trial = store.trial(
        "dsprites_v2", parent=find_sweep(store.client, read_runs(store.uri)).run.info.run_id
    )
    shown = format_cells(build_leaderboard(find_sweep(store.client, read_runs(store.uri))))
    assert shown["Score"].iloc[-1] == "-"
    assert trial


def test_stopped_trials_are_dimmed(table: pd.DataFrame) -> None:
    html = write_leaderboard(table, "html", "a note")
    assert html.count('<tr class="dim">') == 2
    text = io.StringIO()
    print_leaderboard(table, "tried", "a note", Console(file=text, force_terminal=True, width=200))
    dimmed = [line for line in text.getvalue().splitlines() if "\x1b[2m" in line]
    assert len(dimmed) == 2
    assert all("pruned" in line for line in dimmed)


def test_csv_holds_every_number(table: pd.DataFrame) -> None:
    back = pd.read_csv(io.StringIO(write_leaderboard(table, "csv", "")), dtype={"trial": str})
    assert back["score"].tolist() == pytest.approx(table["score"].tolist())
    assert back["trial"].tolist() == table["trial"].tolist()


def test_settings_that_differ_stand_before_headline_scores(store: Store) -> None:
    search(store)
    runs = read_runs(store.uri)
    pair = select_runs(runs, ["tried/00001", "tried/00004"])
    compared = compare_runs(pair)
    listed = compared.set_index("name")
    # Both have four latent codes; labels, scores and seconds are always listed.
    assert not {"model.latent_size", "training.steps"} & set(listed.index)
    assert {"data.labels", SCORE, "seconds"} < set(listed.index)
    first, second = listed.loc["loss.lambda", ["tried/00001", "tried/00004"]]
    assert (first, second) == (0.3, 0.659)
    assert listed.loc[SCORE, "kind"] == "result"
    assert listed.loc["loss.lambda", "kind"] == "setting"
    assert compared["kind"].tolist() == sorted(compared["kind"], reverse=True)
    assert "| setting | loss.lambda" in write_comparison(compared, "md")


def test_other_scores_are_listed_on_request(store: Store) -> None:
    for score in (0.5, 0.75):
        store.trial(metrics={SCORE: 0.5, "val/relation_accuracy_pixels_move_left": score})
    runs = read_runs(store.uri)
    other = set(compare_runs(runs, every=True)["name"]) - set(compare_runs(runs)["name"])
    assert other == {"val/relation_accuracy_pixels_move_left"}


def test_a_terminal_shows_as_many_runs_side_by_side_as_fit(store: Store) -> None:
    search(store, trials=4)
    table = compare_runs(read_runs(store.uri))
    for width, blocks in ((60, 2), (200, 1)):
        file = io.StringIO()
        print_comparison(table, Console(file=file, width=width))
        lines = file.getvalue().splitlines()
        assert sum("validation pixels" in line for line in lines) == blocks
        assert max(map(len, lines)) <= width
        assert "…" not in file.getvalue()


def test_runs_are_selected_by_id_prefix(store: Store) -> None:
    search(store, trials=2)
    runs = read_runs(store.uri)
    ids = runs["run_id"].tolist()
    assert select_runs(runs, [ids[1][:12], ids[0]])["run_id"].tolist() == ids[::-1]
    for wanted, reason in (
        (["nothing", ids[0]], "'nothing' is not allowed: there is no such run"),
        (["", ids[0]], "2 runs begin so"),
        (ids[:1], "at least two are needed"),
    ):
        with pytest.raises(UserError, match=reason):
            select_runs(runs, wanted)
