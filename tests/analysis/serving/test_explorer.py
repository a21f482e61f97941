"""`weakdis explore`: a page that changes the factors of a picture."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import uvicorn
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from analysis.serving.explorer import MOST_BYTES, Explorer, build_app, listen
from analysis.serving.serving_commands import run_explore
from tests.analysis.untrained import untrained
from tests.conftest import program
from tests.patience import PATIENCE
from weakdis_core.data.picture_files import read_picture
from weakdis_core.errors import UserError
from weakdis_core.model import WARNING, Model, load

ROOT = Path(__file__).parents[3]


def picture_file(side: int = 64) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.tri(side, side // 2, dtype=np.uint8) * 255).save(file, "png")
    return file.getvalue()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(untrained("dsprites_v4", tmp_path_factory.mktemp("explored") / "checkpoint.pt"))


@pytest.fixture(scope="module")
def address(model: Model) -> Iterator[str]:
    """Address of a running page."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        app = build_app(Explorer(model, picture_file()))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def post(url: str, **body: Any) -> requests.Response:
    return requests.post(url, timeout=PATIENCE, **body)


def test_a_picture_is_read_and_changed_as_by_the_model(address: str, model: Model) -> None:
    content = picture_file(100)
    opened = post(f"{address}/picture", data=content).json()
    pixels = read_picture(content, 1).pixels
    codes = model.encode(pixels)
    np.testing.assert_array_equal(np.float32(opened["codes"]), codes[0])
    assert opened["changes"] == "50x100 to 64x64 pixels, padded"
    assert opened["warning"] == ""
    for name, found in model.read(pixels).items():
        assert opened["read"][name]["value"] == found.values[0]
        assert opened["read"][name]["name"] == found.names[0]
    values = {"shape": 2, "posX": 0}
    changed = post(f"{address}/change", json={"codes": opened["codes"], "values": values})
    assert changed.headers["content-type"] == "image/png"
    shown = np.asarray(Image.open(io.BytesIO(changed.content))) / 255
    expected = model.set(pixels, shape="heart", posX=0)[0, 0]
    assert np.abs(shown - expected).max() <= 0.5 / 255 + 1e-6


def test_bad_requests_get_plain_text(address: str, model: Model) -> None:
    codes = model.encode(read_picture(picture_file(), 1).pixels)[0].tolist()
    for path, body, message in (
        ("picture", {"data": b"hello"}, "cannot be read (unknown format); a PNG"),
        ("picture", {"data": bytes(MOST_BYTES + 1)}, "image: at most 20 MB are allowed"),
        ("change", {"data": b"hello"}, "Invalid JSON"),
        ("change", {"json": {"codes": [[0.0]], "values": {}}}, "codes: not of this model"),
        ("change", {"json": {"codes": [*codes[:-1], [1.0]], "values": {}}}, "not of this model"),
        ("change", {"json": {"codes": codes, "values": {"scale": 5}}}, "scale: 5 is not one of"),
        ("change", {"json": {"codes": codes, "values": {"hue": 0}}}, "factor: 'hue' is not one"),
    ):
        answer = post(f"{address}/{path}", **body)
        assert (answer.status_code, message in answer.text) == (400, True), answer.text
        assert answer.headers["content-type"].startswith("text/plain")


def test_other_sites_cannot_use_the_page(address: str) -> None:
    for host, status in (("evil.example", 400), ("127.0.0.1", 200), ("localhost:8000", 200)):
        headers = {"Host": host, "Origin": "http://evil.example"}
        answer = requests.get(address, headers=headers, timeout=PATIENCE)
        assert answer.status_code == status
        assert "access-control-allow-origin" not in answer.headers
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_a_sample_of_the_prior_is_shown_without_a_picture(model: Model) -> None:
    one, other = Explorer(model), Explorer(model)
    assert one.first["codes"] != other.first["codes"]
    model.lowest_density = float("inf")
    assert Explorer(model).first["warning"] == WARNING
    model.lowest_density = None
    assert one.seconds() < PATIENCE


def test_mistakes_name_what_is_allowed(tmp_path: Path) -> None:
    untrained("dsprites_v2", tmp_path / "checkpoint.pt")

    def refused(*flags: str) -> str:
        with pytest.raises(UserError) as error:
            run_explore(["--model", str(tmp_path), *flags], "weakdis explore")
        return str(error.value)

    with listen(0) as taken:
        port = str(taken.getsockname()[1])
        assert refused("--port", port).startswith(f"port: {port} cannot be used (Address already")
    assert refused("--port", "80000") == "port: 80000 is not allowed: from 1 to 65535"
    assert "nothing.png cannot be read (No such" in refused(
        "--port", port, "--image", "nothing.png"
    )
    assert "there is no nowhere" in refused("--port", port, "--model", "nowhere")


def shown(page: Page, label: str) -> list[int]:
    """The pixels of the picture of this name."""
    script = """image => { const canvas = document.createElement("canvas");
        canvas.width = canvas.height = 64; const context = canvas.getContext("2d");
        context.drawImage(image, 0, 0, 64, 64);
        return [...context.getImageData(0, 0, 64, 64).data]; }"""
    pixels: list[int] = page.get_by_role("img", name=label).evaluate(script)
    return pixels


def wait_for_state(page: Page, text: str) -> None:
    page.locator("#state", has_text=text).wait_for()
    page.wait_for_function("document.getElementById('changed').complete")


@pytest.mark.slow
@pytest.mark.needs_command("chromium", "chromium")
def test_a_slider_changes_the_picture_in_a_browser(tmp_path: Path) -> None:
    untrained("dsprites_v4", tmp_path / "checkpoint.pt", float("inf"))
    (tmp_path / "own.png").write_bytes(picture_file(100))
    with listen(0) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "sweeps.cli.weakdis", "explore", "--model", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    log = tmp_path / "log"
    with log.open("w") as output, subprocess.Popen(
        [*command, "--port", str(port)], stdout=output, stderr=output, env=environment,
    ) as process, sync_playwright() as play:  # fmt: skip
        try:
            deadline = time.monotonic() + PATIENCE
            while "Ctrl-C ends it" not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.2)
            browser = play.chromium.launch(
                executable_path=program("chromium"), args=["--no-sandbox", "--disable-gpu"]
            )
            for width in (1400, 390):
                page = browser.new_page(viewport={"width": width, "height": 844})
                page.set_default_timeout(PATIENCE * 1000)
                check_page(page, f"http://127.0.0.1:{port}", tmp_path / "own.png", width)
            browser.close()
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(timeout=PATIENCE) == 0
    assert "ms for a changed picture" in log.read_text()
    assert "Traceback" not in log.read_text()


def check_page(page: Page, address: str, own: Path, width: int) -> None:
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: problems.append(request.url) if not request.url.startswith(
        (address, "data:", f"blob:{address}")) else None)  # fmt: skip
    page.goto(address)
    wait_for_state(page, "Nothing is set")
    before = shown(page, "Changed picture")
    slider = page.get_by_role("slider", name="orientation")
    read = int(slider.input_value())
    slider.press("Home" if read else "End")
    wait_for_state(page, f"Set: orientation {0 if read else 7}")
    assert shown(page, "Changed picture") != before
    page.get_by_role("button", name="Reset").click()
    wait_for_state(page, "Nothing is set")
    assert shown(page, "Changed picture") == before
    page.locator("#file").set_input_files(own)
    page.get_by_text("(50x100 to 64x64 pixels, padded)").wait_for()
    page.get_by_text("Warning: this picture is unlike the training data").wait_for()
    wait_for_state(page, "Nothing is set")
    shape = page.get_by_role("combobox", name="shape")
    value = "heart" if shape.input_value() != "2" else "square"
    shape.select_option(value)
    wait_for_state(page, f"Set: shape {value}")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert Image.open(io.BytesIO(download.value.path().read_bytes())).size == (64, 64)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert problems == []
    page.close()
