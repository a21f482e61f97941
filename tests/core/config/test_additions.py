"""Additions: the registry is complete, and each addition can be removed."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator

import pytest

from weakdis_core.config import settings
from weakdis_core.config.additions import ADDITIONS, additions_of, without_addition
from weakdis_core.config.config import Config
from weakdis_core.data.variants import VARIANTS
from weakdis_core.errors import UserError
from weakdis_core.presets import preset

GROUPS = {"ModelSettings": "model", "LossSettings": "loss", "TrainingSettings": "training"}


def documented() -> Iterator[tuple[str, str]]:
    """Return every setting by dotted name, with its docstring."""
    for node in ast.parse(inspect.getsource(settings)).body:
        if isinstance(node, ast.ClassDef) and node.name in GROUPS:
            for field, text in zip(node.body, node.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                    assert isinstance(field.target, ast.Name)
                    name = f"{GROUPS[node.name]}.{field.target.id.removesuffix('_')}"
                    yield name, ast.literal_eval(text.value)


def test_every_setting_documented_as_an_addition_is_registered_once() -> None:
    called = [name for name, text in documented() if re.search(r"^Addition|\(additions?\)", text)]
    assert len(called) > 10
    covered = [addition.switch for addition in ADDITIONS.values()]
    assert sorted(covered) == sorted(called)


def test_details_belong_to_one_addition_and_exist() -> None:
    details = [detail for addition in ADDITIONS.values() for detail in addition.details]
    assert len(details) == len(set(details))
    assert set(details) <= set(Config().flat())


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_addition_of_a_default_preset_can_be_removed_alone(variant: str) -> None:
    full = preset("default", variant)
    paper = Config().flat()
    assert "labelled cross-entropy" in additions_of(full)
    for name in additions_of(full):
        less = without_addition(full, name)
        addition = ADDITIONS[name]
        gone = {name, *addition.dependents}
        assert set(additions_of(less)) == set(additions_of(full)) - gone
        switches = {ADDITIONS[each].switch for each in gone}
        changed = {key for key, value in less.flat().items() if value != full.flat()[key]}
        assert changed <= {*switches, *addition.details, *addition.instead}
        assert all(less.flat()[switch] == paper[switch] for switch in switches)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_paper_preset_uses_no_addition(variant: str) -> None:
    assert additions_of(preset("paper", variant)) == ()


def test_unknown_and_unused_additions_are_refused() -> None:
    full = preset("default", "dsprites_v4")
    with pytest.raises(UserError, match="addition: 'magic' is not one of labelled cross-entropy"):
        without_addition(full, "magic")
    with pytest.raises(UserError, match="addition: 'nuisance partition' is not used; in use: "):
        without_addition(full, "nuisance partition")
