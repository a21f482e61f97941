"""`docs/results.md`: complete, from one version, and equal to the committed archive."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

from analysis.__main__ import run
from analysis.data.archive import Archive
from analysis.data.runs import build_frame
from analysis.report.results_page import write_results
from tests.analysis.studied import HERE, studied
from weakdis_core import rows
from weakdis_core.errors import UserError
from weakdis_core.run_key import Versions

ROOT = Path(__file__).parents[3]
LATENT = "relation_accuracy_latent"
OURS = rows.ours("dsprites_v4", "rendered")
FIVE = {LATENT: [0.90, 0.92, 0.94, 0.96, 0.98]}

pytestmark = pytest.mark.usefixtures("cache")


@pytest.mark.slow
def test_documents_match_the_committed_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    command = ["python -m analysis", "results", "--results", str(ROOT / "results")]
    monkeypatch.setattr(sys, "argv", command)
    run()
    document = (ROOT / "docs" / "results.md").read_text()
    assert document == (tmp_path / "docs" / "results.md").read_text()
    summary = document.split("### Summary")[1].split("###")[0]
    lines = [line for line in summary.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 6
    assert "\n".join(lines) in (ROOT / "README.md").read_text()


@pytest.mark.slow
def test_page_is_complete_and_separates_sources(tmp_path: Path) -> None:
    past = Versions(HERE.code - 1, HERE.scikit_learn)
    official = rows.ours("dsprites_v4", "official")
    now = studied((OURS, FIVE | {"component_spread": [0.1] * 5}), (official, {LATENT: [0.3]}))
    old = studied((rows.ours("dsprites_v2", "rendered"), {LATENT: [0.11]}), versions=past)
    runs = pd.concat([now, old], ignore_index=True)
    assert write_results(runs, tmp_path) == tmp_path / "results.md"
    text = (tmp_path / "results.md").read_text()
    rendered, _, from_official = text.partition("## Official data")
    assert "0.940 ± 0.039" in rendered
    assert "0.300 ‡" not in rendered
    assert "0.300 ‡" in from_official
    assert "0.940" not in from_official
    assert "0.110" not in text
    assert "1 runs of another version of the core or of scikit-learn are left out" in rendered
    assert "6 runs, 0.2 core-hours, 2026-01-02 to 2026-01-02" in rendered
    for heading in ("Table 1", "Table 2", "Ablation", "Labels", "Controls", "Spread"):
        assert rendered.count(f"### {heading}") == from_official.count(f"### {heading}") == 1
    assert (tmp_path / "labels.png").read_bytes()[:4] == b"\x89PNG"
    assert "![Accuracy against labels](labels_official.png)" in from_official
    first = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    write_results(runs, tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == first


@pytest.mark.slow
def test_gpu_runs_are_named_and_cost_no_core_hours(tmp_path: Path) -> None:
    runs = studied((OURS, FIVE))
    runs.loc[1, "device"] = "NVIDIA H200"
    runs.loc[1, "cpu_seconds"] = 9e9
    write_results(runs, tmp_path)
    text = (tmp_path / "results.md").read_text()
    assert "5 runs, 0.1 core-hours" in text
    assert "Abacus (NVIDIA H200), Abacus (cpu x86_64)" in text
    assert "1 of them were trained on a GPU" in text
    assert f"do not count in the core-hours: {OURS[0].row}." in text


def test_nothing_is_written_without_study_runs(tmp_path: Path) -> None:
    for runs in (build_frame([]), Archive(tmp_path).frame(), studied((OURS, FIVE), stage="search")):
        with pytest.raises(UserError, match="results: no run of a study is finished"):
            write_results(runs, tmp_path)
    assert not list(tmp_path.iterdir())
