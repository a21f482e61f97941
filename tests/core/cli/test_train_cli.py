"""`python -m weakdis_core train` and `manipulate`, as a user types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.core.conftest import SMALL
from weakdis_core.__main__ import run
from weakdis_core.cli import console
from weakdis_core.pictures.write import CAPTIONS
from weakdis_core.presets import preset


def weakdis(*args: str, cache: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "WEAKDIS_CACHE": str(cache), "COLUMNS": "200"}
    command = [sys.executable, "-m", "weakdis_core", *args]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["train"], "error: variant: none given; use --variant NAME or --config FILE"),
        (["train", "--variant", "dsprites_v9"], "error: variant: 'dsprites_v9' is not one of dspr"),
        (
            ["train", "--variant", "dsprites_v2", "--loss.lambda", "-1"],
            "error: loss.lambda: -1.0 is not allowed: Input should be greater than 0",
        ),
        (
            ["train", "--variant", "dsprites_v2", "--training.warmup", "0.9"],
            "warmup 0.9 and ending 0.3 leave no steps between them",
        ),
        (["train", "--config", "nowhere.yaml"], "error: nowhere.yaml: cannot be read"),
        (["train", "--variant", "dsprites_v2", "--no-such-flag", "1"], "--no-such-flag"),
        (
            ["train", "--variant", "dsprites_v2", "--preset", "best"],
            "one of ('default', 'paper', 'quick', 'generic')",
        ),
        (["train", "--variant", "dsprites_v2", "--model", "magic"], "'magic'"),
        (
            [
                "train",
                "--variant",
                "dsprites_v2",
                "--preset",
                "paper",
                "--model.kind",
                "monolithic",
            ],
            "error: model.kind: use --model",
        ),
        (
            [
                "train",
                "--variant",
                "dsprites_v2",
                "--model",
                "monolithic",
                "--model.nuisance-partitions",
                "1",
            ],
            "model.nuisance_partitions 1 needs several partitions",
        ),
        (
            ["manipulate", "--checkpoint", "nowhere.pt"],
            "error: nowhere.pt: no such checkpoint file",
        ),
        (["manipulate", "--checkpoint", "x", "--images", "0"], "error: images: 0 is not allowed"),
        (["juggle"], "error: command: 'juggle' is not one of data, train, manipulate"),
    ],
)
def test_invalid_input_prints_an_error_and_exits_with_code_2(
    args: list[str],
    message: str,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["weakdis_core", *args])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as stopped:
        console.main(run)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not cache.exists()


@pytest.mark.slow
def test_missing_official_data_is_an_error(cache: Path) -> None:
    args = ["train", "--variant", "dsprites_v2", "--data.source", "official"]
    result = weakdis(*args, cache=cache)
    assert result.returncode == 2
    assert "data.source: no official file of dsprites" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_a_run_writes_its_files_and_is_repeatable(small_cache: Path, tmp_path: Path) -> None:
    cache = small_cache
    flags = [part for name, value in SMALL.items() for part in (f"--{name}", str(value))]
    flags = [flag.replace("_", "-") if flag.startswith("--") else flag for flag in flags]
    first, second = tmp_path / "first", tmp_path / "second"
    result = weakdis(
        "train", "--variant", "dsprites_v2", *flags, "--output", str(first), cache=cache
    )
    assert result.returncode == 0, result.stderr
    assert "step 24 (ending" in result.stdout
    files = {path.name for path in first.iterdir()}
    assert files == {"checkpoint.pt", "config.yaml", "metrics.json", "pictures"}
    pictures = {path.stem for path in (first / "pictures").iterdir()}
    assert pictures == set(CAPTIONS)
    metrics = json.loads((first / "metrics.json").read_text())
    assert 0 <= metrics["relation_accuracy_pixels"] <= 1
    assert 0 < metrics["oracle_accuracy"] <= 1

    refused = weakdis(
        "train", "--config", str(first / "config.yaml"), "--output", str(first), cache=cache
    )
    assert refused.returncode == 2
    assert "continue it with --resume or choose another --output" in refused.stderr

    config = str(first / "config.yaml")
    again = weakdis("train", "--config", config, "--output", str(second), cache=cache)
    assert again.returncode == 0, again.stderr
    assert json.loads((second / "metrics.json").read_text()) == metrics

    resumed = weakdis("train", "--config", config, "--output", str(second), "--resume", cache=cache)
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads((second / "metrics.json").read_text()) == metrics

    picture = tmp_path / "left.png"
    drawn = weakdis(
        "manipulate", "--checkpoint", str(first / "checkpoint.pt"), "--relation", "move_left",
        "--images", "3", "--output", str(picture), cache=cache,
    )  # fmt: skip
    assert drawn.returncode == 0, drawn.stderr
    with Image.open(picture) as image:
        assert min(image.size) > 300
    unknown = weakdis(
        "manipulate", "--checkpoint", str(first / "checkpoint.pt"), "--relation", "fly", cache=cache
    )
    assert unknown.returncode == 2
    assert "relation: 'fly' is not one of dsprites_v2's: change_shape" in unknown.stderr


def test_model_chooses_the_preset_and_must_match_a_file(
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def typed(*args: str) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["weakdis_core", "train", *args])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as stopped:
            console.main(run)
        shown = capsys.readouterr()
        return stopped.value.code, shown.out + shown.err

    code, text = typed("--variant", "shapes3d_v2", "--model", "monolithic", "--help")
    assert code == 0
    assert "(default: monolithic)" in text
    size = preset("default", "shapes3d_v2", "monolithic").model.latent_size
    assert f"(default: {size})" in text
    path = tmp_path / "config.yaml"
    preset("default", "shapes3d_v2", "monolithic").save(path)
    code, text = typed("--config", str(path), "--model", "modular")
    assert code == 2
    assert f"error: model: 'modular', but {path} is of monolithic" in text
    code, text = typed("--config", str(path), "--preset", "quick")
    assert code == 2
    assert f"error: preset: 'quick', but the settings come from {path}" in text
    assert not cache.exists()
