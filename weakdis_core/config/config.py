"""One experiment: its settings together, validated, and identified by one hash."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from weakdis_core.config.settings import (
    DataSettings,
    LossSettings,
    ModelSettings,
    RuntimeSettings,
    Settings,
    TrainingSettings,
)
from weakdis_core.errors import UserError
from weakdis_core.files import write_text


class Config(Settings):
    """One experiment."""

    data: DataSettings = DataSettings()
    model: ModelSettings = ModelSettings()
    loss: LossSettings = LossSettings()
    training: TrainingSettings = TrainingSettings()
    runtime: RuntimeSettings = RuntimeSettings()
    seed: int = Field(0, ge=0, le=2**31 - 1)
    """Seed of everything random in training."""

    @model_validator(mode="after")
    def _parts_fit(self) -> Config:
        settings = self.flat() if self.model.kind == "monolithic" else {}
        for name in ("model.nuisance_partitions", "loss.cycle_swaps"):
            if value := settings.get(name):
                raise ValueError(
                    f"{name} {value} needs several partitions, model.kind monolithic has one; "
                    "its own presets turn this off"
                )
        return self

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values with the names users see (`loss.lambda`)."""
        return self.model_dump(mode="json", by_alias=True)

    def flat(self) -> dict[str, Any]:
        """The settings flattened with dots, as MLflow stores them."""
        return dict(_flatten(self.to_dict(), ""))

    def hash(self) -> str:
        """Twelve hex digits that identify the experiment: its settings, seed and runtime apart.

        Settings at their defaults do not count, so that a new addition, off by default, leaves
        finished results what they are.
        """
        settings = self.model_dump(
            mode="json", by_alias=True, exclude={"seed", "runtime"}, exclude_defaults=True
        )
        text = json.dumps(settings, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def with_values(self, changes: dict[str, Any]) -> Config:
        """A copy with settings replaced by dotted name (`{"loss.lambda": 0.3}`), validated again.

        Raises:
            UserError: A name is unknown or a value out of range.
        """
        return validated(replaced(self.to_dict(), changes))

    def save(self, path: Path) -> None:
        """Write the settings as YAML, atomically."""
        write_text(path, yaml.safe_dump(self.to_dict(), sort_keys=False))

    @classmethod
    def load(cls, path: Path) -> Config:
        """Read settings written by `save`.

        Raises:
            UserError: The file is missing, is not YAML, or holds a bad setting.
        """
        try:
            settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UserError(f"{path}: cannot be read as YAML settings ({error})") from None
        if not isinstance(settings, dict):
            raise UserError(f"{path}: found no settings, expected a mapping of them")
        return validated(settings)


def replaced(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings (`Config.to_dict`) with values replaced by dotted name, not validated.

    Raises:
        UserError: A name is unknown.
    """
    changed = copy.deepcopy(dict(settings))
    for name, value in changes.items():
        *groups, last = name.split(".")
        target: Any = changed
        for group in groups:
            target = target.get(group) if isinstance(target, dict) else None
        if not isinstance(target, dict) or last not in target:
            known = ", ".join(key for key, _ in _flatten(changed, ""))
            raise UserError(f"{name}: no such setting; known: {known}")
        target[last] = value
    return changed


def _flatten(settings: dict[str, Any], prefix: str) -> list[tuple[str, Any]]:
    items: list[tuple[str, Any]] = []
    for key, value in settings.items():
        name = f"{prefix}{key}"
        items += _flatten(value, f"{name}.") if isinstance(value, dict) else [(name, value)]
    return items


def validated(settings: dict[str, Any]) -> Config:
    """A Config from plain nested values.

    Raises:
        UserError: One line for each bad setting: name, value and what is allowed.
    """
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        raise UserError(describe(error)) from None


def describe(error: ValidationError) -> str:
    """A validation error as `name: value is not allowed: reason`, one line for each setting."""
    lines = []
    for detail in error.errors():
        name = ".".join(str(part) for part in detail["loc"]) or "settings"
        reason = detail["msg"].removeprefix("Value error, ")
        value = detail["input"]
        shown = "" if isinstance(value, dict | BaseModel) else f"{value!r} is not allowed: "
        lines.append(f"{name}: {shown}{reason}")
    return "\n".join(lines)
