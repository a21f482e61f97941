"""The report of a sweep: its text, and its behaviour in a browser."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from analysis.data.runs import read_runs
from analysis.data.setting_importance import compute_importances
from analysis.data.tracked_sweep import TrackedSweep, build_study, find_sweep
from analysis.report.provenance import build_command, parse_config
from analysis.report.score_card import compare_confirmed
from analysis.report.sweep_page import build_page, embed_pictures
from analysis.report.verdict import confirm_command, write_verdict
from tests.analysis.searched import config, search
from tests.analysis.tracked import Store
from tests.conftest import program
from weakdis_core.cli.model_commands import _parse_train
from weakdis_core.errors import UserError
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
    summary = html.partition('<section id="summary">')[2].partition("</section>")[0]
    assert "Trial 12 is the best of 12 trials: latent size 16" in summary
    assert "63.0% of changed pictures have the right factor changed and all others kept" in summary
    assert "Trained again on 5 fresh seeds, it reaches 84.0% on test images" in summary
    assert "95% t-interval 80.1% to 87.9%" in summary
    assert "The setting that mattered most is labels" in summary
    # A picture of the result comes first.
    assert summary.count("<img") == 1
    # Latent accuracy stands beside the paper's.
    scores = html.partition('<section id="scores">')[2].partition("</section>")[0]
    latent = scores.partition(">latent<")[2].partition("</tr>")[0]
    assert "84.0% (80.1% to 87.9%)" in latent
    assert "72.4%" in latent
    for part in ("Table 1", "Table 2", "Provenance", "Limits", "This package draws the images"):
        assert part in html
    assert "0123abc" in html
    assert html.count("half.png is damaged") == 1
    assert len(html.encode()) < LIMIT
    # The rows of other variants are folded away.
    tables = html.partition('<section id="tables">')[2].partition("<details>")[0]
    assert "dsprites_v2" in tables
    assert "dsprites_v4" not in tables


def test_command_trains_best_configuration(store: Store) -> None:
    run = search(store)
    runs = read_runs(store.uri)
    best = find_sweep(store.client, runs).best
    assert best is not None
    params = store.client.get_run(best["run_id"]).data.params
    command = build_command(parse_config(params))
    assert command.startswith("weakdis train --variant dsprites_v2 ")
    asked = _parse_train(shlex.split(command)[2:], "train").settings
    assert asked.hash() == config(11).hash()
    assert asked.seed == config(11).seed
    assert run


def verdict(sweep: TrackedSweep) -> list[str]:
    return write_verdict(sweep, compute_importances(build_study(sweep)))


def test_confirmed_configurations_are_paired_by_seed(store: Store) -> None:
    search(store, confirm=(0.80, 0.84, 0.82))
    sweep = find_sweep(store.client, read_runs(store.uri))
    own = [sweep.trials.iloc[-1]["config_hash"], "1000 random", "3", "82.0% (77.0% to 87.0%)"]
    assert compare_confirmed(sweep).to_numpy().tolist() == [[*own, "-"]]
    # A second configuration is behind by a constant, so the interval has no width.
    other = sweep.trials.iloc[0]["config_hash"]
    second = sweep.confirmed.assign(config_hash=other)
    second["test/relation_accuracy_pixels"] -= 0.1
    second[sweep.metric] -= 0.1
    both = type(sweep)(sweep.run, sweep.trials, pd.concat([sweep.confirmed, second]))
    behind = compare_confirmed(both).iloc[1].tolist()
    assert behind == [other, "1000 random", "3", "72.0% (67.0% to 77.0%)", "0.100 ± 0.000"]
    # If the second is better on validation, it wins over the best of the search.
    second[sweep.metric] += 0.2
    turned = type(sweep)(sweep.run, sweep.trials, pd.concat([sweep.confirmed, second]))
    winner, score, why = verdict(turned)
    assert winner.startswith("Trial 1 is the best of 12 trials: ")
    assert " On fresh seeds it beat trial 12, the best of the search." in winner
    assert "it reaches 72.0% on test images (95% t-interval 67.0% to 77.0%)" in score
    assert why.startswith("The setting that mattered most is ")


@pytest.mark.parametrize(
    ("scores", "shown"),
    [
        ((0.99,), "99.0% on test images. One seed is too few"),
        ((0.99, 0.95), "95.0% and 99.0% on test images. Two seeds are too few"),
        ((0.99, 0.95, 1.0), "98.0% on test images (95% t-interval 91.4% to 100.0%)."),
    ],
)
def test_no_interval_of_few_seeds_and_none_above_one(
    store: Store, scores: tuple[float, ...], shown: str
) -> None:
    search(store, trials=3, confirm=scores)
    sweep = find_sweep(store.client, read_runs(store.uri))
    assert shown in verdict(sweep)[1]


def test_unconfirmed_winner_comes_with_command_to_confirm_it(store: Store) -> None:
    search(store, trials=3)
    sweep = find_sweep(store.client, read_runs(store.uri))
    _, score, why = verdict(sweep)
    assert score.startswith("This score is the best of 3, so it is optimistic.")
    assert confirm_command(sweep) == "python sweeps/run.py --resume tried --confirm-seeds 5"
    assert why == "Too few trials (3 of 8) to say which setting mattered."
    # A sweep that runs cannot be resumed.
    search(store, "going", trials=3, status="RUNNING")
    running = find_sweep(store.client, read_runs(store.uri), "going")
    winner, _, _ = verdict(running)
    assert winner.startswith("Trial 3 is the best so far of 3 trials: latent size ")
    assert confirm_command(running) == ""


def test_sweeps_of_one_variant_are_compared(store: Store, cache: Path) -> None:
    search(store, "first", trials=3)
    search(store, "second", trials=5, confirm=(0.8, 0.9))
    search(store, "empty", trials=0)
    search(store, "other", "dsprites_v3", trials=1)
    page = build_page(store.uri, "first", others=("second",))
    table = page.html.partition('<section id="sweeps">')[2].partition("</section>")[0]
    cells = re.findall(r"<t[dh] [^>]*>([^<]*)<", table)
    rows = {row[0]: row[1:] for row in zip(cells[::3], cells[1::3], cells[2::3], strict=True)}
    assert rows[""] == ("first", "second")
    assert rows["best trial"] == ("3", "5")
    assert rows["test accuracy"] == ("-", "85.0% (2 fresh seeds: 80.0% and 90.0%)")
    assert "comparison" in page.charts
    assert "comparison" not in build_page(store.uri, "first", others=("empty",)).charts
    with pytest.raises(UserError, match="there is no 'other'; there are: "):
        build_page(store.uri, "first", others=("other",))


@pytest.mark.parametrize("status", ["RUNNING", "KILLED"])
def test_sweep_without_scores_has_a_page(store: Store, cache: Path, status: str) -> None:
    search(store, trials=0, status=status)
    html = build_page(store.uri).html
    assert "No trial has a score yet." in html
    for sign in ("Running: 0 of 12 trials ended, as of ", '<meta http-equiv="refresh"'):
        assert (sign in html) == (status == "RUNNING")


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


@pytest.mark.needs_command("chromium", "chromium")
def test_page_in_a_browser(page_file: Path, browser: Browser) -> None:
    for width, scheme in ((1400, "light"), (1400, "dark"), (390, "light")):
        page = browser.new_page(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
            offline=True,
        )
        messages: list[str] = []
        listen(page, messages)
        page.goto(page_file.as_uri())
        check_charts(page)
        assert [text for text in messages if not text.startswith(("file:", "data:"))] == []
        # Tables scroll; nothing is wider than the window.
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        check_links(page)
        if width > 1000:
            check_first_screen(page)
            check_parallel(page)
        page.close()


def listen(page: Page, messages: list[str]) -> None:
    """Record messages, errors and requests of the page."""
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: messages.append(request.url))


def check_first_screen(page: Page) -> None:
    """Check that all answers are on the first screen, without scrolling."""
    for text in (
        "What won", "How sure", "What mattered", "weakdis train",
        "validation accuracy", "test accuracy", "84.0%", "labelled images", "core-minutes",
    ):  # fmt: skip
        expect(page.locator("#summary").get_by_text(text).first).to_be_in_viewport(ratio=1)
    expect(page.locator("#summary img")).to_be_in_viewport(ratio=1)


def check_charts(page: Page) -> None:
    """Check that all charts have a size, one caption, and text in the colour of the page."""
    figures = page.locator("figure:has(.chart)")
    assert figures.count() == 7
    for figure in figures.all():
        box = figure.locator("svg").bounding_box()
        assert box is not None
        assert box["width"] > 400
        assert len(figure.locator("figcaption").inner_text()) > 40
    assert page.locator("#parallel .mark-line path").count() >= 12
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
    page.evaluate("scrollTo(0, 0)")


def check_links(page: Page) -> None:
    for link in page.locator("nav a").all():
        target = link.get_attribute("href")
        assert target is not None
        assert page.locator(target).count() == 1


def check_parallel(page: Page) -> None:
    """Check that the trial near the pointer shows its values."""
    page.locator("#parallel svg").hover()
    tip = page.locator("#vg-tooltip-element.visible")
    expect(tip).to_contain_text("latent size")
    expect(tip).to_contain_text("trial")
