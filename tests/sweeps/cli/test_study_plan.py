"""The plan of a study: missing and stale runs, and their estimated time."""

from __future__ import annotations

import pandas as pd
import pytest
from pydantic import ValidationError

from analysis.data.runs import build_frame
from sweeps.cli.study_plan import estimate_seconds, make_plan
from sweeps.sweep_settings import SweepSettings
from tests.analysis.studied import studied
from weakdis_core import rows
from weakdis_core.errors import UserError
from weakdis_core.rows import DeclaredRun
from weakdis_core.studies import StudyName, study_variants

NONE = build_frame([])
ROW = rows.ours("dsprites_v4", "rendered")
STEPS = ROW[0].config.training.steps


def asked(study: StudyName, **more: object) -> SweepSettings:
    return SweepSettings.model_validate({"study": study, "data_source": "rendered", **more})


def test_all_runs_of_a_new_study_are_missing() -> None:
    plans = make_plan(asked("models"), NONE)
    assert [(plan.variant, plan.runs, plan.missing, plan.stale) for plan in plans] == [
        (variant, 5, 5, 0) for variant in rows.VARIANTS
    ]
    assert all(plan.seconds > 0 for plan in plans)


def test_finished_runs_count_and_those_of_other_settings_are_stale() -> None:
    done = studied((ROW[:2], {"factor_accuracy": [0.9, 0.9]}))
    stale = studied((ROW[2:3], {"factor_accuracy": [0.9]}), config_hash="of another")
    runs = pd.concat([done, stale], ignore_index=True)
    (plan,) = make_plan(asked("models", variant="dsprites_v4"), runs)
    assert (plan.runs, plan.missing, plan.stale) == (5, 2, 1)
    (plan,) = make_plan(asked("models", variant="dsprites_v4", seeds=(11, 12)), runs)
    assert (plan.runs, plan.missing, plan.stale, plan.seconds) == (2, 0, 0, 0)
    (plan,) = make_plan(asked("models", variant="dsprites_v4", seeds=(11, 99)), runs)
    assert (plan.runs, plan.missing) == (2, 1)


def test_a_study_uses_its_own_variants() -> None:
    assert asked("controls").variants == rows.CONTROL_VARIANTS
    assert asked("models").variants == asked("models", variant="all").variants == rows.VARIANTS
    assert asked("labels").variants == study_variants("labels") == rows.VARIANTS
    assert list(asked("models", variant="dsprites_v4").sweep_names().values()) == [
        "study-models-dsprites_v4-core3"
    ]


def test_estimates_use_earlier_runs() -> None:
    built_in = estimate_seconds(ROW[0], NONE)
    assert built_in > STEPS * 0.01
    scored = {"factor_accuracy": [0.9]}
    same = studied((ROW[1:2], scored), cpu_seconds=3.0 * STEPS, scoring_seconds=7.0)
    assert estimate_seconds(ROW[0], same) == pytest.approx(3.0 * STEPS + 7.0)
    gpu = studied((ROW[1:2], scored), cpu_seconds=9.0 * STEPS, device="NVIDIA H100")
    assert estimate_seconds(ROW[0], gpu) == built_in
    # Another configuration of the variant: its step, as many times as this one takes, and the
    # built-in time of its scores.
    config = rows.with_labels("dsprites_v4", "rendered", 30)[0].config
    twice = DeclaredRun("twice the steps", config.with_values({"training.steps": 2 * STEPS}))
    assert 6.0 * STEPS < estimate_seconds(twice, same) < 6.0 * STEPS + 60


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"seeds": (2,)}, "seeds: 2 is not allowed: the presets were chosen on seeds 0 to 3"),
        ({"seeds": (-1,)}, "greater than or equal to 0"),
        ({"trials": 4}, "trials: it is not allowed with study"),
        ({"set": ("model.hidden=16",)}, "set: it is not allowed with study"),
    ],
)
def test_flags_that_a_study_declares_are_refused(flags: dict[str, object], message: str) -> None:
    with pytest.raises((UserError, ValidationError), match=message):
        asked("models", **flags)


def test_seeds_and_names_of_studies_are_refused_for_a_search() -> None:
    with pytest.raises(UserError, match="seeds: they are the seeds of a study"):
        SweepSettings.model_validate({"variant": "dsprites_v4", "seeds": (11,)})
    with pytest.raises(UserError, match=r"name: 'study-mine' is not allowed: study-\.\.\. are"):
        SweepSettings.model_validate({"variant": "dsprites_v4", "name": "study-mine"})


@pytest.mark.parametrize(
    ("study", "variant", "choices"),
    [
        ("controls", "dsprites_v2", "dsprites_v4, shapes3d_v3"),
        ("models", "mine", "dsprites_v2, "),
        ("own", "dsprites_v4", "people, digits, "),
    ],
)
def test_a_study_refuses_variants_that_it_does_not_use(
    study: StudyName, variant: str, choices: str
) -> None:
    message = f"variant: {variant} is not allowed with study {study}: choose one of {choices}"
    with pytest.raises(UserError, match=message):
        asked(study, variant=variant)
