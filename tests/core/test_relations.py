"""Relations: shifts in modular arithmetic, applied in batches."""

from __future__ import annotations

import pytest
import torch

from weakdis_core.data.variants import VARIANTS, get_variant
from weakdis_core.errors import UserError
from weakdis_core.seeding import torch_generator

COUNTS = {
    "dsprites_v2": (27, 10_125, 5),
    "dsprites_v3": (135, 16_875, 7),
    "dsprites_v4": (1080, 27_000, 9),
    "shapes3d_v2": (40, 480_000, 3),
    "shapes3d_v3": (120, 360_000, 5),
    "shapes3d_v5": (12_000, 360_000, 9),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_have_the_papers_combinations_and_our_relations(name: str) -> None:
    variant = get_variant(name)
    combinations, images, relations = COUNTS[name]
    assert (variant.n_combinations, variant.n_images) == (combinations, images)
    assert len(variant.relations) == relations
    assert len(set(variant.relation_names)) == relations


@pytest.mark.parametrize("name", VARIANTS)
def test_a_relation_changes_one_factor_and_its_inverse_undoes_it(name: str) -> None:
    variant = get_variant(name)
    table = variant.relation_table()
    values = table.sample_values(200, torch_generator(0, "values"))
    assert (values < table.n_values).all()
    for position, relation in enumerate(variant.relations):
        factor = variant.factor_names.index(relation.factor)
        moved = table.apply(values, torch.full((200,), position))
        expected = values.clone()
        n = variant.n_values[factor]
        expected[:, factor] = torch.tensor(
            [(int(value) + relation.shift) % n for value in values[:, factor]]
        )
        assert (moved == expected).all()
        for back, other in enumerate(variant.relations):
            if (other.factor, other.shift) == (relation.factor, -relation.shift):
                assert (table.apply(moved, torch.full((200,), back)) == values).all()


def test_an_arc_of_a_circle_has_the_order_of_a_line() -> None:
    orders = {
        name: dict(zip(v.factor_names, v.orders, strict=True)) for name, v in VARIANTS.items()
    }
    # Eight of forty orientations; all ten hues.
    assert orders["dsprites_v4"]["orientation"] == "ordinal"
    assert orders["shapes3d_v5"]["object_hue"] == "circular"
    assert orders["dsprites_v4"]["shape"] == "categorical"


@pytest.mark.parametrize("name", VARIANTS)
def test_a_relation_applied_n_values_times_is_the_identity(name: str) -> None:
    variant = get_variant(name)
    table = variant.relation_table()
    values = table.sample_values(50, torch_generator(0, "values"))
    for position, relation in enumerate(variant.relations):
        moved = values
        for _ in range(variant.n_values[variant.factor_names.index(relation.factor)]):
            moved = table.apply(moved, torch.full((50,), position))
        assert (moved == values).all()


def test_every_relation_and_value_is_drawn_equally_often() -> None:
    table = get_variant("dsprites_v4").relation_table()
    relation = table.sample(90_000, torch_generator(0, "relations"))
    share = torch.bincount(relation, minlength=9) / 90_000
    torch.testing.assert_close(share, torch.full((9,), 1 / 9), atol=0.01, rtol=0)
    values = table.sample_values(80_000, torch_generator(0, "values"))
    share = torch.bincount(values[:, 4], minlength=8) / 80_000
    torch.testing.assert_close(share, torch.full((8,), 1 / 8), atol=0.01, rtol=0)


def test_unknown_names_are_refused_with_the_allowed_names() -> None:
    with pytest.raises(UserError, match=r"variant: 'dsprites_v9' is not one of .*dsprites_v2"):
        get_variant("dsprites_v9")
    with pytest.raises(UserError, match=r"relation: 'fly' is not one of dsprites_v2's: change_sh"):
        get_variant("dsprites_v2").relation("fly")
