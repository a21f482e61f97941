import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from weakdis_core.cli import console
from weakdis_core.cli import data_commands as commands
from weakdis_core.data import official
from weakdis_core.data.variants import VARIANTS
from weakdis_core.errors import UserError

SMALL = ["--variant", "dsprites_v2", "--max-images", "1000", "--source", "rendered"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("WEAKDIS_CACHE", str(folder))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("WEAKDIS_DATA", raising=False)
    return folder


def data(*args: str) -> None:
    commands.run(args, "python -m weakdis_core data")


def exit_code(*args: str) -> int | str | None:
    with pytest.raises(SystemExit) as caught:
        console.main(lambda: data(*args))
    return caught.value.code


def test_list_shows_everything_in_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    data("prepare", "--variant", "dsprites_v2", "--source", "rendered")
    capsys.readouterr()
    data("list")
    shown = capsys.readouterr().out
    for variant in VARIANTS.values():
        rows = [line for line in shown.splitlines() if variant.name in line]
        assert f"{variant.n_combinations:,}" in rows[0]
        for factor in variant.factors:
            assert f"{factor.name} {factor.n_values}" in shown
        for relation in variant.relation_names:
            assert relation in shown
        assert ("rendered" in rows[0]) == (variant.name == "dsprites_v2")
    assert shown.count("absent") == 2
    assert "…" not in shown


def test_list_names_the_official_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / ("long" * 30) / "3dshapes.h5"
    monkeypatch.setattr(
        official, "find", lambda family, data_dir: file if family == "shapes3d" else None
    )
    data("list")
    assert f"official shapes3d file: {file}\n" in capsys.readouterr().out


def test_prepare_prints_one_line(capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    data("prepare", *SMALL)
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out.startswith(f"dsprites_v2: 1,000 rendered images in {cache}")
    assert shown.out.count("\n") == 1


@pytest.mark.slow
def test_prepare_all(capsys: pytest.CaptureFixture[str]) -> None:
    data("prepare", "--variant", "all", "--max-images", "1000", "--source", "rendered")
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == list(VARIANTS)


def test_download_writes_to_the_cache_or_the_given_folder(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets: list[Path] = []

    def fetch(family: str, target: Path) -> Path:
        targets.append(target)
        return target / family

    monkeypatch.setattr(official, "download", fetch)
    data("download", "--family", "dsprites")
    data("download", "--family", "shapes3d", "--data-dir", str(tmp_path))
    assert targets == [cache / "official", tmp_path]


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["dsprites_v4", "shapes3d_v5"])
def test_show_writes_a_picture(variant: str, tmp_path: Path) -> None:
    file = tmp_path / "samples.png"
    args = ["--variant", variant, "--source", "rendered", "--max-images", "1000"]
    data("show", *args, "--output", str(file), "--rows", "2", "--columns", "3")
    with Image.open(file) as picture:
        assert picture.width > 3 * 192
        assert picture.height > 2 * 192
        # The picture is not blank.
        assert len(set(picture.convert("L").get_flattened_data())) > 2


REFUSED = [
    (["prepare", "--variant", "dsprites_v9"], ["variant", "dsprites_v9", "shapes3d_v5"]),
    (["prepare", *SMALL[:2], "--max-images", "3"], ["data.max_images: 3 is not allowed", "1000"]),
    (["prepare", *SMALL[:2], "--data-seed", "-1"], ["data.data_seed: -1 is not allowed"]),
    (["prepare", *SMALL[:2], "--source", "found"], ["--source", "found", "rendered"]),
    (["prepare", *SMALL[:2], "--source", "official"], ["data download", "source rendered"]),
    (["prepare", *SMALL[:2], "--data-dir", "/nowhere"], ["/nowhere"]),
    (["download", "--family", "mnist"], ["--family", "mnist", "shapes3d"]),
    (["show", *SMALL, "--output", "x.jpg"], ["output: 'x.jpg' is not allowed", ".png"]),
    (["show", *SMALL, "--output", "/nowhere/x.png"], ["/nowhere/x.png: cannot be written"]),
    (["show", *SMALL, "--output", "x.png", "--rows", "0"], ["rows: 0 is not allowed", "1 to 20"]),
    (["unpack"], ["unpack", "list, prepare, download, show"]),
]


@pytest.mark.parametrize(("args", "parts"), REFUSED)
def test_errors_name_field_value_and_what_is_allowed(
    args: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(*args) == 2
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    for part in parts:
        assert part in shown.err


def test_show_of_an_unknown_variant_writes_nothing(cache: Path) -> None:
    assert exit_code("show", "--variant", "x", "--output", "x.png") == 2
    assert not cache.exists()


def module(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "weakdis_core", *args]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_commands_run_as_a_module() -> None:
    done = module("data", "prepare", *SMALL)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("dsprites_v2: 1,000 rendered images")
    refused = module("data", "prepare", "--variant", "dsprites_v2", "--max-images", "3")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: data.max_images: 3 is not allowed")
    unknown = module("date")
    assert unknown.returncode == 2
    assert "'date' is not one of data, train, manipulate" in unknown.stderr
    assert "data, train" not in module("--help").stderr


def test_an_invalid_output_is_a_user_error() -> None:
    with pytest.raises(UserError):
        data("show", *SMALL, "--output", "x.gif")
