"""The monolithic model: its coding and its training."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from tests.core.conftest import SMALL
from weakdis_core.baselines.monolithic import CombinationCoding
from weakdis_core.config.config import Config
from weakdis_core.data.prepared import Prepared
from weakdis_core.data.variants import VARIANTS, get_variant
from weakdis_core.errors import UserError
from weakdis_core.evaluation.oracle import Oracle
from weakdis_core.model import load
from weakdis_core.presets import PresetName, preset
from weakdis_core.priors.coding import Coding
from weakdis_core.relations import RelationTable
from weakdis_core.seeding import torch_generator
from weakdis_core.training.trainer import Trainer

pytestmark = pytest.mark.slow

# Factor 0 has 2 values, factor 1 has 3; `other` moves factor 0, `up` and `down` factor 1.
TABLE = RelationTable(factors=[0, 1, 1], shifts=[1, 1, -1], n_values=[2, 3])
# Three of the six combinations, one of them twice.
LABELLED = torch.tensor([[1, 1], [0, 0], [0, 1], [0, 0]])


def small_config(variant: str, name: PresetName = "default") -> Config:
    return preset(name, variant, "monolithic").with_values(SMALL)


def test_components_are_the_owned_combinations() -> None:
    coding = CombinationCoding(LABELLED, TABLE)
    assert coding.n_components == (3,)
    everything = torch.cartesian_prod(torch.arange(2), torch.arange(3))
    components = coding.components(everything)
    assert components.flatten().tolist() == [0, 1, -1, -1, 2, -1]
    owned = components[:, 0] >= 0
    assert torch.equal(coding.values(components[owned]), everything[owned])


def test_relations_lead_to_a_component_or_to_none() -> None:
    coding = CombinationCoding(LABELLED, TABLE)
    # By component: (0, 0), (0, 1), (1, 1); by relation: other, up, down.
    expected = [[-1, 1, -1], [2, -1, 0], [1, -1, -1]]
    for component, row in enumerate(expected):
        start = torch.full((3, 1), component)
        assert coding.target(start, torch.arange(3)).flatten().tolist() == row
    assert coding.affected.tolist() == [0, 0, 0]


def test_draws_are_uniform_over_owned_combinations() -> None:
    # No relation leads from (1, 2) to an owned combination.
    labelled = torch.tensor([[0, 0], [0, 1], [1, 2]])
    coding = CombinationCoding(labelled, TABLE)
    generator = torch_generator(0, "draw")
    drawn = coding.sample(6000, generator).flatten().bincount() / 6000
    torch.testing.assert_close(drawn, torch.full((3,), 1 / 3), atol=0.03, rtol=0)
    starts = coding.sample_starts(2000, generator)
    assert starts.flatten().bincount(minlength=3)[2] == 0
    relation = coding.sample_relations(starts, generator)
    assert (coding.target(starts, relation) >= 0).all()
    # Rows that cannot be judged also receive a relation.
    missing = torch.tensor([[-1], [2]]).repeat(300, 1)
    assert coding.sample_relations(missing, generator).unique().tolist() == [0, 1, 2]


def test_rows_are_judged_if_both_combinations_are_owned() -> None:
    coding = CombinationCoding(LABELLED, TABLE)
    values = torch.tensor([[0, 0], [0, 0], [1, 1], [1, 0], [0, 2]])
    relation = torch.tensor([1, 2, 0, 0, 2])
    judged = coding.judged(values, relation)
    # (0,0) up is (0,1); (0,0) down is (0,2), not owned; (1,0) and (0,2) have no component.
    assert judged.tolist() == [True, False, True, False, False]
    assert coding.coverage(judged) == {
        "coverage": 3 / 6,
        "relation_coverage": pytest.approx(4 / 9),
        "images_judged": 2.0,
    }


def test_coding_matches_the_modular_one_if_every_combination_is_owned() -> None:
    table = get_variant("dsprites_v3").relation_table()
    every = torch.cartesian_prod(*(torch.arange(n) for n in table.n_values.tolist()))
    coding, modular = CombinationCoding(every, table), Coding(table)
    relation = table.sample(len(every), torch_generator(0, "draw"))
    after = coding.values(coding.target(coding.components(every), relation))
    assert torch.equal(after, modular.target(every, relation))
    assert coding.judged(every, relation).all()
    coverage = coding.coverage(torch.ones(4, dtype=torch.bool))
    assert coverage == {"coverage": 1.0, "relation_coverage": 1.0, "images_judged": 4.0}
    assert modular.coverage(torch.ones(4, dtype=torch.bool)) == {}


def test_labels_without_a_relation_between_them_are_an_error() -> None:
    with pytest.raises(UserError, match=r"data\.labels: 2 .* own 2 of 6 combinations, and no rel"):
        CombinationCoding(torch.tensor([[0, 0], [1, 1]]), TABLE)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", ["default", "paper", "quick"])
def test_presets_change_only_the_declared_settings(name: PresetName, variant: str) -> None:
    modular, config = preset(name, variant), preset(name, variant, "monolithic")
    before, after = modular.flat(), config.flat()
    changed = {key for key in before if before[key] != after[key]}
    assert after["model.kind"] == "monolithic"
    needed = {
        "data.label_draw", "model.kind", "model.latent_size", "model.nuisance_partitions",
        "loss.resample_probability", "loss.nuisance_weight", "loss.shared_covariance",
    }  # fmt: skip
    better = {
        "loss.label_temperature", "loss.lambda",
        "training.warmup", "training.ramp_steps", "training.clip",
    }  # fmt: skip
    assert changed <= needed | (better if name != "paper" else set())
    partitions = len(get_variant(variant).factors) + modular.model.nuisance_partitions
    same_size = partitions * modular.model.latent_size
    published = 8 if variant.startswith("dsprites") else 16
    assert config.model.latent_size == (published if name == "paper" else same_size)
    assert config.loss.shared_covariance == (name != "paper")


def test_nuisance_partitions_of_a_monolithic_model_are_an_error() -> None:
    config = preset("default", "dsprites_v2", "monolithic")
    with pytest.raises(UserError, match=r"partitions 1 needs several partitions"):
        config.with_values({"model.nuisance_partitions": 1})


@pytest.mark.parametrize("name", ["default", "paper"])
def test_monolithic_model_trains_evaluates_and_manipulates(
    name: PresetName, sprites: Prepared, sprites_oracle: Oracle, tmp_path: Path
) -> None:
    config = small_config("dsprites_v2", name)
    trainer = Trainer(config, sprites, sprites_oracle)
    last = list(trainer.fit())[-1].metrics
    modular = preset(name, "dsprites_v2").with_values(SMALL)
    same = set(list(Trainer(modular, sprites, sprites_oracle).fit())[-1].metrics)
    more = {"val/coverage", "val/relation_coverage", "val/images_judged"}
    assert set(last) == same | more
    assert last["val/coverage"] == last["val/relation_coverage"] == 1.0
    assert last["val/images_judged"] == 50.0
    codes = trainer.networks.autoencoder.encode(trainer.bank.batch(trainer.images_of("test", 3)))
    assert codes.means.shape == (3, 1, config.model.latent_size)
    trainer.save(tmp_path / "c.pt")
    model = load(tmp_path / "c.pt")
    images = trainer.bank.batch(trainer.images_of("test", 2))
    assert model.apply(images, "move_left").shape == (2, 1, 64, 64)
    for undefined in (
        lambda: model.read(images),
        lambda: model.set(images, shape=0),
        lambda: model.interpolate(images, "shape"),
    ):
        with pytest.raises(UserError, match="model: monolithic, without a component for each val"):
            undefined()


def test_few_labels_reduce_the_coverage(sprites: Prepared, sprites_oracle: Oracle) -> None:
    config = small_config("dsprites_v2").with_values({"data.labels": 14})
    trainer = Trainer(config, sprites, sprites_oracle)
    list(trainer.fit())
    metrics = trainer.evaluate("test")
    assert metrics["coverage"] == 14 / 27
    assert 0 < metrics["relation_coverage"] < 1
    owned = trainer.coding.components(trainer.bank.values[trainer.images_of("test")])[:, 0] >= 0
    assert 0 < metrics["images_judged"] <= owned.sum()
    # The model reads images of other combinations as an owned one, which is always wrong.
    assert metrics["factor_accuracy"] <= owned.float().mean() + 1e-6
    assert all(math.isfinite(metrics[f"relation_accuracy_{k}"]) for k in ("latent", "pixels"))


@pytest.mark.slow
def test_monolithic_model_learns_from_labels(sprites: Prepared, sprites_oracle: Oracle) -> None:
    config = preset("quick", "dsprites_v2", "monolithic").with_values(
        {
            **{name: value for name, value in SMALL.items() if name.startswith("data.")},
            "data.labels": 400,
            "training.steps": 180,
            "training.evaluations": 1,
        }
    )
    trainer = Trainer(config, sprites, sprites_oracle)
    list(trainer.fit())
    metrics = trainer.evaluate("test")
    # Chance is 1/27.
    assert metrics["factor_accuracy"] > 0.5
    assert metrics["relation_accuracy_encoded"] > 0.2
