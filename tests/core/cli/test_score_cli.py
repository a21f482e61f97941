"""`score`: the files that it reads, what it prints, and bad input."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from weakdis_core.cli import console
from weakdis_core.cli.score_command import run
from weakdis_core.errors import UserError
from weakdis_core.metrics import ceilings
from weakdis_core.metrics.dci import Importances, fit_importances
from weakdis_core.scores import representation
from weakdis_core.scores.representation import score_representation

Integers = NDArray[np.int64]
_generator = np.random.default_rng(0)
FACTORS = np.stack([_generator.integers(2, size=300), _generator.integers(3, size=300)], axis=1)
CODES = FACTORS[:, [1, 0, 0]] + _generator.normal(0, 0.2, (300, 3))
PAIRS = (
    ("codes.npy", "factors.csv"),
    ("codes.csv", "factors.npz"),
    ("both.npz:codes", "both.npz:true"),
)
SHAPES, SCALES = np.array(["heart", "square"]), np.array(["10", "9.5", "9"])


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, the current one, with codes and factors in every format."""
    monkeypatch.chdir(tmp_path)
    np.save("codes.npy", CODES)
    np.savetxt("codes.csv", CODES, delimiter=",", fmt="%.18g")
    np.savez("both.npz", codes=CODES.reshape(300, 3, 1), true=FACTORS)
    np.savez("factors.npz", shape=FACTORS[:, 0], scale=SCALES[FACTORS[:, 1]])
    lines = [f"{SHAPES[a]},{SCALES[b]}" for a, b in FACTORS]
    Path("factors.csv").write_text("\n".join(["shape,scale", *lines]), encoding="utf-8-sig")
    return tmp_path


def score(codes: str, factors: str, *args: str) -> None:
    run(["--codes", codes, "--factors", factors, *args], "weakdis score")


def rows(path: Path) -> dict[str, tuple[float, ...]]:
    """The numbers of a CSV file that `score` wrote, by score."""
    with path.open(newline="") as file:
        head, *lines = csv.reader(file)
    assert head == ["score", "codes", "true_values", "train_rows", "test_rows", "seed"]
    return {name: tuple(map(float, numbers)) for name, *numbers in lines}


def test_every_format_has_the_same_scores(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for number, (codes, factors) in enumerate(PAIRS):
        output = files / f"{number}.csv"
        score(codes, factors, "--output", str(output), "--seed", "3", "--dci-rows", "150")
        found.append(rows(output))
    with_names, without = capsys.readouterr().out.split("codes: ")[1::2]
    assert "factor shape: 2 values\nfactor scale: 3 values\n" in with_names
    assert "factor 0: 2 values\n" in without
    expected = score_representation(CODES, FACTORS, "ab", 3, 150)
    assert {name: each[0] for name, each in found[2].items() if "partition" not in name} == {
        name: pytest.approx(each.codes, nan_ok=True) for name, each in expected.items()
    }
    # SAP's ceiling depends on the order of values: 9 comes before 10.
    for name, numbers in found[0].items():
        assert numbers == pytest.approx(found[1][name])
    assert found[0]["dci_disentanglement"][2:] == (150, 100, 3)
    assert found[0]["mig"][2:] == (200, 0, 3)
    by_partition = found[2]["dci_completeness_partition"]
    assert by_partition == pytest.approx(found[2]["dci_completeness"])


def test_rows_are_those_of_the_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(representation, "TRAIN_ROWS", 120)
    monkeypatch.setattr(representation, "TEST_ROWS", 60)
    assert (ceilings.TRAIN_ROWS, ceilings.TEST_ROWS) == (10_000, 5_000)
    seen = []

    def fit(*args: Any) -> Importances:
        seen.append([len(each) for each in args[:4]])
        return fit_importances(*args)

    monkeypatch.setattr(representation, "fit_importances", fit)
    scores = score_representation(FACTORS[:, ::-1], FACTORS, "ab", 0)
    assert seen == [[120, 120, 60, 60]] * 2
    assert (scores["sap"].train_rows, scores["sap"].test_rows) == (120, 60)
    # Exact codes in another order are as good as can be.
    assert all(each.codes == pytest.approx(each.true_values) for each in scores.values())


def test_undefined_scores_are_nan(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save("one.npy", FACTORS[:, 0])
    score("codes.npy", "one.npy", "--output", "scores.csv")
    assert re.search(r"^modularity +nan +nan +200 +0 +0$", capsys.readouterr().out, re.MULTILINE)
    assert math.isnan(rows(files / "scores.csv")["infom"][0])


BAD = {
    "no.npy": "no.npy: cannot be read (No such file",
    "text.npy": "text.npy: cannot be read (This file contains",
    "empty.npy": "empty.npy: cannot be read (No data left in file)",
    "cut.npz": "cut.npz: cannot be read (File is not a zip file)",
    "objects.npy": "objects.npy: cannot be read (Object arrays",
    "codes.txt": "codes: 'codes.txt' is not allowed: the name must end in .npy, .npz, .npz:KEY or",
    "both.npz": "codes: both.npz has codes, true; name one with both.npz:KEY",
    "both.npz:z": "codes: both.npz has codes, true; name one with both.npz:KEY",
    "none.npz": "codes: shape (0, 0) is not allowed",
    "uneven.npz": "uneven.npz: cannot be read (All arrays must be of the same length)",
    "ragged.csv": "ragged.csv: cannot be read (Error tokenizing data. C error: Expected 2 fields",
    "long.csv": "long.csv: cannot be read (Length mismatch",
    "head.csv": "head.csv: cannot be read (No columns to parse from file)",
    "words.csv": "codes: words.csv has shape (2, 1) of object, expected numbers (rows, dim",
    "cell.csv": "codes: 1 values are not finite numbers",
    "flat.npy": "codes: flat.npy has shape (300,) of float64, expected numbers",
    "nan.npy": "codes: 1 values are not finite numbers",
    "short.npy": "factors: 300 rows are not allowed: codes has 299",
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_codes_are_refused(name: str, files: Path) -> None:
    Path("text.npy").write_text("text")
    Path("empty.npy").touch()
    Path("cut.npz").write_bytes(Path("both.npz").read_bytes()[:500])
    np.save("objects.npy", np.array([{}]), allow_pickle=True)
    np.savez("none.npz")
    np.savez("uneven.npz", a=CODES[:, 0], b=CODES[1:, 0])
    Path("ragged.csv").write_text("1,2\n3,4,5\n")
    Path("long.csv").write_text("a,b\n3,4,5\n")
    Path("cell.csv").write_text("a,b\n1,2\n3,\n" + "3,4\n" * 298)
    Path("head.csv").write_text("a,b\n")
    Path("words.csv").write_text("z\na\nb\n")
    np.save("flat.npy", CODES[:, 0])
    np.save("nan.npy", np.where(np.arange(900).reshape(300, 3) == 7, np.nan, CODES))
    np.save("short.npy", CODES[1:])
    with pytest.raises(UserError) as caught:
        score(name, "factors.csv")
    assert str(caught.value).startswith(BAD[name])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        (np.zeros((300, 2)), "factors: factor 0 has fewer than two values; leave it out"),
        (np.arange(300), "factors: factor 0 has 300 values, too many for 200 train rows: each"),
        (np.where(FACTORS == 2, np.nan, FACTORS), "factors: factor 1 lacks "),
        (np.where(FACTORS == 2, "", "a"), "factors: factor 0 has fewer than two"),
        (FACTORS[:, :, None], "factors: shape (300, 2, 1) is not allowed: it needs rows and"),
    ],
)
def test_bad_factors_are_refused(factors: NDArray[Any], message: str, files: Path) -> None:
    np.save("factors.npy", factors)
    with pytest.raises(UserError) as caught:
        score("codes.npy", "factors.npy")
    assert str(caught.value).startswith(message)


def test_a_bad_flag_ends_with_code_2(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        console.main(lambda: score("codes.npy", "factors.csv", "--dci-rows", "0"))
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: dci_rows: 0 is not allowed: must be at least 1\n"
