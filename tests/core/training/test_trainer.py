"""The training loop: reports, exact resumption, stages and errors."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from tests.core.conftest import harmed, small_config
from weakdis_core.config.config import Config
from weakdis_core.config.settings import ModelKind
from weakdis_core.data.prepared import Prepared
from weakdis_core.data.splits import split
from weakdis_core.devices import flush_denormals
from weakdis_core.errors import UserError
from weakdis_core.evaluation.oracle import Oracle
from weakdis_core.models.autoencoder import ModularAutoencoder
from weakdis_core.training.terms import TrainingDiverged
from weakdis_core.training.trainer import Report, Trainer


def scores(report: Report) -> tuple[int, str, dict[str, float]]:
    """Return the reproducible parts of a report, with -1 for NaN."""
    metrics = {k: -1.0 if math.isnan(v) else v for k, v in report.metrics.items()}
    return report.step, report.stage, metrics


def weights(trainer: Trainer) -> list[torch.Tensor]:
    networks = trainer.networks
    parts = (networks.autoencoder, networks.discriminator, networks.relational)
    return [p.detach().clone() for part in parts for p in part.parameters()]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["modular", "monolithic"])
@pytest.mark.parametrize("data", ["sprites", "rooms"])
def test_resumed_run_equals_an_uninterrupted_run(
    data: str, model: ModelKind, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    prepared: Prepared = request.getfixturevalue(data)
    oracle: Oracle = request.getfixturevalue(f"{data}_oracle")
    config = small_config(prepared.variant.name, model)
    whole = Trainer(config, prepared, oracle)
    expected = [scores(report) for report in whole.fit()]
    for stop in (1, 2, 3):
        first = Trainer(config, prepared, oracle)
        reports = first.fit()
        got = [scores(next(reports)) for _ in range(stop)]
        first.save(tmp_path / "checkpoint.pt")
        second = Trainer(config, prepared, oracle)
        second.load(tmp_path / "checkpoint.pt")
        got += [scores(report) for report in second.fit()]
        assert got == expected
        assert all(map(torch.equal, weights(second), weights(whole)))
    assert scores_of(second) == scores_of(whole)


def scores_of(trainer: Trainer) -> dict[str, float]:
    test = trainer.evaluate("test")
    return {k: -1.0 if math.isnan(v) else v for k, v in test.items()}


def test_run_depends_on_its_seed_and_not_on_global_state(
    sprites: Prepared, sprites_oracle: Oracle
) -> None:
    config = small_config("dsprites_v2")

    def run(config: Config) -> list[tuple[int, str, dict[str, float]]]:
        return [scores(report) for report in Trainer(config, sprites, sprites_oracle).fit()]

    torch.manual_seed(1)
    first = run(config)
    torch.manual_seed(2)
    assert run(config) == first
    assert run(config.with_values({"seed": 1})) != first


def test_reports_are_evenly_spaced_and_have_accuracies_after_warmup(
    sprites: Prepared, sprites_oracle: Oracle
) -> None:
    config = small_config("dsprites_v2").with_values(
        {"training.warmup": 0.5, "training.ending": 0.25}
    )
    reports = list(Trainer(config, sprites, sprites_oracle).fit())
    assert [report.step for report in reports] == [6, 12, 18, 24]
    assert [report.stage for report in reports] == ["warmup", "warmup", "full", "ending"]
    for report in reports:
        validated = any(name.startswith("val/") for name in report.metrics)
        assert validated == (report.stage != "warmup")
        assert "train/reconstruction" in report.metrics
    last = reports[-1].metrics
    for name in ("factor_accuracy", *(f"relation_accuracy_{k}" for k in ("latent", "pixels"))):
        assert 0 <= last[f"val/{name}"] <= 1


def test_ending_does_not_change_encoder_and_priors(
    sprites: Prepared, sprites_oracle: Oracle
) -> None:
    config = small_config("dsprites_v2").with_values({"training.ending": 0.5})
    trainer = Trainer(config, sprites, sprites_oracle)
    reports = trainer.fit()
    next(reports), next(reports)
    model = trainer.networks.autoencoder
    assert isinstance(model, ModularAutoencoder)
    encoder = [p.clone() for p in model.encoder.parameters()]
    decoder = [p.clone() for p in model.decoder.parameters()]
    prior = trainer.prior
    list(reports)
    assert trainer.prior is prior
    assert all(map(torch.equal, encoder, model.encoder.parameters()))
    assert not any(map(torch.equal, decoder, model.decoder.parameters()))


def test_training_reads_labels_of_the_labelled_subset_only(
    sprites: Prepared, sprites_oracle: Oracle
) -> None:
    trainer = Trainer(small_config("dsprites_v2"), sprites, sprites_oracle)
    train = set(trainer.train_index.tolist())
    labelled = set(trainer.labelled_index.tolist())
    assert len(labelled) == 60
    assert labelled <= train
    held_out = {*trainer.splits.validation.tolist(), *trainer.splits.test.tolist()}
    assert not held_out & train
    # Wrong labels of other images do not change the result.
    unlabelled = [i for i in range(len(sprites.images)) if i not in labelled]
    trainer.bank.values[unlabelled] = 0
    list(trainer.fit())
    clean = Trainer(small_config("dsprites_v2"), sprites, sprites_oracle)
    list(clean.fit())
    assert all(map(torch.equal, weights(trainer), weights(clean)))


@pytest.mark.parametrize("ordered", [0.0, 1.0])
def test_training_goes_on_without_a_label_of_some_values(
    ordered: float, rooms: Prepared, rooms_oracle: Oracle, caplog: pytest.LogCaptureFixture
) -> None:
    config = small_config("shapes3d_v2").with_values(
        {"data.labels": 10, "data.label_draw": "random", "loss.ordered_means": ordered}
    )
    trainer = Trainer(config, rooms, rooms_oracle)
    hues = trainer.bank.values[trainer.labelled_index][:, 0]
    missing = sorted(set(range(10)) - set(hues.tolist()))
    names = ", ".join(map(str, missing))
    assert f"none of 10 labelled images shows object_hue {names};" in caplog.text
    for report in trainer.fit():
        terms = [value for name, value in report.metrics.items() if "train/" in name]
        assert all(map(math.isfinite, terms))
    assert "train/sleep" in report.metrics
    has_component = trainer.prior.log_weights[0].isfinite()
    assert has_component[missing].all() if ordered else not has_component[missing].any()
    assert 0 <= trainer.evaluate("test")["relation_accuracy_pixels"] <= 1
    read = trainer.coding.read(trainer.prior, trainer.codes_of(trainer.images_of("test")))
    if not ordered:
        assert not set(read[:, 0].tolist()) & set(missing)
        with pytest.raises(
            UserError, match=f"object_hue: '{missing[0]}' is not allowed: the model"
        ):
            trainer.model.set(torch.rand(1, 3, 64, 64).numpy(), object_hue=missing[0])
        path = trainer.model.interpolate(torch.rand(1, 3, 64, 64).numpy(), "object_hue", steps=3)
        assert path.shape == (1, 3, 3, 64, 64)


@pytest.mark.parametrize("model", ["modular", "monolithic"])
def test_training_ignores_validation_and_test_and_reports_ignore_test(
    model: ModelKind, sprites: Prepared, sprites_oracle: Oracle
) -> None:
    config = small_config("dsprites_v2", model)
    splits = split(sprites.digests, config.data.data_seed)

    def trained(data: Prepared) -> tuple[Trainer, list[tuple[int, str, dict[str, float]]]]:
        trainer = Trainer(config, data, sprites_oracle)
        return trainer, [scores(report) for report in trainer.fit()]

    clean, reports = trained(sprites)
    untested, same = trained(harmed(sprites, splits.test))
    assert same == reports
    unvalidated, others = trained(harmed(sprites, splits.validation))
    assert others[-1] != reports[-1]
    for trainer in (untested, unvalidated):
        assert all(map(torch.equal, weights(trainer), weights(clean)))
        assert torch.equal(trainer.prior.means, clean.prior.means)
        assert torch.equal(trainer.prior.covariances, clean.prior.covariances)
    name = "relation_accuracy_pixels"
    assert unvalidated.evaluate("test")[name] == clean.evaluate("test")[name]
    psnr = "reconstruction_psnr"
    assert untested.evaluate("test")[psnr] < clean.evaluate("test")[psnr]


def test_paper_preset_trains_the_literal_objective(
    sprites: Prepared, sprites_oracle: Oracle
) -> None:
    from tests.core.conftest import SMALL
    from weakdis_core.presets import preset

    config = preset("paper", "dsprites_v2").with_values({**SMALL, "training.warmup": 0.25})
    reports = list(Trainer(config, sprites, sprites_oracle).fit())
    terms = {name.removeprefix("train/") for name in reports[-1].metrics if "train/" in name}
    assert terms == {"reconstruction", "discriminator", "adversary", "relational"}


def test_loss_that_is_not_finite_stops_the_run(sprites: Prepared, sprites_oracle: Oracle) -> None:
    config = small_config("dsprites_v2")
    trainer = Trainer(config, sprites, sprites_oracle)
    next(trainer.fit())
    with torch.no_grad():
        next(iter(trainer.networks.autoencoder.parameters())).fill_(math.nan)
    with pytest.raises(TrainingDiverged) as caught:
        list(trainer.fit())
    message = str(caught.value)
    assert "by step 10 " in message
    assert "reconstruction nan" in message
    assert config.hash() in message


def test_checkpoint_of_another_configuration_is_an_error(
    sprites: Prepared, sprites_oracle: Oracle, tmp_path: Path
) -> None:
    config = small_config("dsprites_v2")
    Trainer(config, sprites, sprites_oracle).save(tmp_path / "c.pt")
    other = Trainer(config.with_values({"loss.lambda": 0.7}), sprites, sprites_oracle)
    with pytest.raises(UserError, match=rf"c\.pt: checkpoint of config {config.hash()}"):
        other.load(tmp_path / "c.pt")


def test_damaged_checkpoint_is_an_error(
    sprites: Prepared, sprites_oracle: Oracle, tmp_path: Path
) -> None:
    trainer = Trainer(small_config("dsprites_v2"), sprites, sprites_oracle)
    path = tmp_path / "c.pt"
    with pytest.raises(UserError, match=r"c\.pt: no such checkpoint"):
        trainer.load(path)
    trainer.save(path)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"hello"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"c\.pt: truncated or not a weakdis check") as refused:
            trainer.load(path)
        # Torch's own message advises an unsafe load.
        assert "weights_only" not in str(refused.value)
    for state, version in (({"core": 99}, "99"), ({"schema": 3}, "2 or earlier")):
        torch.save(state, path)
        with pytest.raises(UserError, match=rf"written by version {version} of the core, and"):
            trainer.load(path)
    assert [file.name for file in tmp_path.iterdir()] == ["c.pt"]


def test_missing_device_is_an_error(sprites: Prepared, sprites_oracle: Oracle) -> None:
    for name in ("cuda:17", "tpu", "abacus"):
        config = small_config("dsprites_v2").with_values({"runtime.device": name})
        with pytest.raises(UserError, match=f"runtime.device: '{name}'"):
            Trainer(config, sprites, sprites_oracle)


def test_reduced_precision_keeps_densities_and_losses_in_float32(
    sprites: Prepared, sprites_oracle: Oracle
) -> None:
    config = small_config("dsprites_v2").with_values({"runtime.precision": "bfloat16"})
    trainer = Trainer(config, sprites, sprites_oracle)
    reports = list(trainer.fit())
    assert all(math.isfinite(reports[1].metrics[f"train/{name}"]) for name in ("label", "sleep"))
    model = trainer.networks.autoencoder
    codes = model.encode(trainer.bank.batch(trainer.train_index[:4])).means
    exact = Trainer(small_config("dsprites_v2"), sprites, sprites_oracle)
    exact.networks.load_state_dict(trainer.networks.state_dict())
    full = exact.networks.autoencoder.encode(trainer.bank.batch(trainer.train_index[:4])).means
    assert codes.dtype == torch.float32
    assert not torch.equal(codes, full)
    torch.testing.assert_close(codes, full, atol=0.05, rtol=0.05)


def test_density_threshold_adds_the_accuracy_of_accepted_outcomes(
    sprites: Prepared, sprites_oracle: Oracle
) -> None:
    def last(threshold: float) -> dict[str, float]:
        config = small_config("dsprites_v2").with_values({"training.density_threshold": threshold})
        return list(Trainer(config, sprites, sprites_oracle).fit())[-1].metrics

    everything = last(-1e30)
    assert everything["val/accepted_ratio_latent"] == 1.0
    accuracy = everything["val/relation_accuracy_latent"]
    assert everything["val/relation_accuracy_latent_accepted"] == accuracy
    nothing = last(1e30)
    assert nothing["val/accepted_ratio_latent"] == 0.0
    assert math.isnan(nothing["val/relation_accuracy_latent_accepted"])


def test_checkpoint_of_other_images_or_another_device_is_an_error(
    sprites: Prepared, sprites_oracle: Oracle, tmp_path: Path
) -> None:
    path = tmp_path / "c.pt"
    trainer = Trainer(small_config("dsprites_v2"), sprites, sprites_oracle)
    trainer.save(path)
    state = torch.load(path, weights_only=True)
    torch.save({**state, "images": "0123"}, path)
    with pytest.raises(UserError, match=r"trained on images 0123, not on"):
        trainer.load(path)
    torch.save({**state, "device": "cuda"}, path)
    with pytest.raises(UserError, match=r"written on cuda, cannot be continued on cpu"):
        trainer.load(path)
    # An evaluation needs no generators of training.
    trainer.load(path, to_continue=False)
    torch.save({"core": state["core"], "network": {}}, path)
    with pytest.raises(UserError, match=r"holds no settings"):
        trainer.load(path)


def test_denormals_are_zero_in_training_only() -> None:
    smallest = torch.tensor(2e-38)
    with flush_denormals():
        assert smallest / 4 == 0
    assert smallest / 4 > 0
