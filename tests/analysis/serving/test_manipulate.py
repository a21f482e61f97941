"""`python -m analysis manipulate`: models by address, applied to a user's picture."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from mlflow.models import Model
from PIL import Image, ImageChops

import analysis
from analysis.__main__ import run
from tests.analysis.tracked import Store
from tests.analysis.untrained import untrained
from weakdis_core.errors import UserError


def call(monkeypatch: pytest.MonkeyPatch, *args: str) -> None:
    monkeypatch.setattr(sys, "argv", ["python -m analysis", "manipulate", *args])
    run()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a checkpoint and a picture."""
    monkeypatch.chdir(tmp_path)
    untrained("dsprites_v2", tmp_path / "trained" / "checkpoint.pt")
    Image.new("RGB", (200, 100), "white").save(tmp_path / "picture.png")
    return tmp_path


def registered(store: Store, checkpoint: Path) -> str:
    """Register a version of weakdis-dsprites_v2 as `best`, and return the id of its run."""
    experiment = store.experiment("dsprites_v2")
    run_id = str(store.client.create_run(experiment).info.run_id)
    folder = checkpoint.parents[1] / "served"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "checkpoint.pt").write_bytes(checkpoint.read_bytes())
    Model(run_id=run_id).save(str(folder / "MLmodel"))
    model = store.client.create_logged_model(experiment, "model", run_id)
    store.client.log_model_artifacts(model.model_id, str(folder))
    store.client.finalize_logged_model(model.model_id, "READY")
    store.client.log_artifact(run_id, str(checkpoint), "checkpoint")
    name = "weakdis-dsprites_v2"
    store.client.create_registered_model(name)
    version = store.client.create_model_version(
        name, f"models:/{model.model_id}", run_id, model_id=model.model_id
    )
    store.client.set_registered_model_alias(name, "best", version.version)
    return run_id


def width(path: Path) -> int:
    """Return the right end of the row of images in pixels; the picture may be wider."""
    with Image.open(path) as image:
        row = image.convert("L").crop((0, image.height - 64, *image.size))
    box = ImageChops.invert(row).getbbox()
    assert box is not None
    return box[2]


def test_registered_model_changes_a_picture(
    store: Store, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = registered(store, place / "trained" / "checkpoint.pt")
    name = "models:/weakdis-dsprites_v2"
    for model in (f"{name}@best", f"{name}/1", f"{name}/latest", f"runs:/{run_id}"):
        call(monkeypatch, "--model", model, "--image", "picture.png", "--relation", "move_left")
        assert "picture.png: converted (RGB to L, 200x100 to 64x64" in capsys.readouterr().out
        assert analysis.load(model).variant.name == "dsprites_v2"
        one = width(place / "manipulation.png")
        (place / "manipulation.png").unlink()
    call(monkeypatch, "--model", f"{name}@best", "--image", "picture.png", "--output", "all.png")
    assert width(place / "all.png") > one


def test_unknown_model_error_lists_known_models(
    store: Store, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(model: str) -> str:
        with pytest.raises(UserError) as error:
            call(monkeypatch, "--model", model, "--image", "picture.png")
        return str(error.value)

    assert refused("models:/weakdis-dsprites_v2@best").endswith("; it has none")
    registered(store, place / "trained" / "checkpoint.pt")
    there = "there are: weakdis-dsprites_v2 (1 to 1, @best is 1)"
    for model in (
        "weakdis-dsprites_v2@good",
        "weakdis-dsprites_v2/7",
        "weakdis-dsprites_v4/latest",
    ):
        message = refused(f"models:/{model}")
        assert message.startswith(f"model: there is no models:/{model} in sqlite:///")
        assert message.endswith(there)
    assert "runs:/nothing cannot be fetched" in refused("runs:/nothing")
    assert "is not an address: models:/NAME@ALIAS" in refused("models:/a/b/c")


def test_model_on_disk_needs_no_store(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for model in ("trained", "trained/checkpoint.pt"):
        call(monkeypatch, "--model", model, "--image", "picture.png")
    assert (place / "manipulation.png").exists()
    assert not (place / "mlflow.db").exists()


def test_values_are_read_and_set(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, "--model", "trained", "--image", "picture.png", "--relation", "move_left")
    one = width(place / "manipulation.png")
    values = ("--set", "shape=heart", "--set", "posX=0")
    call(monkeypatch, "--model", "trained", "--image", "picture.png", *values)
    assert width(place / "manipulation.png") == one
    capsys.readouterr()
    flags = ("--relation", "move_left", "--times", "2")
    call(monkeypatch, "--model", "trained", "--image", "picture.png", *values, *flags)
    assert width(place / "manipulation.png") > one
    found = analysis.load("trained").read(Image.open(place / "picture.png"))
    lines = [f"{name}: {r.names[0]} ({r.probabilities.max():.3f})" for name, r in found.items()]
    assert capsys.readouterr().out.splitlines()[1:-1] == lines


def test_a_picture_unlike_the_training_data_gets_a_warning(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for lowest, expected in ((float("inf"), True), (-float("inf"), False), (None, False)):
        untrained("dsprites_v2", place / "checkpoint.pt", lowest)
        call(monkeypatch, "--model", ".", "--image", "picture.png")
        warned = "warning: this picture is unlike the training data" in capsys.readouterr().err
        assert warned is expected


@pytest.mark.usefixtures("cache")
def test_without_a_picture_test_images_are_drawn(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in ("1", "2"):
        call(
            monkeypatch, "--checkpoint", "trained", "--images", number, "--output", f"{number}.png"
        )
    with Image.open(place / "1.png") as one, Image.open(place / "2.png") as two:
        assert one.height < two.height
    with pytest.raises(UserError, match="images: 0 is not allowed: from 1 to 100"):
        call(monkeypatch, "--checkpoint", "trained", "--images", "0")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"--model": "nowhere"}, "model: there is no nowhere: models:/NAME@ALIAS"),
        ({"--model": "."}, "model: . holds no checkpoint.pt"),
        ({"--image": "nothing.png"}, "image: nothing.png cannot be read (No such file"),
        (
            {"--image": "trained/checkpoint.pt"},
            "trained/checkpoint.pt cannot be read (unknown format",
        ),
        ({"--relation": "up"}, "relation: 'up' is not one of dsprites_v2's: change_shape"),
        ({"--times": "0"}, "times: 0 is not allowed: at least 1"),
        ({"--set": "shape"}, "set: 'shape' is not allowed: FACTOR=VALUE is needed"),
        ({"--set": "scale=1"}, "factor: 'scale' is not one of dsprites_v2's: shape, posX, posY"),
        ({"--set": "shape=cube"}, "shape: 'cube' is not one of square, ellipse, heart (0 to 2)"),
    ],
)
def test_mistakes_name_what_is_allowed(
    flags: dict[str, str], message: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"--model": "trained", "--image": "picture.png"} | flags
    with pytest.raises(UserError) as refused:
        call(monkeypatch, *(part for pair in given.items() for part in pair))
    assert message in str(refused.value)
