"""Sweeps in their storage: what they store, and how they are found and listed."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path

import optuna
import pytest
from optuna.storages._cached_storage import _CachedStorage
from optuna.trial import TrialState
from rich.console import Console

from sweeps.cli.status import print_status
from sweeps.cluster.locks import acquire_sweep_lock
from sweeps.search.space import build_space
from sweeps.state.catalog import (
    check_names_are_free,
    find_sweep,
    note_end,
    store_settings,
    stored_names,
)
from sweeps.state.resume import resume_settings
from sweeps.state.study import open_storage, open_study
from sweeps.state.trial_store import TrialStore
from sweeps.sweep_settings import SweepSettings, parse_arguments
from sweeps.tracking.outbox import Outbox
from sweeps.trial import Outcome, TrialRecord
from tests.sweeps.support.kept import VARIANT, a_stored_sweep
from weakdis_core.errors import UserError
from weakdis_core.version import CODE_VERSION

SECRET = "postgresql://user:swordfish@host/db"


def test_no_password_is_stored(tmp_path: Path) -> None:
    settings = a_stored_sweep(tmp_path, "one", "--tracking-uri", SECRET)
    study = find_sweep(settings, "one").study
    store_settings(
        study, settings.model_copy(update={"optuna_storage": SECRET}), settings.base_config(VARIANT)
    )
    kept = json.dumps(study.user_attrs)
    assert "swordfish" not in kept


@pytest.mark.parametrize("part", ["settings", "base"])
def test_settings_of_another_version_are_refused(part: str, tmp_path: Path) -> None:
    settings = a_stored_sweep(tmp_path, "one")
    study = find_sweep(settings, "one").study
    kept = study.user_attrs["sweep"]
    study.set_user_attr("sweep", kept | {part: kept[part] | {"gone": 1}})
    with pytest.raises(UserError, match=r"'one' is of another version of weakdis \(gone: 1 is not"):
        find_sweep(settings, "one")


def test_a_sweep_of_another_core_is_not_resumed(tmp_path: Path) -> None:
    a_stored_sweep(tmp_path)
    study = find_sweep(SweepSettings(resume="one", storage=str(tmp_path)), "one").study
    kept = study.user_attrs["sweep"]
    assert kept["core"] == CODE_VERSION
    asked = parse_arguments(["--resume", "one", "--storage", str(tmp_path)])
    study.set_user_attr("sweep", {**kept, "core": CODE_VERSION - 1})
    with pytest.raises(UserError, match=f"'one' began with version {CODE_VERSION - 1} of the"):
        resume_settings(asked)
    # Sweeps of earlier versions lack the version.
    study.set_user_attr("sweep", {name: kept[name] for name in kept if name != "core"})
    assert find_sweep(asked, "one").core == 2


def test_the_name_of_a_sweep_is_taken(tmp_path: Path) -> None:
    settings = a_stored_sweep(tmp_path, "N-shapes3d_v3")
    check_names_are_free(settings.model_copy(update={"name": "free"}))
    with pytest.raises(UserError, match="there is a sweep 'N-shapes3d_v3' already; resume it"):
        check_names_are_free(
            parse_arguments(["--variant", "all", "--name", "N", "--storage", str(tmp_path)])
        )
    with (
        acquire_sweep_lock(tmp_path / "N-shapes3d_v3"),
        pytest.raises(UserError, match="the sweep 'N-shapes3d_v3' is running already"),
    ):
        check_names_are_free(settings)


def test_a_sweep_killed_before_it_stored_its_settings_leaves_its_name_free(
    tmp_path: Path,
) -> None:
    """In a file and in a database, for any objective."""
    database = f"sqlite:///{tmp_path / 'studies.db'}"
    base = a_stored_sweep(tmp_path, "other", "--optuna-storage", database).base_config(VARIANT)
    for more in ([], ["--optuna-storage", database]):
        settings = parse_arguments(
            ["--variant", VARIANT, "--name", "one", "--storage", str(tmp_path), *more]
        )
        (tmp_path / "one").mkdir(exist_ok=True)
        studies = open_storage(tmp_path / "one", settings.study_storage)
        open_study(studies, "one", "pixels", build_space(base, {}))
        assert "one" not in stored_names(settings)
        check_names_are_free(settings)
        studies = open_storage(tmp_path / "one", settings.study_storage)
        open_study(studies, "one", "pareto", build_space(base, {}))
        assert ("other" in stored_names(settings)) == bool(more)


def test_sweeps_are_in_the_order_in_which_they_began(tmp_path: Path) -> None:
    settings = [a_stored_sweep(tmp_path, name) for name in ("b", "c", "a")]
    store_settings(
        find_sweep(settings[0], "b").study, settings[0], settings[0].base_config(VARIANT)
    )
    assert stored_names(settings[0]) == ["b", "c", "a"]


def test_sweeps_are_listed_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert stored_names(parse_arguments(["--list", "--storage", str(tmp_path)])) == []
    a_stored_sweep(tmp_path)
    for flags in (["--list"], ["--status", "one"]):
        print_status(parse_arguments([*flags, "--storage", str(tmp_path)]), Console(width=200))
        shown = capsys.readouterr().out
        assert re.search("^one:? +interrupted", shown, re.MULTILINE)
        assert "1 interrupted" in shown
        assert "running" not in shown
    assert "0.250" in shown
    assert f"continue     python sweeps/run.py --resume {tmp_path / 'one'}\n" in shown
    # Errors are printed without reading them as markup.
    error = "[enforce fail at alloc.cpp:75] no memory for [/tmp/x]"
    failed = TrialRecord(0, "00000", {"data.labels": 100}, "failed", 30, error=error)
    stored = find_sweep(parse_arguments(["--status", "one", "--storage", str(tmp_path)]), "one")
    TrialStore(stored.study).save(failed, 12.0)
    print_status(
        parse_arguments(["--status", "one", "--storage", str(tmp_path)]), Console(width=200)
    )
    assert error in capsys.readouterr().out
    # Sweeps of earlier versions lack `ended`, so trials and waiting confirm runs decide.
    kept = stored.study.user_attrs["sweep"]
    stored.study.set_user_attr("sweep", {key: kept[key] for key in kept if key != "ended"})
    stored = find_sweep(parse_arguments(["--list", "--storage", str(tmp_path)]), "one")
    stored.study.tell(0, 0.75)
    print_status(parse_arguments(["--list", "--storage", str(tmp_path)]), Console(width=200))
    assert "one    ended" in capsys.readouterr().out
    space = build_space(stored.base, {})
    confirm = open_study(open_storage(tmp_path / "one"), "one/confirm", "pixels", space)
    confirm.enqueue_trial({})
    print_status(parse_arguments(["--list", "--storage", str(tmp_path)]), Console(width=200))
    assert "one    interrupted" in capsys.readouterr().out
    # A sweep with its study in a database is listed by its folder.
    (tmp_path / "two").mkdir()
    Outbox(tmp_path / "two")
    print_status(parse_arguments(["--list", "--storage", str(tmp_path)]), Console(width=200))
    assert (
        "two    its study is in another database: see --optuna-storage" in capsys.readouterr().out
    )


def test_a_record_that_lacks_its_end_is_completed(tmp_path: Path) -> None:
    study = find_sweep(a_stored_sweep(tmp_path), "one").study
    study.tell(0, 0.75)
    (record,) = TrialStore(study).load().values()
    assert (record.outcome, record.mended) == ("complete", True)


@pytest.mark.parametrize(
    ("trials", "outcome"),
    [([], ""), (["complete"], "1 complete"), (["complete"] * 7, "7 complete")],
)
def test_a_sweep_has_ended_only_when_its_session_has(
    tmp_path: Path, trials: list[Outcome], outcome: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The program may be killed between trials, or while it evaluates the best one."""
    settings = parse_arguments(["--variant", VARIANT, "--name", "one", "--storage", str(tmp_path)])
    base = settings.base_config(VARIANT)
    (tmp_path / "one").mkdir()
    study = open_study(open_storage(tmp_path / "one"), "one", "pixels", build_space(base, {}))
    store_settings(study, settings, base)
    for number, each in enumerate(trials):
        trial = study.ask()
        study.tell(trial, 0.5)
        record = TrialRecord(number, f"{number:05d}", {}, each, 30, 30, score=0.5)
        TrialStore(study).save(record, 1.0)
    listed = parse_arguments(["--list", "--storage", str(tmp_path)])
    print_status(listed, Console(width=200))
    assert "one    interrupted" in capsys.readouterr().out
    note_end(study)
    print_status(listed, Console(width=200))
    shown = capsys.readouterr().out
    assert "ended" in shown
    assert "interrupted" not in shown
    assert outcome in shown
    TrialStore(study).save(TrialRecord(8, "00008", {}, "out_of_time", 10, 30), 1.0)
    study.tell(study.ask(), state=TrialState.FAIL)
    print_status(listed, Console(width=200))
    assert ("one    out of time" in capsys.readouterr().out) == (len(study.trials) == 9)
    # A new session begins.
    store_settings(study, settings, base)
    print_status(listed, Console(width=200))
    assert "one    interrupted" in capsys.readouterr().out


def foreign_table(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("create table mine (value)")


def foreign_study(file: Path, name: str = "one") -> None:
    study = optuna.create_study(storage=f"sqlite:///{file}", study_name=name)
    study.enqueue_trial({"x": 1})
    close_study(study)


def foreign_text(file: Path) -> None:
    file.write_text("Not a database at all, but what somebody wrote down.")


@pytest.mark.parametrize(
    "make",
    [foreign_table, foreign_study, partial(foreign_study, name="other"), foreign_text],
    ids=["a table", "a study of the name", "another study", "text"],
)
def test_a_file_that_is_no_sweep_is_left_unchanged(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    file = tmp_path / "one" / "study.db"
    file.parent.mkdir()
    make(file)
    before = file.read_bytes()
    new = parse_arguments(["--variant", VARIANT, "--name", "one", "--storage", str(tmp_path)])
    with pytest.raises(
        UserError, match=r"name: 'one' is not allowed: a study of .* is not a sweep"
    ):
        check_names_are_free(new)
    assert stored_names(new) == []
    with pytest.raises(UserError, match="there is no sweep 'one'"):
        find_sweep(parse_arguments(["--resume", "one", "--storage", str(tmp_path)]), "one")
    assert file.read_bytes() == before


def test_a_study_that_is_no_sweep_is_left_unchanged(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'shared.db'}"
    close_study(optuna.create_study(storage=database, study_name="precious"))
    flags = ["--variant", VARIANT, "--name", "precious", "--storage", str(tmp_path)]
    with pytest.raises(UserError, match=r"'precious' is not allowed: .* in that database is not"):
        check_names_are_free(parse_arguments([*flags, "--optuna-storage", database]))
    assert optuna.get_all_study_names(open_storage(tmp_path, database)) == ["precious"]


def test_a_locked_study_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    a_stored_sweep(tmp_path)
    monkeypatch.setattr("sweeps.state.catalog._PATIENCE", 0.1)
    place = ["--storage", str(tmp_path)]
    with contextlib.closing(sqlite3.connect(tmp_path / "one/study.db")) as other:
        other.execute("begin exclusive")
        print_status(parse_arguments(["--list", *place]), Console(width=300))
        assert "study.db is locked by another program" in capsys.readouterr().out
        for flags, call in (
            (["--resume", "one"], lambda settings: find_sweep(settings, "one")),
            (["--variant", VARIANT, "--name", "one"], check_names_are_free),
        ):
            with pytest.raises(UserError, match="is locked by another program"):
                call(parse_arguments([*flags, *place]))
    assert stored_names(parse_arguments(["--list", *place])) == ["one"]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("postgresql://u:swordfish@127.0.0.1:9/db", r"\*\*\*@127.0.0.1:9/db' cannot be used"),
        ("postgres://u:swordfish@h/db", "postgres:// is not allowed: .* begins with postgresql://"),
        ("postgresql://u:swordfish@h:port/db", "cannot be used"),
        ("nothing://u:swordfish@h/db", "cannot be used"),
    ],
)
@pytest.mark.parametrize(
    "flags", [["--variant", VARIANT, "--name", "one"], ["--resume", "one"], ["--list"]]
)
def test_a_database_that_cannot_be_used_is_one_clear_line(
    tmp_path: Path, address: str, message: str, flags: list[str]
) -> None:
    asked = [*flags, "--storage", str(tmp_path), "--optuna-storage", address]
    with pytest.raises(UserError, match=f"optuna_storage: .*{message}") as refused:
        begin_or_look(asked)
    assert "swordfish" not in str(refused.value)
    assert "\n" not in str(refused.value)


def begin_or_look(flags: list[str]) -> None:
    """Run the checks of `sweeps/run.py` before anything starts."""
    settings = parse_arguments(flags)
    if settings.list:
        print_status(settings, Console())
    elif settings.resume:
        resume_settings(settings)
    else:
        check_names_are_free(settings)


def close_study(study: optuna.Study) -> None:
    """Close a study's connections."""
    storage = study._storage
    assert isinstance(storage, _CachedStorage)
    storage.remove_session()
    storage._backend.engine.dispose()
