"""The report of a sweep: its text, and its behaviour in a browser."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from analysis.data.runs import read_runs
from analysis.data.setting_importance import compute_importances
from analysis.data.tracked_sweep import build_study, find_sweep
from analysis.report.provenance import build_command, parse_config
from analysis.report.sweep_page import build_page, embed_pictures
from analysis.report.verdict import compare_confirmed, write_verdict
from tests.analysis.searched import SPACE, config, search
from tests.analysis.tracked import Store
from tests.conftest import program
from weakdis_core.cli.model_commands import _parse_train
from weakdis_core.paper import load
from weakdis_core.pictures.write import CAPTIONS

pytestmark = pytest.mark.slow

LIMIT = 5_000_000


@pytest.fixture
def page_file(store: Store, cache: Path, tmp_path: Path) -> Path:
    """The page of a sweep with confirm runs and pictures, one of them damaged."""
    search(store, confirm=(0.80, 0.84, 0.82, 0.86, 0.88))
    runs = read_runs(store.uri)
    confirmed = runs[runs["stage"].eq("confirm")]["run_id"]
    for name in CAPTIONS:
        Image.effect_noise((300, 200), 80).save(tmp_path / f"{name}.png")
        store.client.log_artifact(confirmed.iloc[0], str(tmp_path / f"{name}.png"), "pictures")
    (tmp_path / "half.png").write_bytes((tmp_path / f"{name}.png").read_bytes()[:900])
    store.client.log_artifact(confirmed.iloc[0], str(tmp_path / "half.png"), "pictures")
    path = tmp_path / "report.html"
    build_page(store.uri).write(path)
    return path


def test_page_names_winner_score_and_most_important_setting(page_file: Path) -> None:
    html = page_file.read_text()
    verdict = html.partition("<h2>Verdict</h2>")[2].partition("</section>")[0]
    assert "Trial 00012 is the best of 12 trials: latent size 16" in verdict
    assert "Trained again on 5 fresh seeds" in verdict
    assert "84.0% of changed pictures have the right factor changed and all others" in verdict
    assert "95% t-interval over seeds 80.1% to 87.9%" in verdict
    assert "The setting that mattered most is labels" in verdict
    # Latent accuracy is compared with latent accuracy.
    assert "Latent accuracy, the paper&#39;s measure, is 0.840 ± 0.039" in verdict
    assert (
        "a latent accuracy of 0.724 with 1000 labels on official images, without an interval"
        in verdict
    )
    # A picture of the result comes first.
    assert "Pictures of the best configuration" in verdict
    assert verdict.count("<img") == 1
    for part in ("Table 1", "Table 2", "Provenance", "Limits", "This package draws the images"):
        assert part in html
    assert "0123abc" in html
    assert html.count("half.png is damaged") == 1
    assert len(html.encode()) < LIMIT
    # The page opens without a network.
    assert not re.findall(r"(?:src|href)=\"(?!#|data:)", html)


def test_command_trains_best_configuration(store: Store) -> None:
    run = search(store)
    runs = read_runs(store.uri)
    best = find_sweep(store.client, runs).best
    assert best is not None
    params = store.client.get_run(best["run_id"]).data.params
    command = build_command(parse_config(params))
    assert command.startswith("python -m weakdis_core train --variant dsprites_v2 ")
    asked = _parse_train(shlex.split(command)[4:], "train").settings
    assert asked.hash() == config(11).hash()
    assert asked.seed == config(11).seed
    assert run


@pytest.mark.slow
def test_confirmed_configurations_are_paired_by_seed(store: Store) -> None:
    search(store, confirm=(0.80, 0.84, 0.82))
    sweep = find_sweep(store.client, read_runs(store.uri))
    (only,) = compare_confirmed(sweep)
    assert only.pixels.n == 3
    assert only.pixels.value == pytest.approx(0.82)
    assert math.isnan(only.behind.value)
    # A second configuration is behind by a constant, so the interval has no width.
    other = sweep.trials.iloc[0]["config_hash"]
    second = sweep.confirmed.assign(config_hash=other)
    second["test/relation_accuracy_pixels"] -= 0.1
    second[sweep.metric] -= 0.1
    both = type(sweep)(sweep.run, sweep.trials, pd.concat([sweep.confirmed, second]))
    _, behind = compare_confirmed(both)
    assert (behind.config_hash, behind.pixels.n) == (other, 3)
    assert behind.behind.value == pytest.approx(0.1)
    assert behind.behind.half_width == pytest.approx(0.0, abs=1e-9)
    # If the second is better on validation, it wins over the best of the search.
    second[sweep.metric] += 0.2
    turned = type(sweep)(sweep.run, sweep.trials, pd.concat([sweep.confirmed, second]))
    winner, score, why = write_verdict(turned, compute_importances(build_study(turned)), load())
    assert winner.startswith("Trial 00001 is the best of 12 trials: ")
    assert winner.endswith(" On fresh seeds it beat trial 00012, the best of the search.")
    assert "72.0% of changed pictures" in score
    assert "67.0% to 77.0%" in score
    assert why.startswith("The setting that mattered most is ")


def test_unconfirmed_winner_comes_with_command_to_confirm_it(store: Store) -> None:
    search(store, trials=3)
    sweep = find_sweep(store.client, read_runs(store.uri))
    _, score, why = write_verdict(sweep, compute_importances(build_study(sweep)), load())
    command = "`python sweeps/run.py --resume tried --confirm-seeds 5`"
    assert f"best of 3 trials, so it is optimistic. Confirm it with: {command}" in score
    assert why == "Too few trials (3 of 8) to say which setting mattered."
    # A sweep that runs cannot be resumed.
    search(store, "going", trials=3, status="RUNNING")
    running = find_sweep(store.client, read_runs(store.uri), "going")
    winner, score, _ = write_verdict(running, compute_importances(build_study(running)), load())
    assert winner.startswith("Trial 00003 is the best so far of 3 trials: latent size ")
    assert "--resume" not in score


@pytest.mark.parametrize("status", ["RUNNING", "KILLED"])
def test_sweep_without_scores_has_a_page(store: Store, cache: Path, status: str) -> None:
    search(store, trials=0, status=status)
    html = build_page(store.uri).html
    assert "No trial has a score yet." in html
    assert ("still running" in html) == (status == "RUNNING")


def test_names_are_escaped(store: Store, cache: Path) -> None:
    search(store, "<script>alert(1)</script>", trials=1)
    assert "<script>alert" not in build_page(store.uri).html


def test_pictures_have_a_budget(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.png" for name in "abc"]
    for file in files:
        Image.effect_noise((200, 200), 80).save(file)
    whole = [picture.data for picture in embed_pictures(files)]
    assert all(data.startswith("data:image/") for data in whole)
    cut = list(embed_pictures(files, budget=2 * len(whole[0]) + 100))
    assert [bool(picture.data) for picture in cut] == [True, True, False]
    # The page still names the third.
    assert cut[2].name == "c"


@pytest.mark.parametrize("content", [b"", b"hello", "cut off", "a TIFF file"])
def test_damaged_picture_is_named_and_left_out(content: bytes | str, tmp_path: Path) -> None:
    whole, damaged = tmp_path / "whole.png", tmp_path / "damaged.png"
    Image.effect_noise((200, 200), 80).save(whole)
    if content == "a TIFF file":
        Image.effect_noise((200, 200), 80).save(damaged, "TIFF")
    else:
        damaged.write_bytes(whole.read_bytes()[:900] if isinstance(content, str) else content)
    found = list(embed_pictures([damaged, whole]))
    assert [(picture.name, bool(picture.data)) for picture in found] == [
        ("damaged", False),
        ("whole", True),
    ]


@pytest.fixture
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        # Chromium has no sandbox for root; only this page is opened.
        opened = play.chromium.launch(
            executable_path=program("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        yield opened
        opened.close()


@pytest.mark.slow
@pytest.mark.needs_command("chromium", "chromium")
def test_page_in_a_browser(page_file: Path, browser: Browser) -> None:
    for width, scheme in ((1280, "light"), (1280, "dark"), (390, "light")):
        page = browser.new_page(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
        )
        messages: list[str] = []
        listen(page, messages)
        page.goto(page_file.as_uri())
        assert [text for text in messages if not text.startswith(("file:", "data:"))] == []
        # Tables scroll; nothing is wider than the window.
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        check_figures(page)
        check_links(page)
        check_sorting(page)
        check_trials(page)
        page.close()


def listen(page: Page, messages: list[str]) -> None:
    """Record messages, errors and requests of the page."""
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: messages.append(request.url))


def check_figures(page: Page) -> None:
    """Check that all figures have a size, a caption, and text in the colour of the page."""
    figures = page.locator("#figures figure")
    assert figures.count() == 7
    for figure in figures.all():
        box = figure.locator("svg").bounding_box()
        assert box is not None
        assert box["width"] > 200
        assert len(figure.locator("figcaption").inner_text()) > 40
    ink, text = (
        page.evaluate(f"getComputedStyle(document.querySelector('{where}')).{what}")
        for where, what in (("body", "color"), ("#progress svg text", "fill"))
    )
    assert text == ink
    pictures = page.locator("figure img")
    assert pictures.count() == len(CAPTIONS)
    for picture in pictures.all():
        picture.scroll_into_view_if_needed()
        page.wait_for_function("(image) => image.naturalWidth > 0", arg=picture.element_handle())


def check_links(page: Page) -> None:
    for link in page.locator("nav a").all():
        target = link.get_attribute("href")
        assert target is not None
        assert page.locator(target).count() == 1


def check_trials(page: Page) -> None:
    """Check that a trial under the pointer is highlighted in every figure and in the table."""
    assert page.locator(".on").count() == 0
    mark = page.locator("#progress [data-trial='00012']")
    assert mark.locator("title").text_content() == "trial 00012: 0.630, complete"
    # An event, because another mark may cover this one.
    mark.locator("use").dispatch_event("pointerover")
    assert page.locator(".on").count() == page.locator("[data-trial='00012']").count()
    for figure in ("progress", "slices", "parallel", "labels", "rungs"):
        assert page.locator(f"#{figure} .on").count() >= 1
    assert page.locator("#trials tr.on td").first.inner_text() == "00012"


def check_sorting(page: Page) -> None:
    """Check that a click on a head sorts by it, and a second click reverses the order."""
    minutes = page.locator("#trials th", has_text="lambda")
    column = minutes.evaluate("head => head.cellIndex")
    cells = page.locator(f"#trials tbody td:nth-child({column + 1})")
    for order in ("descending", "ascending"):
        minutes.locator("button").click()
        assert minutes.get_attribute("aria-sort") == order
        values = [float(text) for text in cells.all_inner_texts()]
        assert values == sorted(values, reverse=order == "descending")
    assert len(values) == 12
    assert set(SPACE)
