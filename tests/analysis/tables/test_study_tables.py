"""Tables of the studies: known answers."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from analysis.data.declared import DeclaredRows
from analysis.tables import study_tables
from tests.analysis.studied import studied
from weakdis_core import rows
from weakdis_core.rows import Row
from weakdis_core.studies import ABLATIONS

LATENT = "relation_accuracy_latent"


def of(table: pd.DataFrame, **where: str) -> dict[str, str]:
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return {str(name): str(value) for name, value in table.iloc[0].items()}


def declared(*scores: tuple[Row, dict[str, list[float]]]) -> DeclaredRows:
    return DeclaredRows(studied(*scores))


def test_the_ablation_pairs_seeds() -> None:
    full = ABLATIONS[0].unchanged("rendered")
    less = ABLATIONS[0].changed("rendered")["without ending phase"]
    # The other two seeds of our model have no pair.
    every = [0.9, 0.8, 0.7, 0.9, 0.7]
    runs = declared((full, {LATENT: every}), (less, {LATENT: [0.8, 0.7, 0.6]}))
    table = study_tables.build_ablation(runs, "rendered", ABLATIONS[0])
    assert (of(table, Model="ours")["Latent"], table["Seeds"][0]) == ("0.800 ± 0.124", "5")
    assert "Nuisance kept" not in table
    shown = of(table, Model="without ending phase")
    assert (shown["Latent"], shown["Pixels"], shown["Seeds"]) == ("-0.100 ± 0.000", "-", "3")
    assert of(table, Model="without sleep phase")["Latent"] == "-"


def test_labels_have_a_line_for_each_size_and_draw_that_was_trained() -> None:
    row = rows.with_labels("dsprites_v4", "rendered", 100)
    # One of the five runs is missing, and another pair of seeds does not count.
    drawn = {LATENT: [0.9, 0.8, 0.7, 0.6], "relation_accuracy_pixels": [0.5] * 4}
    even = (rows.with_labels("dsprites_v4", "rendered", 300, "even"), {LATENT: [0.1] * 3})
    other = row[1].config.with_values({"data.data_seed": 1})
    again = (replace(row[1], config=other),)
    runs = declared((row, drawn), even, (again, {LATENT: [0.2]}))
    table = study_tables.build_labels(runs, "rendered")
    assert table["Labels"].tolist() == ["100 random", "300 even"]
    assert of(table, Labels="300 even")["Latent"] == "0.100 ± 0.000"
    shown = of(table, Labels="100 random")
    assert (shown["Latent"], shown["Seeds"]) == ("0.750 ± 0.205 ‡", "4")
    few = study_tables.build_few_labels(runs, "rendered")
    assert few["Variant"].tolist() == list(rows.VARIANTS)
    shown = of(few, Variant="dsprites_v4")
    assert (shown["30 labels"], shown["100 labels"]) == ("-", "0.500 ± 0.000 ‡")


def test_controls_show_their_chance_level() -> None:
    # 3 x 5 x 8 x 3 x 3 values; nine relations: shape once, the other four factors twice.
    every, one = study_tables.compute_chance("dsprites_v4")
    assert every == pytest.approx(1 / 1080)
    assert one == pytest.approx((1 / 3 + 2 * (1 / 5 + 1 / 8 + 1 / 3 + 1 / 3)) / 9)
    row = rows.shuffled("dsprites_v4", "rendered")
    factors = {"shape": 0.33, "scale": 0.4, "orientation": 0.2, "posX": 0.9, "posY": 0.9}
    read = {f"factor_accuracy_{name}": [value] for name, value in factors.items()}
    table = study_tables.build_controls(declared((row, read | {LATENT: [0.99]})), "rendered")
    shown = of(table, Variant="dsprites_v4", Control="labels shuffled")
    # Wilson, 99 of 100.
    assert (shown["Latent"], shown["Chance"]) == ("0.990 (0.946 to 0.998)", "0.0009")
    assert shown["Worst factor (chance)"] == "shape 0.330 (0.333)"
    assert of(table, Variant="dsprites_v4", Control="untrained")["Worst factor (chance)"] == "-"


def test_spread_and_sharpness_have_a_line_for_each_variant() -> None:
    row = rows.ours("dsprites_v2", "rendered")
    runs = declared((row, {"component_spread": [0.1] * 5, "swap_psnr": [20.0] * 5}))
    spread = of(study_tables.build_spread(runs, "rendered"), Variant="dsprites_v2")
    assert (spread["Spread of a component"], spread["its floor"]) == ("0.100 ± 0.000", "0.100")
    assert (spread["Core-seconds"], spread["PSNR, dB"]) == ("100 ± 0", "-")
    table = study_tables.build_sharpness(runs, "rendered")
    assert of(table, Variant="dsprites_v2")["true code instead"] == "20.0 ± 0.0"
    assert table["Variant"].tolist() == list(rows.VARIANTS)


def test_every_seed_is_listed_once() -> None:
    ours = rows.ours("dsprites_v4", "rendered")
    few = rows.ours("dsprites_v4", "rendered", rows.FEWER_SEEDS)
    runs = declared((ours, {LATENT: [0.9, 0.8]}))
    table = study_tables.list_seeds(runs, [few, ours, few])
    assert table[["Model", "Seed", "Latent"]].to_numpy().tolist() == [
        ["dsprites_v4", "11", "0.900"], ["dsprites_v4", "12", "0.800"],
    ]  # fmt: skip
    assert study_tables.list_seeds(runs, []).empty


def test_own_pictures_are_found_by_name_without_their_files() -> None:
    config = rows.ours("dsprites_v4", "rendered")[0].config
    row = rows.row_of("digits", config.with_values({"data.source": "own"}), rows.FEWER_SEEDS)
    older = rows.row_of("digits", row[0].config.with_values({"model.hidden": 16}), (11,))
    runs = pd.concat(
        [
            studied(
                (older, {"relation_accuracy_pixels": [0.1]}), finished=pd.Timestamp(0, tz="UTC")
            ),
            studied((row, {"relation_accuracy_pixels": [0.8, 0.9, 0.7]})),
            studied((row[:1], {LATENT: [0.5]}), source="rendered"),
        ],
        ignore_index=True,
    )
    table = study_tables.build_own(DeclaredRows(runs))
    assert table["Data"].tolist() == ["digits"]
    shown = of(table, Data="digits")
    assert (shown["Pixels"], shown["Labels"], shown["Seeds"]) == (
        "0.800 ± 0.248",
        "1000 random",
        "3",
    )
    assert shown["Core-seconds"] == "100 ± 0"
    assert study_tables.build_own(declared()).empty
