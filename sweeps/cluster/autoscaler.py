"""The machines that Ray's autoscaler may still start."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

BOOTSTRAP_FILE = Path("~/ray_bootstrap_config.yaml")
"""Where `ray up` leaves the cluster file on the head, for Ray's autoscaler."""


def largest_resources(
    available: Mapping[str, float], file: Path = BOOTSTRAP_FILE
) -> dict[str, float]:
    """The resources of a cluster when all machines of its cluster file have come.

    A cluster that `ray up` did not start has no file: of it only what is there counts.
    """
    most: dict[str, float] = {}
    for count, resources in machine_kinds(file):
        for name, amount in resources.items():
            most[name] = most.get(name, 0.0) + count * float(amount)
    return {
        name: max(available.get(name, 0.0), most.get(name, 0.0)) for name in {*available, *most}
    }


def machine_kinds(file: Path = BOOTSTRAP_FILE) -> list[tuple[int, dict[str, float]]]:
    """Kinds of machines in a cluster file: the most of each, and the resources of one."""
    try:
        config = yaml.safe_load(file.expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return []
    if not isinstance(config, dict):
        return []
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
