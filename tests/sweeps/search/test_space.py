"""The search space: ranges, fixed settings, starting point and first rung."""

from __future__ import annotations

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from sweeps.search.space import build_space, first_rung, longest_warmup, starting_point
from weakdis_core.config.settings import ModelKind
from weakdis_core.data.variants import VARIANTS
from weakdis_core.errors import UserError
from weakdis_core.presets import PresetName, preset


def test_the_four_settings_are_searched_by_default() -> None:
    space = build_space(preset("default", "dsprites_v4"), {})
    assert space == {
        "model.latent_size": CategoricalDistribution((4, 6, 8, 12, 16)),
        "loss.lambda": FloatDistribution(0.3, 8.0, log=True),
        "training.warmup": FloatDistribution(0.02, 0.25),
        "data.labels": CategoricalDistribution((30, 100, 300, 1000)),
    }


def test_the_generic_preset_searches_its_networks() -> None:
    config = preset("generic", "dsprites_v4")
    space = build_space(config, {"model.nuisance_partitions": 1})
    assert space["model.decoder"] == CategoricalDistribution(
        ("palette_patch", "scaled_patch", "palette")
    )
    assert "model.nuisance_partitions" not in space
    assert starting_point(space, config) is not None


@pytest.mark.parametrize(
    ("model", "searched"),
    [
        ("monolithic", {"loss.lambda", "training.warmup"}),
        (
            "few_labels",
            {"few_labels.regulariser", "few_labels.strength", "few_labels.supervised_weight"},
        ),
        ("zerodim", {"zerodim.embedding_size", "zerodim.label_weight", "zerodim.entropy_weight"}),
    ],
)
def test_a_baseline_has_a_search_space_of_its_own(model: ModelKind, searched: set[str]) -> None:
    config = preset("default", "shapes3d_v5", model)
    space = build_space(config, {})
    assert searched | {"data.labels"} <= set(space)
    assert "model.latent_size" not in space
    assert ("loss.lambda" in space) == (model == "monolithic")
    assert starting_point(space, config) is not None


def test_lambda_follows_the_prior_matching() -> None:
    space = build_space(preset("paper", "dsprites_v4"), {})
    assert space["loss.lambda"] == FloatDistribution(0.05, 1.0, log=True)


def test_the_learning_rate_is_searched_on_demand() -> None:
    space = build_space(preset("default", "dsprites_v4"), {}, search_learning_rate=True)
    assert space["training.learning_rate"] == FloatDistribution(3e-4, 3e-3, log=True)


def test_fixed_settings_are_not_searched() -> None:
    space = build_space(preset("default", "dsprites_v4"), {"data.labels": 100})
    assert "data.labels" not in space
    everything = dict.fromkeys(space) | {"data.labels": 100}
    with pytest.raises(UserError, match="nothing to search"):
        build_space(preset("default", "dsprites_v4"), everything)


def test_warmup_leaves_room_for_the_ending() -> None:
    config = preset("default", "dsprites_v4").with_values({"training.ending": 0.85})
    warmup = build_space(config, {})["training.warmup"]
    assert isinstance(warmup, FloatDistribution)
    config.with_values({"training.warmup": warmup.high})
    tight = config.with_values({"training.warmup": 0.0, "training.ending": 0.99})
    with pytest.raises(UserError, match="leaves no room for a warmup"):
        build_space(tight, {})


def test_labels_beyond_the_train_split_are_left_out() -> None:
    config = preset("quick", "dsprites_v4").with_values({"data.max_images": 1000})
    assert build_space(config, {})["data.labels"] == CategoricalDistribution((30, 100, 300))


@pytest.mark.parametrize("name", ["default", "quick", "paper", "generic"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_first_rung_lies_beyond_the_longest_warmup(name: PresetName, variant: str) -> None:
    config = preset(name, variant)
    space = build_space(config, {})
    rung = first_rung(space, config)
    assert longest_warmup(space, config) < rung <= config.training.steps


def test_the_rung_is_the_last_step_where_every_evaluation_may_be_warmup() -> None:
    config = preset("default", "dsprites_v4").with_values({"training.evaluations": 1})
    assert first_rung(build_space(config, {}), config) == config.training.steps


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_search_starts_from_the_preset(variant: str) -> None:
    config = preset("default", variant)
    space = build_space(config, {})
    point = starting_point(space, config)
    assert point is not None
    assert config.with_values(point) == config


def test_the_search_starts_from_whole_numbers_too() -> None:
    config = preset("default", "dsprites_v4")
    whole = IntDistribution(500, 5000)
    assert starting_point({"training.steps": whole}, config) == {"training.steps": 2200}
    assert starting_point({"training.steps": IntDistribution(1, 10)}, config) is None


def test_no_start_outside_the_space() -> None:
    config = preset("default", "dsprites_v4").with_values({"loss.lambda": 50})
    assert starting_point(build_space(config, {}), config) is None
