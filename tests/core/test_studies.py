"""The declared studies: numbers of runs, seeds, and row names."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from weakdis_core import rows
from weakdis_core.config.additions import additions_of
from weakdis_core.config.settings import Source
from weakdis_core.errors import UserError
from weakdis_core.rows import DeclaredRun
from weakdis_core.run_key import RunKey, Versions
from weakdis_core.studies import ABLATIONS, STUDIES, StudyName, declared_runs, study_variants


def declared(study: StudyName, source: Source = "rendered") -> list[DeclaredRun]:
    return [run for variant in rows.VARIANTS for run in declared_runs(study, variant, source)]


def every() -> list[DeclaredRun]:
    return [run for study in STUDIES for run in declared(study)]


def test_each_row_name_has_one_configuration() -> None:
    configurations: dict[str, set[str]] = {}
    for run in every():
        same_data = run.config.with_values({"data.data_seed": 1})
        configurations.setdefault(run.row, set()).add(same_data.hash())
    assert all(len(hashes) == 1 for hashes in configurations.values())
    hashes = [next(iter(each)) for each in configurations.values()]
    assert len(set(hashes)) == len(hashes)


def test_each_configuration_has_the_same_scores_in_all_studies() -> None:
    scoring: dict[RunKey, set[str]] = {}
    for run in every():
        scoring.setdefault(run.key(), set()).add(run.disentanglement)
    assert all(len(each) == 1 for each in scoring.values())


def test_our_rows_are_six_variants_on_five_unused_seeds() -> None:
    ours = declared("models")
    assert len(ours) == 30
    assert {run.config.seed for run in ours} == {11, 12, 13, 14, 15}
    even = [run for run in every() if run.config.data.label_draw == "even"]
    assert {run.config.data.data_seed for run in even} == {1}
    raw = {run.variant for run in ours if run.disentanglement == "raw"}
    assert raw == {"dsprites_v4", "shapes3d_v5"}


def test_the_label_curve_at_1000_labels_reuses_our_rows() -> None:
    curve = [run for run in declared("labels") if run.config.data.label_draw == "even"]
    assert len(curve) == 2 * 5 * 3
    ours = {run.key() for run in declared("models")}
    shared = [run for run in curve if run.key() in ours]
    assert {run.config.data.labels for run in shared} == {1000}
    assert len(shared) == 2 * 3


def test_random_labels_have_five_pairs_of_seeds_for_all_variants() -> None:
    drawn = [run for run in declared("labels") if run.config.data.label_draw == "random"]
    assert len(drawn) == (2 * 5 + 4 * 3) * 5
    assert {run.variant for run in drawn} == set(rows.VARIANTS)
    for row in {run.row for run in drawn}:
        pairs = [(run.config.data.data_seed, run.config.seed) for run in drawn if run.row == row]
        assert pairs == [(1, 11), (2, 12), (3, 13), (4, 14), (5, 15)]
    asked = declared_runs("labels", "dsprites_v2", "rendered", [12, 99])
    assert {(run.config.data.data_seed, run.config.seed) for run in asked} == {(2, 12)}
    chosen = [run for run in declared("labels") if run.config.data.label_draw == "chosen"]
    assert {(run.variant, run.config.data.labels) for run in chosen} == {
        (variant, labels) for variant in rows.LABEL_VARIANTS for labels in (30, 100)
    }


def test_an_ablation_changes_one_addition_at_a_time_on_the_same_seeds() -> None:
    for table in ABLATIONS:
        full = table.unchanged("rendered")
        for row in (full, *table.changed("rendered").values()):
            assert tuple(run.config.seed for run in row) == table.seeds
            assert row[0].config.data == full[0].config.data
    assert {
        "dsprites_v4", "dsprites_v4 with cycle", "shapes3d_v3 without cycle",
        "shapes3d_v2 without shared covariance",
    } <= {run.row for run in declared("ablation")}  # fmt: skip


def test_every_addition_of_the_presets_is_in_an_ablation() -> None:
    taken_out = {
        change.removeprefix("without ")
        for table in ABLATIONS
        for change in table.changed("rendered")
    }
    for variant in rows.VARIANTS:
        assert set(additions_of(rows.ours(variant, "rendered")[0].config)) <= taken_out


def test_with_rows_add_one_unused_addition() -> None:
    for table in ABLATIONS:
        full = additions_of(table.unchanged("rendered")[0].config)
        for change, row in table.changed("rendered").items():
            if change.startswith("with "):
                assert set(additions_of(row[0].config)) - set(full) == {change[5:]}


def test_official_and_rendered_runs_have_different_hashes() -> None:
    rendered = {run.config.hash() for run in declared("models")}
    assert not rendered & {run.config.hash() for run in declared("models", "official")}


def test_seeds_may_be_chosen() -> None:
    runs = declared_runs("models", "dsprites_v2", "rendered", [21, 22])
    assert [run.config.seed for run in runs] == [21, 22]
    assert replace(runs[0], config=runs[1].config) == runs[1]


def test_a_key_depends_on_settings_seed_source_and_versions() -> None:
    first, second = (run.config for run in rows.ours("dsprites_v2", "rendered")[:2])
    here = Versions.here()
    keys = {
        RunKey.of(first),
        RunKey.of(second),
        RunKey.of(first.with_values({"data.source": "official"})),
        RunKey.of(first.with_values({"loss.lambda": 0.9})),
        RunKey.of(first, Versions(here.code + 1, here.scikit_learn)),
        RunKey.of(first, Versions(here.code, "0.1")),
    }
    assert len(keys) == len({key.run_id for key in keys}) == 6
    assert RunKey.of(first.with_values({"runtime.threads": 4})) == RunKey.of(first)


def test_the_study_of_own_pictures_names_data_sets_that_must_be_added() -> None:
    assert study_variants("own") == tuple(rows.OWN_EXAMPLES)
    assert declared_runs("own", "dsprites_v4", "rendered") == []
    made = re.search(
        r"^OWN := (.+)$", (Path(__file__).parents[2] / "Makefile").read_text(), re.MULTILINE
    )
    assert made is not None
    assert set(made[1].split()) == set(rows.OWN_EXAMPLES)
    with pytest.raises(UserError, match="digits"):
        declared_runs("own", "digits", "own")
