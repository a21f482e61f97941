"""The configuration of an experiment: all settings, validated and identified by one hash."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from weakdis_core.config.settings import (
    DataSettings,
    FewLabelsSettings,
    LossSettings,
    ModelSettings,
    RuntimeSettings,
    Settings,
    TrainingSettings,
    ZeroDimSettings,
)
from weakdis_core.errors import UserError
from weakdis_core.files import write_text

_FEW_LABELS_NEEDS: tuple[tuple[str, object], ...] = (
    ("model.latent_size", 1),
    ("loss.prior_matching", "kl"),
    ("training.ending", 0.0),
)


class Config(Settings):
    """The settings of one experiment."""

    data: DataSettings = DataSettings()
    model: ModelSettings = ModelSettings()
    loss: LossSettings = LossSettings()
    training: TrainingSettings = TrainingSettings()
    few_labels: FewLabelsSettings = FewLabelsSettings()
    zerodim: ZeroDimSettings = ZeroDimSettings()
    runtime: RuntimeSettings = RuntimeSettings()
    seed: int = Field(0, ge=0, le=2**31 - 1)
    """Seed of all random draws in training."""

    @model_validator(mode="after")
    def _parts_fit(self) -> Config:
        if self.model.kind == "monolithic" and (value := self.model.nuisance_partitions):
            raise ValueError(
                f"model.nuisance_partitions {value} needs several partitions, model.kind "
                "monolithic has one; its own presets turn this off"
            )
        if self.model.kind == "few_labels":
            for name, needed in _FEW_LABELS_NEEDS:
                if (found := self.flat()[name]) != needed:
                    raise ValueError(f"{name} {found}: model.kind few_labels needs {needed}")
        if self.model.kind == "zerodim" and not self.training.warmup_steps:
            raise ValueError(
                f"training.warmup {self.training.warmup} is no step: model.kind zerodim trains its "
                "classifiers and its generator in the warmup"
            )
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return nested plain values, with the names that users see (`lambda`, not `lambda_`)."""
        return self.model_dump(mode="json", by_alias=True)

    def flat(self) -> dict[str, Any]:
        """Return the settings by dotted name, as MLflow stores them.

        An own data set's description is its digest.
        """
        settings = self.to_dict()
        if (description := settings["data"].pop("description")) is not None:
            settings["data"]["description"] = description["digest"]
        return dict(_flatten(settings))

    def hash(self) -> str:
        """Return twelve hex digits that identify the settings without seed and runtime.

        Defaults are left out, so that a new setting does not change the hash of finished runs.
        """
        settings = self.model_dump(
            mode="json", by_alias=True, exclude={"seed", "runtime"}, exclude_defaults=True
        )
        if self.data.description is not None:
            settings["data"]["description"] = self.data.description.digest
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]

    def with_values(self, changes: dict[str, Any]) -> Config:
        """Return a validated copy with settings replaced by dotted name (`{"loss.lambda": 0.3}`).

        Raises:
            UserError: A name is unknown or a value is out of range.
        """
        return validated(replaced(self.to_dict(), changes))

    def save(self, path: Path) -> None:
        """Write the settings as YAML, atomically."""
        write_text(path, yaml.safe_dump(self.to_dict(), sort_keys=False))

    @classmethod
    def load(cls, path: Path) -> Config:
        """Read settings written by `save`.

        Raises:
            UserError: The file is missing, is not YAML, or has an invalid setting.
        """
        try:
            settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UserError(f"{path}: cannot be read as YAML settings ({error})") from None
        if not isinstance(settings, dict):
            raise UserError(f"{path}: found no settings, expected a mapping of them")
        return validated(settings)


def replaced(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings (`Config.to_dict`) with values replaced by dotted name, unvalidated.

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
            known = ", ".join(key for key, _ in _flatten(changed))
            raise UserError(f"{name}: no such setting; known: {known}")
        target[last] = value
    return changed


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def validated(settings: dict[str, Any]) -> Config:
    """Build a Config from nested plain values.

    Raises:
        UserError: Settings are invalid; the message has one line for each.
    """
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        raise UserError(describe(error)) from None


def describe(error: ValidationError, group: tuple[str, ...] = ()) -> str:
    """Format a validation error as `name: value is not allowed: reason`, one line for each setting.

    `group` is the location of the validated settings within the configuration.
    """
    lines = []
    for detail in error.errors():
        name = ".".join(str(part) for part in (*group, *detail["loc"])) or "settings"
        reason = detail["msg"].removeprefix("Value error, ")
        value = detail["input"]
        shown = "" if isinstance(value, dict | BaseModel) else f"{value!r} is not allowed: "
        lines.append(f"{name}: {shown}{reason}")
    return "\n".join(lines)
