"""The declared studies: numbers of runs, seeds, and row names."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from weakdis_core import rows
from weakdis_core.config.additions import additions_of
from weakdis_core.config.settings import WITHOUT_PRIOR, Source
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
        same_data = run.config.with_values({"data.data_seed": 0})
        configurations.setdefault(run.row, set()).add(same_data.hash())
    assert all(len(hashes) == 1 for hashes in configurations.values())
    hashes = [next(iter(each)) for each in configurations.values()]
    assert len(set(hashes)) == len(hashes)


def test_each_configuration_has_the_same_scores_in_all_studies() -> None:
    scoring: dict[RunKey, set[str]] = {}
    for run in every():
        scoring.setdefault(run.key(), set()).add(run.disentanglement)
    assert all(len(each) == 1 for each in scoring.values())


def pairs_of(runs: list[DeclaredRun]) -> list[tuple[int, int]]:
    return [(run.config.data.data_seed, run.config.seed) for run in runs]


PAIRS = [(1, 11), (2, 12), (3, 13), (4, 14), (5, 15)]


def test_our_rows_are_six_variants_on_five_unused_pairs_of_seeds() -> None:
    ours = declared("models")
    assert pairs_of(ours) == PAIRS * 6
    assert {run.config.data.label_draw for run in ours} == {"random"}
    assert set(pairs_of(every())) == set(PAIRS)
    raw = {run.variant for run in ours if run.disentanglement == "raw"}
    assert raw == {"dsprites_v4", "shapes3d_v5"}


def test_the_label_study_has_three_sizes_for_all_variants_and_every_draw_for_two() -> None:
    runs: dict[tuple[str, str], dict[int, list[DeclaredRun]]] = {}
    for run in declared("labels"):
        data = run.config.data
        drawn = runs.setdefault((data.label_draw, data.variant), {})
        drawn.setdefault(data.labels, []).append(run)
    random = {variant: sizes for (draw, variant), sizes in runs.items() if draw == "random"}
    assert tuple(random) == rows.VARIANTS
    for variant, sizes in random.items():
        curve = variant in rows.LABEL_VARIANTS
        assert tuple(sizes) == (rows.LABELS if curve else (30, 100, 1000))
        assert all(pairs_of(each) == PAIRS for each in sizes.values())
        assert sizes[1000] == declared_runs("models", variant, "rendered")
    for draw, asked, pairs in (("chosen", (30, 100), PAIRS), ("even", rows.LABELS, PAIRS[:3])):
        found_in = {variant: found for (each, variant), found in runs.items() if each == draw}
        assert tuple(found_in) == rows.LABEL_VARIANTS
        for found in found_in.values():
            assert tuple(found) == asked
            assert all(pairs_of(each) == pairs for each in found.values())


def test_baselines_are_on_three_pairs_and_have_one_longer_row() -> None:
    for model in WITHOUT_PRIOR:
        runs = [run for run in declared("baselines") if run.config.model.kind == model]
        usual = [run for run in runs if not run.row.endswith("steps")]
        assert len(usual) == 6 * 2 * 3
        assert pairs_of(usual) == PAIRS[:3] * 12
        assert {run.config.data.labels for run in usual} == {100, 1000}
        assert {run.config.data.label_draw for run in usual} == {"random"}
        (longer,) = set(runs) - set(usual)
        same = next(run for run in usual if run.config.data == longer.config.data)
        assert longer.config.training.steps == 10 * same.config.training.steps
        raw = {run.variant for run in runs if run.disentanglement == "raw"}
        assert raw == {"dsprites_v4", "shapes3d_v5"}


def test_an_ablation_changes_one_addition_at_a_time_on_the_same_seeds() -> None:
    for table in ABLATIONS:
        full = table.unchanged("rendered")
        for row in table.changed("rendered").values():
            assert [run.config.data for run in row] == [run.config.data for run in full[:3]]
            assert pairs_of(list(row)) == PAIRS[:3]
    assert {
        "dsprites_v4, 100 random labels", "dsprites_v4, 100 random labels without sleep phase",
        "shapes3d_v3, 100 random labels without nuisance weight",
    } <= {run.row for run in declared("ablation")}  # fmt: skip


def test_every_addition_of_the_presets_is_in_an_ablation() -> None:
    taken_out = {
        change.removeprefix("without ")
        for table in ABLATIONS
        for change in table.changed("rendered")
    }
    for variant in rows.VARIANTS:
        assert set(additions_of(rows.ours(variant, "rendered")[0].config)) <= taken_out


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
