"""What is trained: how many, which seeds, and one name for one configuration."""

from __future__ import annotations

from typing import get_args

import pytest

from reproduction import ablations, cells
from reproduction.plan import estimate, make_plan
from reproduction.rows import Key, Stored
from reproduction.sets import cells_of
from reproduction.settings import Reproduction, SetName
from tests.reproduction.made_up import run_of, stored
from weakdis_core.additions import additions_of
from weakdis_core.errors import UserError
from weakdis_core.settings import Source

RENDERED: dict[str, Source] = dict.fromkeys(cells.VARIANTS, "rendered")
SETS: tuple[SetName, ...] = get_args(SetName)


def every() -> list[cells.Cell]:
    return [cell for name in SETS for cell in cells_of(name, RENDERED)]


def test_a_name_is_a_configuration() -> None:
    configurations: dict[str, set[str]] = {}
    for cell in every():
        configurations.setdefault(cell.name, set()).add(cell.config.hash())
    assert all(len(hashes) == 1 for hashes in configurations.values())
    hashes = [next(iter(each)) for each in configurations.values()]
    assert len(set(hashes)) == len(hashes)


def test_a_configuration_is_scored_in_one_way() -> None:
    scoring: dict[Key, set[str]] = {}
    for cell in every():
        scoring.setdefault(Key.of(cell.config), set()).add(cell.disentanglement)
    assert all(len(each) == 1 for each in scoring.values())


def test_our_rows_are_six_variants_on_five_seeds_nothing_was_chosen_on() -> None:
    ours = cells_of("models", RENDERED)
    assert len(ours) == 30
    assert {cell.config.seed for cell in ours} == {11, 12, 13, 14, 15}
    # Seeds 0 and 1, and the images of data seed 0, are those of the presets.
    assert {cell.config.data.data_seed for cell in every()} == {1}
    assert {cell.variant for cell in ours if cell.disentanglement == "raw"} == {
        "dsprites_v4",
        "shapes3d_v5",
    }


def test_the_label_curve_shares_its_thousand_with_our_rows() -> None:
    curve = cells_of("labels", RENDERED)
    assert len(curve) == 2 * 5 * 3
    ours = {Key.of(cell.config) for cell in cells_of("models", RENDERED)}
    shared = [cell for cell in curve if Key.of(cell.config) in ours]
    assert {cell.config.data.labels for cell in shared} == {1000}
    assert len(shared) == 2 * 3


def test_an_ablation_changes_one_addition_at_a_time_on_the_full_models_seeds() -> None:
    for ablation in ablations.ABLATIONS:
        full = ablations.unchanged(ablation, "rendered")
        for row in (full, *ablations.changed(ablation, "rendered").values()):
            assert tuple(cell.config.seed for cell in row) == ablation.seeds
            assert row[0].config.data == full[0].config.data
    named = {cell.name for cell in cells_of("ablation", RENDERED)}
    assert {
        "dsprites_v4", "dsprites_v4 with cycle", "shapes3d_v3 without cycle",
        "shapes3d_v2 without shared covariance",
    } <= named  # fmt: skip


def test_every_addition_of_the_presets_is_in_an_ablation() -> None:
    taken_out = {
        name.removeprefix("without ")
        for ablation in ablations.ABLATIONS
        for name in ablations.changed(ablation, "rendered")
    }
    for variant in cells.VARIANTS:
        used = additions_of(cells.ours(variant, "rendered")[0].config)
        assert set(used) <= taken_out


def test_what_an_ablation_puts_in_is_one_addition_that_the_preset_lacks() -> None:
    for ablation in ablations.ABLATIONS:
        full = additions_of(ablations.unchanged(ablation, "rendered")[0].config)
        for change, row in ablations.changed(ablation, "rendered").items():
            if change.startswith("with "):
                assert set(additions_of(row[0].config)) - set(full) == {change[5:]}


def test_official_and_rendered_cells_are_never_the_same() -> None:
    rendered = {Key.of(cell.config).config for cell in cells_of("models", RENDERED)}
    official = cells_of("models", dict.fromkeys(cells.VARIANTS, "official"))
    assert not rendered & {Key.of(cell.config).config for cell in official}


def test_the_plan_counts_shared_cells_once_and_tells_stale_from_missing() -> None:
    settings = Reproduction(
        parts=("labels", "models"), variants=("dsprites_v4",), data_source="rendered"
    )
    done, changed = cells.ours("dsprites_v4", "rendered")[:2]
    stale = run_of(changed, config="of another")
    had = Stored((run_of(done), stale), {})
    labels, models = make_plan(settings, had)
    assert [len(part.cells) for part in (labels, models)] == [15, 2]
    assert [len(part.stale) for part in (labels, models)] == [1, 0]
    assert [len(part.missing) for part in (labels, models)] == [13, 2]
    assert labels.stale[0].config.seed == 12
    other = Stored((run_of(done, name="dsprites_v4 without what has since gone"), stale), {})
    assert len(make_plan(settings, other)[0].missing) == 14
    only = settings.model_copy(update={"seeds": (12, 13)})
    assert [len(part.cells) for part in make_plan(only, had)] == [10, 0]
    wrong = settings.model_copy(update={"seeds": (1, 12)})
    with pytest.raises(UserError, match=r"seeds: 1 is not one of 11, 12, 13, 14, 15, the seeds"):
        make_plan(wrong, had)


def test_estimates_go_by_what_was_measured() -> None:
    row = cells.ours("dsprites_v4", "rendered")
    steps = row[0].config.training.steps
    built_in = estimate(row[0], ())
    assert built_in > steps * 0.01
    same = run_of(row[1], cpu_seconds=3.0 * steps, scoring_seconds=7.0)
    assert estimate(row[0], [same]) == pytest.approx(3.0 * steps + 7.0)
    gpu = run_of(row[1], cpu_seconds=9.0 * steps, device="NVIDIA H100")
    assert estimate(row[0], [gpu]) == built_in
    # Another configuration of the variant: its step, as many times as this one takes.
    curve = cells.with_labels("dsprites_v4", "rendered", 30)[0]
    half = curve.config.with_values({"training.steps": 2 * steps})
    alike = estimate(cells.Cell("of twice the steps", half), [same])
    assert alike == pytest.approx(6.0 * steps + 10.0)


def test_nothing_to_do_when_all_is_done() -> None:
    settings = Reproduction(parts=("models",), variants=("dsprites_v2",), data_source="rendered")
    row = cells.ours("dsprites_v2", "rendered")
    (part,) = make_plan(settings, stored((row, {"a": [0.0] * 5})))
    assert part.to_do == ()
    assert part.seconds == 0
