"""The flags of a sweep, and the errors about wrong ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sweeps.cluster.addresses import without_password
from sweeps.sweep_settings import SweepSettings, parse_arguments, parse_assignment
from tests.sweeps.support.finished import SCRIPT
from weakdis_core.data.variants import VARIANTS
from weakdis_core.errors import UserError


def test_a_variant_is_the_only_required_flag() -> None:
    settings = parse_arguments(["--variant", "dsprites_v4"])
    assert settings.variants == ("dsprites_v4",)
    assert settings.base_config("dsprites_v4").data.variant == "dsprites_v4"
    # Confirmation is off by default.
    assert settings.confirm_seeds == 0
    assert settings.tracking == f"sqlite:///{Path.cwd() / 'mlflow.db'}"


def test_all_makes_a_sweep_of_each_variant_with_its_name() -> None:
    names = SweepSettings(variant="all", name="N").sweep_names()
    assert list(names) == list(VARIANTS)
    assert names["shapes3d_v5"] == "N-shapes3d_v5"


def test_flags_reach_the_config() -> None:
    flags = "--variant dsprites_v2 --max-steps 77 --seed 5 --data-source rendered"
    fixed = " --set training.learning_rate=1e-3 --set model.latent_size=4"
    config = parse_arguments((flags + fixed).split()).base_config("dsprites_v2")
    assert config.training.steps == 77
    assert config.seed == 5
    assert config.data.source == "rendered"
    assert config.training.learning_rate == 1e-3
    assert config.model.latent_size == 4


@pytest.mark.parametrize(
    ("text", "value"),
    [("a.b=1", 1), ("a.b=1e-3", 1e-3), ("a.b=true", True), ("a.b=kl", "kl"), ("a.b=", None)],
)
def test_values_are_read_as_yaml(text: str, value: object) -> None:
    assert parse_assignment(text) == ("a.b", value)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--trials 0", r"trials: 0 is not allowed.*greater than or equal to 1"),
        ("--time-budget 0", r"time_budget: 0\.0 is not allowed"),
        ("--max-steps 9", r"max_steps: 9 is not allowed"),
        ("--confirm-seeds -1", r"confirm_seeds: -1 is not allowed.*greater than or equal to 0"),
        ("--confirm-seeds 101", r"confirm_seeds: 101 is not allowed"),
        ("--confirm-top 0", r"confirm_top: 0 is not allowed.*greater than or equal to 1"),
        ("--seed -1", r"seed: -1 is not allowed"),
        ("--max-concurrent 0", r"max_concurrent: 0 is not allowed"),
        ("--cpus-per-trial 0", r"cpus_per_trial: 0\.0 is not allowed"),
        ("--cpus-per-trial 1.5", r"cpus_per_trial: 1\.5 is not allowed: above 1, whole"),
        ("--gpus-per-trial -1", r"gpus_per_trial: -1\.0 is not allowed"),
        ("--name a/b", r"name: 'a/b' is not allowed"),
        ("--name ..", r"name: '\.\.' is not allowed"),
        ("--storage ftp://host", r"storage: 'ftp://host' is not allowed: .* or s3://, gs://"),
        ("--storage s3://key:secret@bucket", r"storage: 's3://\*\*\*@bucket' is not allowed: keys"),
        ("--storage s3://bucket", r"optuna_storage: study\.db .* is not allowed with a storage"),
        ("--storage s3://b --optuna-storage sqlite:///s.db", r"optuna_storage: sqlite:///s\.db is"),
        ("--storage s3://b --optuna-storage studies.log", r"optuna_storage: studies\.log is not"),
        (
            "--storage gs://b --optuna-storage mysql://h/d",
            r"tracking_uri: 'sqlite:.* is not allowed",
        ),
        (
            "--storage s3://b --optuna-storage mysql://h/d --tracking-uri postgresql://u:p@h/m",
            r"tracking_uri: 'postgresql://\*\*\*@h/m' is not allowed .* files would be lost",
        ),
        ("--data-dir /dev/null/x", r"data_dir: '/dev/null/x' is not allowed"),
        ("--tracking-uri ./mlruns", r"tracking_uri: './mlruns' is not allowed"),
        ("--tracking-uri sqlite:////nowhere/m.db", r"there is no folder /nowhere"),
        ("--set steps", r"set: 'steps' is not allowed: expected SETTING=VALUE"),
        ("--set seed=3", r"set: seed is not allowed here: use --seed"),
        ("--set loss.lambda=[", r"set: loss\.lambda: '\[' is not a YAML value"),
        ("--set loss.mu=3", r"loss\.mu: no such setting; known: data\.variant"),
        ("--set loss.lambda=-3", r"loss\.lambda: -3 is not allowed"),
        ("--objective pareto --set data.labels=100", r"objective: pareto weighs"),
        ("--objective latent --model few_labels", r"objective: latent is not allowed with model"),
        ("--objective latent --model zerodim", r"objective: latent is not allowed with model"),
    ],
)
def test_values_out_of_range_are_refused(flags: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_arguments(["--variant", "dsprites_v2", *flags.split()]).base_config("dsprites_v2")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://u:pa/ss@word@h/db", "postgresql://***@h/db"),
        ("postgresql://h/db?user=u&password=p&x=1", "postgresql://h/db?user=u&password=***&x=1"),
        ("s3://bucket/a?secret_key=s", "s3://bucket/a?secret_key=***"),
        ("'http://u:p@h' and sqlite:///m.db", "'http://***@h' and sqlite:///m.db"),
    ],
)
def test_passwords_are_hidden(address: str, shown: str) -> None:
    assert without_password(address) == shown


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(UserError, match=r"variant: 'dsprites_v9' is not one of dsprites_v2, "):
        parse_arguments(["--variant", "dsprites_v9"])


def test_a_missing_variant_is_refused() -> None:
    with pytest.raises(UserError, match=r"variant: it is needed, one of .*dsprites_v2, .*resume"):
        parse_arguments([])


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--study none", ("('models', 'baselines', 'ablation', 'labels', 'controls', 'own')",)),
        ("--variant all --preset best", ("--preset", "best", "default", "paper", "quick")),
        ("--variant all --sampler cma", ("--sampler", "cma", "tpe", "random", "nsga2")),
        ("--variant all --trials few", ("--trials", "few")),
        ("--variant all --confirm-seeds 2.5", ("--confirm-seeds", "2.5")),
        ("--variant all --colour red", ("--colour",)),
    ],
)
def test_unknown_choices_are_refused(
    flags: str,
    words: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    with pytest.raises(SystemExit) as exit_:
        parse_arguments(flags.split())
    assert exit_.value.code == 2
    errors = capfd.readouterr().err
    assert all(word in errors for word in words)
    assert "Traceback" not in errors


def test_a_storage_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = SweepSettings(variant="dsprites_v2", storage=str(tmp_path / "file" / "runs"))
    with pytest.raises(UserError, match=r"storage: .*file/runs cannot be written"):
        settings.check_storage()


def test_an_error_is_one_line_with_exit_code_2(tmp_path: Path) -> None:
    call = [sys.executable, str(SCRIPT), "--variant", "dsprites_v2", "--trials", "0"]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: trials: 0 is not allowed")
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())
