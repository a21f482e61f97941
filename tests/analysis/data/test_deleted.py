"""Sweeps with runs deleted in MLflow: the remaining runs never pass for the missing ones."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from mlflow.cli import cli

from analysis.commands import table1, trials
from analysis.data.runs import read_runs
from analysis.data.setting_importance import compute_importances
from analysis.data.tracked_sweep import build_study, find_sweep
from analysis.report.sweep_page import build_page
from analysis.report.verdict import write_verdict
from tests.analysis.searched import search
from tests.analysis.tracked import Store
from weakdis_core.errors import UserError

REMEDY = "Send it the missing runs with `python sweeps/run.py --resume tried`."


def delete(store: Store, parent: str, *trial_ids: str) -> None:
    """Delete runs of a sweep by their trial ids."""
    runs = read_runs(store.uri)
    own = runs[runs["parent_run_id"].eq(parent) & runs["trial_id"].isin(trial_ids)]
    assert len(own) == len(trial_ids)
    for run in own["run_id"]:
        store.client.delete_run(run)


def sentences(store: Store, parent: str) -> list[str]:
    """Return the verdict on a sweep."""
    sweep = find_sweep(store.client, read_runs(store.uri), parent)
    return write_verdict(sweep, compute_importances(build_study(sweep), resamples=2))


def lacks(what: str) -> str:
    return f"MLflow lacks {what} of tried, so these results cover only the rest. {REMEDY}"


OTHERS = [f"{number:05d}" for number in range(1, 12)]
CONFIRMED = [f"confirm-{number:05d}" for number in range(1, 4)]


@pytest.mark.parametrize(
    ("gone", "first", "winner", "confirmed"),
    [
        (["00012"], "1 of 12 trials", "", ""),
        (OTHERS, "11 of 12 trials", "Trial 12 is the best of 12 trials", "on 3 fresh seeds"),
        (["00001"], "1 of 12 trials", "Trial 12 is the best of 12 trials", "on 3 fresh seeds"),
        (
            CONFIRMED[:1],
            "1 of 3 confirm runs",
            "Trial 12 is the best of 12 trials",
            "on 2 fresh seeds",
        ),
        (
            CONFIRMED,
            "3 of 3 confirm runs",
            "Trial 12 is the best of 12 trials",
            "once MLflow has them",
        ),
        (["00012", *CONFIRMED], "1 of 12 trials and 3 of 3 confirm runs", "", ""),
    ],
    ids=["winner", "all but winner", "another", "one confirm run", "all confirm runs", "both"],
)
def test_verdict_counts_missing_runs_and_names_no_winner_of_the_rest(
    store: Store, gone: list[str], first: str, winner: str, confirmed: str
) -> None:
    parent = search(store, confirm=(0.70, 0.72, 0.71))
    store.client.set_tag(parent, "best_trial_id", "00012")
    assert sentences(store, parent)[0].startswith("Trial 12 is the best of 12 trials")
    delete(store, parent, *gone)
    first_sentence, *rest = sentences(store, parent)
    assert first_sentence == lacks(first)
    assert (rest[0] if rest else "").startswith(winner)
    assert len(rest) == (3 if winner else 0)
    assert confirmed in (rest[1] if rest else "")


@pytest.mark.slow
def test_page_without_the_winner_shows_no_result(store: Store, cache: Path) -> None:
    parent = search(store, confirm=(0.70,))
    store.client.set_tag(parent, "best_trial_id", "00012")
    delete(store, parent, "00012", CONFIRMED[0])
    html = build_page(store.uri, parent).html
    first_sentence = html.partition('<div id="verdict">')[2].partition("</div>")[0]
    assert first_sentence.strip().startswith(
        "<p>MLflow lacks 1 of 12 trials and 1 of 1 confirm runs"
    )
    assert first_sentence.count("<p>") == 1
    for wrong in ("Nothing was confirmed", "No trial has a score yet", "To train it again"):
        assert wrong not in html


def test_sweep_of_an_earlier_version_without_counts(
    store: Store,
) -> None:
    parent = search(store, confirm=(0.70, 0.72))
    for tag in ("search.ended", "confirm.ended"):
        store.client.delete_tag(parent, tag)
    delete(store, parent, "00012")
    # Only the confirm runs of the winner are left.
    assert sentences(store, parent) == [lacks("1 of 12 trials")]
    delete(store, parent, *CONFIRMED[:2])
    store.client.set_tag(parent, "best_trial_id", "00012")
    assert sentences(store, parent) == [lacks("1 of 12 trials")]


def test_no_other_configuration_wins_if_confirm_runs_are_missing(
    store: Store,
) -> None:
    parent = search(store, confirm=(0.70, 0.72, 0.71))
    store.client.set_tag(parent, "best_trial_id", "00012")
    runs = read_runs(store.uri)
    other = runs[runs["trial_id"].eq("00011")].iloc[0]
    last = runs[runs["trial_id"].eq(CONFIRMED[2])].iloc[0]["run_id"]
    store.client.set_tag(last, "config_hash", other["config_hash"])
    delete(store, parent, *CONFIRMED[:2])
    first_sentence, who, much, _ = sentences(store, parent)
    assert first_sentence == lacks("2 of 3 confirm runs")
    assert who.startswith("Trial 12 is the best of 12 trials: ")
    assert "fresh seeds" not in much


def test_tables_count_missing_runs(
    store: Store, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parent = search(store, confirm=(0.70, 0.72, 0.71))
    trials(format="md")
    table1()
    assert "MLflow lacks" not in "".join(capsys.readouterr())
    delete(store, parent, "00012", CONFIRMED[0])
    expected = lacks("1 of 12 trials and 1 of 3 confirm runs")
    trials(format="md")
    assert f"- {expected} Score: " in capsys.readouterr().out
    table1()
    assert capsys.readouterr().err == f"{expected}\n"


@pytest.mark.parametrize("what", ["runs", "experiments"])
def test_deleted_sweep_comes_with_command_to_restore_it(
    store: Store, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    parent = search(store)
    if what == "runs":
        store.client.delete_run(parent)
    else:
        store.client.delete_experiment(store.experiment("dsprites_v2"))
    for name, variant in (("tried", None), (parent, None), (None, "dsprites_v2"), (None, None)):
        with pytest.raises(UserError, match=f"'tried' was deleted in MLflow; .* {what}") as caught:
            find_sweep(store.client, read_runs(store.uri), name, variant)
    with pytest.raises(UserError, match="there is no 'other'"):
        find_sweep(store.client, read_runs(store.uri), "other")
    setting, mlflow, *command = shlex.split(str(caught.value).partition("restore it with ")[2])
    assert mlflow == "mlflow"
    monkeypatch.setenv(*setting.split("=", 1))
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    assert len(find_sweep(store.client, read_runs(store.uri), "tried").trials) == 12
