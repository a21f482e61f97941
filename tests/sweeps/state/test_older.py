"""Files of commit b87409d, of core version 2: a registered model, and sweeps that were killed.

Sweeps are listed, and MLflow serves the model with its own code. Nothing else uses them, because
numbers of two versions of the core do not compare.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from PIL import Image

from tests.sweeps.support.finished import SCRIPT

ARCHIVE = SCRIPT.parents[1] / "tests" / "fixtures" / "begun_at_b87409d.tar.xz"
MADE_IN = "/tmp/begun"
VARIANT = "dsprites_v2"
BEST = f"models:/weakdis-{VARIANT}@best"

pytestmark = pytest.mark.slow


def repoint(database: sqlite3.Connection, folder: Path) -> None:
    """Replace the folder that the sweeps were made in by another one in a database."""
    for (table,) in database.execute("select name from sqlite_master where type = 'table'"):
        for _, column, *_ in database.execute(f'pragma table_info("{table}")'):
            database.execute(
                f'update "{table}" set "{column}" = replace("{column}", :old, :new) '
                f'where instr("{column}", :old)',
                {"old": MADE_IN, "new": str(folder)},
            )
    database.commit()


@pytest.fixture(scope="module")
def begun(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the sweeps, with its path replaced in all databases.

    MLflow and the studies store absolute paths.
    """
    place = tmp_path_factory.mktemp("older")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(place, filter="data")
    folder = place / "begun"
    for file in folder.rglob("*.db"):
        with closing(sqlite3.connect(file)) as database:
            repoint(database, folder)
    return folder


def ran(folder: Path, *words: str, code: int = 0) -> str:
    """Run a command by this Python in a folder, and return what it prints."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder, env=os.environ | {"MLFLOW_TRACKING_URI": uri(folder)},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + (done.stderr if code else "")


def uri(folder: Path) -> str:
    return f"sqlite:///{folder / 'mlflow.db'}"


def test_its_sweeps_are_listed(begun: Path) -> None:
    shown = ran(begun, str(SCRIPT), "--list")
    assert re.search(r"^ *complete +ended", shown, re.MULTILINE)
    for name in ("cut-search", "cut-confirmation"):
        assert re.search(rf"^ *{name} +interrupted", shown, re.MULTILINE)


def test_the_status_of_its_killed_search(begun: Path) -> None:
    shown = ran(begun, str(SCRIPT), "--status", "cut-search")
    assert re.search(r"^ *1 +complete +60/60", shown, re.MULTILINE)
    assert re.search(r"^ *2 +interrupted +20/60", shown, re.MULTILINE)


def test_its_model_is_refused_by_the_core_of_another_version(begun: Path, tmp_path: Path) -> None:
    assert MlflowClient(uri(begun)).get_model_version_by_alias(f"weakdis-{VARIANT}", "best")
    image = tmp_path / "picture.png"
    Image.new("L", (100, 100)).save(image)
    flags = ["--image", str(image), "--relation", "move_left", "--output", str(tmp_path / "new")]
    shown = ran(begun, "-m", "analysis", "manipulate", "--model", BEST, *flags, code=2)
    assert "written by version 2 or earlier of the core, and this is version" in shown
    assert "Traceback" not in shown


def test_mlflow_loads_its_model_with_the_code_it_was_packed_with(
    begun: Path, tmp_path: Path
) -> None:
    (example,) = begun.glob("mlruns/*/models/*/artifacts/serving_input_example.json")
    output = tmp_path / "output.json"
    call = ["-m", "mlflow", "models", "predict", "--model-uri", BEST, "--env-manager", "local"]
    ran(begun, *call, "--input-path", str(example), "--output-path", str(output))
    (row,) = json.loads(output.read_text())["predictions"]
    assert Image.open(io.BytesIO(base64.b64decode(row["image"]))).size == (64, 64)
    load = "import mlflow.pyfunc, sys; mlflow.pyfunc.load_model(sys.argv[1])"
    origin = ran(begun, "-c", f"{load}; import analysis.served as s; print(s.__file__)", BEST)
    assert Path(origin.strip()).is_relative_to(example.parent / "code")


@pytest.mark.parametrize("name", ["cut-search", "cut-confirmation"])
def test_its_killed_sweeps_are_not_resumed(begun: Path, name: str) -> None:
    shown = ran(begun, str(SCRIPT), "--resume", name, code=2)
    assert f"'{name}' began with version 2 of the core" in shown
