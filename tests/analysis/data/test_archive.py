"""Reading and writing of the committed archive."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pandas as pd
import pytest

from analysis.data.archive import RUNS_FILE, SCORES_FILE, Archive, get_scores
from tests.analysis.studied import HERE, studied
from weakdis_core import rows
from weakdis_core.errors import UserError
from weakdis_core.rows import Row
from weakdis_core.run_key import RunKey, Versions
from weakdis_core.scores.counts import count_of

COMMITTED = Path(__file__).parents[3] / "results"
FILES = (RUNS_FILE, SCORES_FILE)
OURS = rows.ours("dsprites_v2", "rendered")
SEEDS = {"latent": [11.0, 12.0, 13.0, 14.0, 15.0]}


def texts(folder: Path) -> list[str]:
    return [(folder / file).read_text() for file in FILES]


def written(folder: Path, *parts: pd.DataFrame) -> Archive:
    for runs in parts:
        archive = Archive(folder)
        archive.add(runs)
        archive.write()
    return Archive(folder)


def test_committed_files_are_unchanged_by_reading_and_writing(tmp_path: Path) -> None:
    for file in FILES:
        shutil.copy(COMMITTED / file, tmp_path)
    Archive(tmp_path).write()
    assert texts(tmp_path) == texts(COMMITTED)
    # The frame also has all numbers.
    written(tmp_path / "new", Archive(COMMITTED).frame())
    assert texts(tmp_path / "new") == texts(COMMITTED)


def test_committed_counts_match_the_counts_among_the_scores() -> None:
    archive = Archive(COMMITTED)
    for _, run in archive.frame().iterrows():
        scores = get_scores(run)
        for line in archive.scores[run["run_id"]]:
            n = count_of(line["metric"], scores)
            assert line["n"] == ("" if n is None else str(n)), (run["row"], line)


def test_added_runs_are_read_back(tmp_path: Path) -> None:
    assert Archive(tmp_path / "new" / "results").runs == []
    scores = {"a": [math.nan], "c": [1e-12], "factor_accuracy": [0.123456789]}
    fidelity = {"fidelity_images": [70.0], "swap_psnr": [math.nan]}
    made = studied((OURS, scores | fidelity), cpu_seconds=123.456789)
    archive = written(tmp_path, made)
    (run,) = archive.runs
    assert run["run"] == RunKey.of(OURS[0].config).run_id
    assert (run["cpu_seconds"], run["finished"]) == ("123.457", "2026-01-02T03:04:05+00:00")
    kept = {line["metric"]: (line["value"], line["n"]) for line in archive.scores[run["run"]]}
    assert kept["c"] == ("1e-12", "")
    assert kept["factor_accuracy"] == ("0.123457", "100")
    # Measured of every modular model, and undefined here.
    assert kept["swap_psnr"] == kept["nuisance_kept"] == ("nan", "0")
    assert not {"a", "images", "fidelity_images"} & set(kept)
    again = archive.frame()
    assert get_scores(again.iloc[0])["factor_accuracy"] == 0.123457
    assert again["test/images"].tolist() == [100]


def test_files_do_not_depend_on_the_order_of_runs(tmp_path: Path) -> None:
    runs = studied((OURS, SEEDS))
    written(tmp_path / "one", runs)
    written(tmp_path / "two", *(runs.iloc[[place]] for place in (3, 1, 4, 0, 2)))
    assert texts(tmp_path / "one") == texts(tmp_path / "two")


def test_run_replaces_only_its_stale_predecessor(tmp_path: Path) -> None:
    def one(runs: Row, value: float, versions: Versions = HERE, **fields: object) -> pd.DataFrame:
        return studied((runs, {"a": [value]}), versions=versions, **fields)

    old = Versions(HERE.code - 1, "1.0")
    archive = written(
        tmp_path,
        one(OURS, 1.0, old),
        one(OURS[1:], 2.0, old),
        one(rows.ours("dsprites_v2", "official"), 3.0, old),
        one(OURS, 4.0, Versions(HERE.code, "1.0"), row="dsprites_v2 without clipping"),
        one(OURS, 5.0),
    )
    values = {
        (line["name"], line["seed"], line["source"]): archive.scores[line["run"]][0]["value"]
        for line in archive.runs
    }
    assert values == {
        ("dsprites_v2", "11", "rendered"): "5",
        ("dsprites_v2", "12", "rendered"): "2",
        ("dsprites_v2", "11", "official"): "3",
        ("dsprites_v2 without clipping", "11", "rendered"): "4",
    }


def test_scores_of_unlisted_runs_do_not_count(tmp_path: Path) -> None:
    # A process that was killed between the two files.
    written(tmp_path, studied((OURS[:1], SEEDS)))
    before = (tmp_path / RUNS_FILE).read_text()
    second = studied((OURS[1:2], {"latent": [2.0]}))
    written(tmp_path, second)
    (tmp_path / RUNS_FILE).write_text(before)
    assert len(Archive(tmp_path).scores) == 1
    written(tmp_path, studied((OURS[2:3], {"latent": [3.0]})))
    assert second["run_id"][0] not in (tmp_path / SCORES_FILE).read_text()


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (RUNS_FILE, "run,name", "name,run", r"runs\.csv: the columns are not run, name, variant"),
        (RUNS_FILE, ",100,10,", ",fast,10,", r"runs\.csv, line 2: cpu_seconds: 'fast' is not a nu"),
        (SCORES_FILE, ",0.5,", ",half,", r"scores\.csv, line 2: value: 'half' is not a number"),
    ],
)
def test_damaged_files_are_reported(
    tmp_path: Path, file: str, old: str, new: str, message: str
) -> None:
    written(tmp_path, studied((OURS, {"a": [0.5]})))
    text = (tmp_path / file).read_text()
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new))
    with pytest.raises(UserError, match=message):
        Archive(tmp_path)
