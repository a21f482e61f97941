"""Training on a GPU: repeatable, resumable and consistent with a CPU."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from tests.core.conftest import small_config
from weakdis_core.config.config import Config
from weakdis_core.data.prepared import Prepared, prepare
from weakdis_core.errors import UserError
from weakdis_core.evaluation.oracle import Oracle
from weakdis_core.evaluation.oracle_cache import prepare_oracle
from weakdis_core.presets import preset
from weakdis_core.training.trainer import Trainer

pytestmark = pytest.mark.gpu


# Settings of the preset generic with operations that the other two do not use.
GENERIC = {
    "model.encoder": "residual",
    "model.decoder": "palette_patch",
    "model.he_initialisation": True,
    "loss.consistency_weight": 20.0,
}


@pytest.fixture(params=["sprites", "rooms", "generic"])
def made(request: pytest.FixtureRequest) -> tuple[Config, Prepared, Oracle]:
    """A small configuration on a GPU, with its images and oracle."""
    images = "rooms" if request.param == "generic" else request.param
    prepared: Prepared = request.getfixturevalue(images)
    oracle: Oracle = request.getfixturevalue(f"{images}_oracle")
    config = small_config(prepared.variant.name).with_values({"runtime.device": "cuda"})
    return config.with_values(GENERIC if request.param == "generic" else {}), prepared, oracle


def trained(trainer: Trainer, steps: int | None = None) -> dict[str, float]:
    """Return the metrics of the last report, or of the one at `steps`."""
    for report in trainer.fit():
        if report.step == steps:
            break
    return {name: value for name, value in report.metrics.items() if math.isfinite(value)}


def test_the_same_seed_gives_the_same_numbers(made: tuple[Config, Prepared, Oracle]) -> None:
    once, again = (trained(Trainer(*made)) for _ in range(2))
    assert once == again
    assert once["val/relation_accuracy_pixels"] >= 0


def test_resumed_training_gives_the_same_numbers(
    made: tuple[Config, Prepared, Oracle], tmp_path: Path
) -> None:
    interrupted = Trainer(*made)
    trained(interrupted, steps=12)
    interrupted.save(tmp_path / "c.pt")
    resumed = Trainer(*made)
    resumed.load(tmp_path / "c.pt")
    assert resumed.step == 12
    assert trained(resumed) == trained(Trainer(*made))


def test_codes_are_close_to_those_of_a_cpu(made: tuple[Config, Prepared, Oracle]) -> None:
    config, prepared, oracle = made
    cpu = Trainer(config.with_values({"runtime.device": "cpu"}), prepared, oracle)
    index = torch.arange(32)
    codes = cpu.networks.autoencoder.encode(cpu.bank.batch(index)).means
    for precision, tolerance in (("float32", 1e-2), ("bfloat16", 5e-2)):
        gpu = Trainer(config.with_values({"runtime.precision": precision}), prepared, oracle)
        gpu.networks.load_state_dict(cpu.networks.state_dict())
        same = gpu.networks.autoencoder.encode(gpu.bank.batch(index.cuda())).means.cpu()
        torch.testing.assert_close(codes, same, atol=tolerance, rtol=tolerance)


def test_a_checkpoint_loads_without_a_gpu_for_evaluation(
    made: tuple[Config, Prepared, Oracle], tmp_path: Path
) -> None:
    config, prepared, oracle = made
    trainer = Trainer(*made)
    trained(trainer)
    trainer.save(tmp_path / "c.pt")
    there = Trainer(config.with_values({"runtime.device": "cpu"}), prepared, oracle)
    with pytest.raises(UserError, match="written on cuda, cannot be continued on cpu"):
        there.load(tmp_path / "c.pt")
    there.load(tmp_path / "c.pt", to_continue=False)
    name = "reconstruction_psnr"
    assert there.evaluate("test")[name] == pytest.approx(trainer.evaluate("test")[name], abs=0.5)


def test_an_oracle_trained_on_a_gpu_loads_on_a_cpu(sprites: Prepared, cache: Path) -> None:
    config = small_config("dsprites_v2")
    prepared = prepare(config.data)
    oracle = prepare_oracle(prepared, config.data, "cuda")
    assert next(oracle.network.parameters()).device.type == "cpu"
    (file,) = cache.glob("oracles/*.pt")
    written = file.stat().st_mtime_ns
    assert prepare_oracle(prepared, config.data).clean_accuracy == oracle.clean_accuracy
    assert file.stat().st_mtime_ns == written


@pytest.mark.parametrize("variant", ["dsprites_v4", "shapes3d_v3"])
def test_the_default_preset_learns(variant: str) -> None:
    # Full size, a sixth of the steps; bfloat16 if the GPU supports it.
    config = preset("default", variant).with_values(
        {"training.steps": 400, "data.max_images": 20_000, "data.source": "rendered"}
    )
    prepared = prepare(config.data)
    trainer = Trainer(config, prepared, prepare_oracle(prepared, config.data, "cuda"))
    assert trainer.device.type == "cuda"
    trained(trainer)
    assert trainer.evaluate("test")["relation_accuracy_latent"] > 0.5
