"""What a cluster may grow to: its machines come only when there is work for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

BOOTSTRAP_FILE = Path("~/ray_bootstrap_config.yaml")
"""Where `ray up` leaves the cluster file on the head, for Ray's autoscaler."""


def grown(available: Mapping[str, float], file: Path = BOOTSTRAP_FILE) -> dict[str, float]:
    """The resources of a cluster when all its machines have come.

    Args:
        available: Resources of the machines that are there.
        file: The cluster file; of a cluster that `ray up` did not start there is none.

    Returns:
        At least what is there.
    """
    most: dict[str, float] = {}
    for count, resources in kinds(file):
        for name, amount in resources.items():
            most[name] = most.get(name, 0.0) + count * float(amount)
    return {
        name: max(available.get(name, 0.0), most.get(name, 0.0)) for name in {*available, *most}
    }


def kinds(file: Path = BOOTSTRAP_FILE) -> list[tuple[int, dict[str, float]]]:
    """Kinds of machines in a cluster file: the most of each, and the resources of one."""
    try:
        config = yaml.safe_load(file.expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return []
    return _machines(config if isinstance(config, dict) else {})


def _machines(config: Mapping[str, Any]) -> list[tuple[int, dict[str, float]]]:
    known = config.get("available_node_types") or {}
    head = config.get("head_node_type")
    # The limit of the cluster holds for all kinds together: the first ones use it up.
    left = int(config.get("max_workers") or 0)
    machines: list[tuple[int, dict[str, float]]] = []
    by_size = sorted(
        known.items(), key=lambda kind: -float((kind[1].get("resources") or {}).get("GPU", 0))
    )
    for name, kind in by_size:
        workers = min(left, int(kind.get("max_workers", 0 if name == head else left)))
        left -= workers
        machines.append((workers + (name == head), kind.get("resources") or {}))
    return machines
