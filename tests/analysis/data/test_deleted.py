"""A sweep of which runs were deleted in MLflow: nothing that is left passes for what is gone."""

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
from weakdis_core.paper import load

CURE = "`python sweeps/run.py --resume tried` sends MLflow what it lacks."


def delete(store: Store, parent: str, *trial_ids: str) -> None:
    """Delete runs of a sweep by their trial ids."""
    runs = read_runs(store.uri)
    own = runs[runs["parent_run_id"].eq(parent) & runs["trial_id"].isin(trial_ids)]
    assert len(own) == len(trial_ids)
    for run in own["run_id"]:
        store.client.delete_run(run)


def sentences(store: Store, parent: str) -> list[str]:
    """The verdict on a sweep."""
    sweep = find_sweep(store.client, read_runs(store.uri), parent)
    return write_verdict(sweep, compute_importances(build_study(sweep), resamples=2), load())


def lacks(what: str) -> str:
    return f"MLflow lacks {what} of tried, so what follows is of the rest; {CURE}"


OTHERS = [f"{number:05d}" for number in range(1, 12)]
CONFIRMED = [f"confirm-{number:05d}" for number in range(1, 4)]


@pytest.mark.parametrize(
    ("gone", "first", "winner", "confirmed"),
    [
        (["00012"], "1 of 12 trials", "", ""),
        (OTHERS, "11 of 12 trials", "Trial 00012 won among 12", "on 3 fresh seeds"),
        (["00001"], "1 of 12 trials", "Trial 00012 won among 12", "on 3 fresh seeds"),
        (CONFIRMED[:1], "1 of 3 confirm runs", "Trial 00012 won among 12", "on 2 fresh seeds"),
        (CONFIRMED, "3 of 3 confirm runs", "Trial 00012 won among 12", "until MLflow has its"),
        (["00012", *CONFIRMED], "1 of 12 trials and 3 of 3 confirm runs", "", ""),
    ],
    ids=["winner", "all but winner", "another", "one confirm run", "all confirm runs", "both"],
)
def test_a_report_names_what_mlflow_lacks_and_no_winner_of_the_rest(
    store: Store, gone: list[str], first: str, winner: str, confirmed: str
) -> None:
    parent = search(store, confirm=(0.70, 0.72, 0.71))
    store.client.set_tag(parent, "best_trial_id", "00012")
    assert sentences(store, parent)[0].startswith("Trial 00012 won among 12")
    delete(store, parent, *gone)
    first_sentence, *rest = sentences(store, parent)
    assert first_sentence == lacks(first)
    assert (rest[0] if rest else "").startswith(winner)
    assert len(rest) == (3 if winner else 0)
    assert confirmed in (rest[1] if rest else "")


def test_a_page_credits_nothing_where_mlflow_lacks_the_winner(store: Store, cache: Path) -> None:
    parent = search(store, confirm=(0.70,))
    store.client.set_tag(parent, "best_trial_id", "00012")
    delete(store, parent, "00012", CONFIRMED[0])
    html = build_page(store.uri, parent).html
    first_sentence = html.partition("<h2>Verdict</h2>")[2].partition("</section>")[0]
    assert first_sentence.strip().startswith(
        "<p>MLflow lacks 1 of 12 trials and 1 of 1 confirm runs"
    )
    assert first_sentence.count("<p>") == 1
    assert "MLflow lacks the best trial" in html
    for wrong in ("Nothing was confirmed", "No trial has a score yet", "trains it again"):
        assert wrong not in html


def test_a_sweep_that_an_earlier_version_left_without_counts_lacks_what_is_named(
    store: Store,
) -> None:
    parent = search(store, confirm=(0.70, 0.72))
    for tag in ("search.ended", "confirm.ended"):
        store.client.delete_tag(parent, tag)
    delete(store, parent, "00012")
    # Of the winner only its confirm runs are left.
    assert sentences(store, parent) == [lacks("1 of 12 trials")]
    delete(store, parent, *CONFIRMED[:2])
    store.client.set_tag(parent, "best_trial_id", "00012")
    assert sentences(store, parent) == [lacks("1 of 12 trials")]


def test_a_configuration_that_lost_its_confirm_runs_leaves_the_win_to_no_other(
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
    assert who.startswith("Trial 00012 won among 12: ")
    assert "fresh seeds" not in much


def test_the_tables_say_what_mlflow_lacks(
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
def test_a_deleted_sweep_is_named_with_the_command_that_restores_it(
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
