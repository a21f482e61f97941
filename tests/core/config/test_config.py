"""Settings: identity, ranges and presets."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, get_args

import pytest

from weakdis_core.config.config import Config
from weakdis_core.data.variants import VARIANTS
from weakdis_core.errors import UserError
from weakdis_core.presets import PresetName, preset


def test_the_hash_depends_on_settings_that_change_the_result() -> None:
    config = preset("default", "dsprites_v4")
    same = config.with_values(
        {"seed": 7, "runtime.device": "cuda", "runtime.threads": 4, "runtime.data_dir": "/data"}
    )
    assert same.hash() == config.hash()
    for change in ({"loss.lambda": 0.3}, {"data.labels": 300}, {"data.data_seed": 1}):
        assert config.with_values(change).hash() != config.hash()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", get_args(PresetName))
def test_presets_fit_their_variant(name: PresetName, variant: str) -> None:
    config = preset(name, variant)
    assert config.data.variant == variant
    assert config.data.labels == 1000


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_paper_preset_has_the_papers_sizes(variant: str) -> None:
    settings = preset("paper", variant).flat()
    sizes = ("model.discriminator_width", "model.relational_width", "training.batch_size")
    assert [settings[name] for name in sizes] == [1024, 1024, 1024]
    assert settings["training.relation_batch_size"] == 128
    assert settings["model.latent_size"] == 8


def test_settings_survive_saving_and_loading(tmp_path: Path) -> None:
    config = preset("default", "shapes3d_v5").with_values({"loss.lambda": 1.25, "seed": 3})
    config.save(tmp_path / "best.yaml")
    assert "lambda: 1.25" in (tmp_path / "best.yaml").read_text()
    assert Config.load(tmp_path / "best.yaml") == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss.lambda": -1}, r"^loss\.lambda: -1 is not allowed: .*greater than 0$"),
        ({"model.latent_size": 0}, r"^model\.latent_size: 0 is not allowed: .*equal to 1$"),
        ({"model.latent_size": "big"}, r"^model\.latent_size: 'big' is not allowed: .*integer"),
        ({"data.labels": 3}, r"^data\.labels: 3 is not allowed: .*at least 10$"),
        ({"loss.prior_matching": "mmd"}, r"'mmd' is not allowed: .*'adversarial' or 'kl'"),
        ({"loss.lambda.x": 1}, r"^loss\.lambda\.x: no such setting"),
        ({"loss.lamda": 1}, r"^loss\.lamda: no such setting; known: data\.variant"),
        ({"training.warmup": 0.9}, r"warmup 0\.9 and ending .* leave no steps between them"),
        (
            {"training.steps": 10, "training.warmup": 0.96, "training.ending": 0},
            r"of 10 the first 10 are warmup, and the ending begins after 10$",
        ),
    ],
)
def test_errors_name_the_setting_the_value_and_what_is_allowed(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        preset("default", "dsprites_v4").with_values(changes)


def test_a_file_loads_in_every_locale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = preset("default", "shapes3d_v5")
    config.save(tmp_path / "best.yaml")
    with (tmp_path / "best.yaml").open("ab") as file:
        file.write("# für später\n".encode())
    monkeypatch.setattr(io, "text_encoding", lambda given, *_: given or "ascii")
    assert Config.load(tmp_path / "best.yaml") == config


def test_errors_name_invalid_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yaml: cannot be read"):
        Config.load(tmp_path / "none.yaml")
    for text in ("a: [", "just words", "\x00"):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(UserError, match=r"bad\.yaml: "):
            Config.load(tmp_path / "bad.yaml")


def test_settings_at_their_defaults_do_not_change_the_hash() -> None:
    assert (
        Config.model_validate({"data": {"labels": 1000}, "loss": {"sleep_weight": 0.0}}).hash()
        == Config().hash()
    )
    assert Config.model_validate({"data": {"labels": 300}}).hash() != Config().hash()
