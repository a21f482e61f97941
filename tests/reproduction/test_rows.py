"""The results folder: what goes in comes out, stale rows make way, damage is explained."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from reproduction import cells
from reproduction.rows import RUNS_FILE, SCORES_FILE, Key, Results, Score, Versions
from tests.reproduction.made_up import HERE, run_of
from weakdis_core.errors import UserError

CELLS = cells.ours("dsprites_v2", "rendered")


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    results = Results(tmp_path / "new" / "results")
    assert results.read().runs == ()
    run = run_of(CELLS[0], cpu_seconds=123.456789)
    results.add(run, {"b": Score(0.123456789, 7), "a": Score(math.nan), "c": Score(1e-12, 0)})
    stored = results.read()
    assert stored.runs == (run.model_copy(update={"cpu_seconds": 123.457}),)
    assert {run.key for run in stored.runs} == {Key.of(CELLS[0].config)}
    scores = stored.scores[run.run]
    assert scores["b"] == (0.123457, 7)
    assert math.isnan(scores["a"].value)
    assert scores["a"].n is None
    assert scores["c"] == (1e-12, 0)


def test_the_files_do_not_depend_on_the_order_of_finishing(tmp_path: Path) -> None:
    orders = (CELLS, CELLS[::-1])
    for place, order in zip(("one", "two"), orders, strict=True):
        for cell in order:
            Results(tmp_path / place).add(run_of(cell), {"a": Score(cell.config.seed)})
    for file in (RUNS_FILE, SCORES_FILE):
        assert (tmp_path / "one" / file).read_text() == (tmp_path / "two" / file).read_text()


def test_a_finished_run_replaces_what_is_stale_and_nothing_else(tmp_path: Path) -> None:
    results = Results(tmp_path)
    first, second = CELLS[:2]
    old = Versions(HERE.code - 1, "1.0")
    official = cells.ours("dsprites_v2", "official")[0]
    other = replace(first, name="dsprites_v2 without cycle")
    results.add(run_of(first, old), {"a": Score(1.0)})
    results.add(run_of(second, old), {"a": Score(2.0)})
    results.add(run_of(official, old), {"a": Score(3.0)})
    results.add(run_of(other, Versions(HERE.code, "1.0")), {"a": Score(4.0)})
    results.add(run_of(first), {"a": Score(5.0)})
    stored = results.read()
    values = {
        (run.name, run.seed, run.source): stored.scores[run.run]["a"].value for run in stored.runs
    }
    assert values == {
        ("dsprites_v2", 11, "rendered"): 5.0,
        ("dsprites_v2", 12, "rendered"): 2.0,
        ("dsprites_v2", 11, "official"): 3.0,
        ("dsprites_v2 without cycle", 11, "rendered"): 4.0,
    }


def test_several_at_once_lose_nothing(tmp_path: Path) -> None:
    def add(cell: cells.Cell) -> None:
        Results(tmp_path).add(run_of(cell), {"a": Score(cell.config.seed)})

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(add, CELLS))
    assert [run.seed for run in Results(tmp_path).read().runs] == [11, 12, 13, 14, 15]


def test_scores_of_a_run_that_was_never_listed_do_not_count(tmp_path: Path) -> None:
    # A process killed between the two files.
    results = Results(tmp_path)
    results.add(run_of(CELLS[0]), {"a": Score(1.0)})
    before = (tmp_path / RUNS_FILE).read_text()
    results.add(run_of(CELLS[1]), {"a": Score(2.0)})
    (tmp_path / RUNS_FILE).write_text(before)
    assert list(results.read().scores) == [run_of(CELLS[0]).run]
    results.add(run_of(CELLS[2]), {"a": Score(3.0)})
    assert run_of(CELLS[1]).run not in (tmp_path / SCORES_FILE).read_text()


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (RUNS_FILE, "run,name", "name,run", r"runs\.csv: the columns are not run, name, variant"),
        (RUNS_FILE, ",100,10,", ",fast,10,", r"runs\.csv, line 2: cpu_seconds: 'fast'"),
        (SCORES_FILE, ",0.5,", ",half,", r"scores\.csv, line 2: value: 'half'"),
    ],
)
def test_damage_is_explained(tmp_path: Path, file: str, old: str, new: str, message: str) -> None:
    results = Results(tmp_path)
    results.add(run_of(CELLS[0]), {"a": Score(0.5)})
    text = (tmp_path / file).read_text()
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new))
    with pytest.raises(UserError, match=message):
        results.read()


def test_a_folder_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("in the way")
    with pytest.raises(UserError, match=r"results: .*results cannot be written"):
        Results(tmp_path / "results").add(run_of(CELLS[0]), {})


def test_a_key_is_settings_seed_source_and_versions() -> None:
    first = CELLS[0].config
    keys = {
        Key.of(first),
        Key.of(CELLS[1].config),
        Key.of(first.with_values({"data.source": "official"})),
        Key.of(first.with_values({"loss.lambda": 0.9})),
        Key.of(first, Versions(HERE.code + 1, HERE.scikit_learn)),
        Key.of(first, Versions(HERE.code, "0.1")),
    }
    assert len(keys) == len({key.run for key in keys}) == 6
    assert Key.of(first.with_values({"runtime.threads": 4})) == Key.of(first)
