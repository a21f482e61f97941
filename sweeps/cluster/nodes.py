"""The machines of a cluster, and checks that they can run trials."""

import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
import yaml
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweeps.cluster.allotment import Allotment
from sweeps.cluster.storage import Storage
from sweeps.trial import Listener
from weakdis_core.errors import UserError
from weakdis_core.run_key import Versions

# Seconds that machines have to answer, and between two checks for new ones.
_PATIENCE = 30.0
_EVERY = 10.0

BOOTSTRAP_FILE = Path("~/ray_bootstrap_config.yaml")
"""The cluster file on a head that `ray up` started: which machines its autoscaler may start."""

Node = dict[str, Any]
"""A machine as `ray.nodes` describes it."""


class NodeCheck(Listener):
    """Checks that all machines, late ones included, run this code and reach the storage.

    Tune silently moves the trials of a machine that does not to the others, so that in a large
    cluster one machine may do all the work.

    Args:
        storage: Where checkpoints are stored.
        folder: Folder of the sweep in the storage, for a file that all machines must see.
    """

    def __init__(self, storage: Storage, folder: str) -> None:
        self._storage = storage
        self._folder = folder
        self._checked: set[str] = set()
        self._last = 0.0

    def step_started(self) -> None:
        """Check new machines from time to time."""
        if time.monotonic() - self._last > _EVERY:
            self.check()

    def check(self) -> None:
        """Check every machine that has not answered yet.

        Raises:
            UserError: A machine has other code, or does not reach the storage.
        """
        # The driver's machine has written to the storage already.
        known = {*self._checked, ray.get_runtime_context().get_node_id()}
        new = [node for node in working_nodes() if node["NodeID"] not in known]
        if new:
            self._checked |= self._probe(new)
        self._last = time.monotonic()

    def _probe(self, nodes: list[Node]) -> set[str]:
        """Probe machines at the same time; return the ids of those that can run trials."""
        try:
            with self._marked() as mark:
                probes = {_submit_probe(node, self._storage, mark): node for node in nodes}
                answered, _ = ray.wait(list(probes), num_returns=len(probes), timeout=_PATIENCE)
                return {probes[each]["NodeID"] for each in answered if _is_well(each, probes[each])}
        except OSError:
            # The storage does not answer. If it stays so, trials report it.
            return set()

    @contextmanager
    def _marked(self) -> Iterator[str]:
        """Write a file that every machine must see, and delete it at the end."""
        system, _ = self._storage.opened()
        mark = f"{self._folder}/.reachable-{uuid.uuid4().hex}"
        system.create_dir(self._folder, recursive=True)
        with system.open_output_stream(mark) as file:
            file.write(b"the driver was here")
        try:
            yield mark
        finally:
            system.delete_file(mark)


def working_nodes() -> list[Node]:
    """Return the machines that trials can run on."""
    return [
        node
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"] and (node["Resources"].get("CPU") or node["Resources"].get("GPU"))
    ]


def check_fits(allotment: Allotment) -> None:
    """Check that a trial fits on some machine, running or not started yet; else Ray would wait.

    Raises:
        UserError: No machine has enough CPUs or GPUs.
    """
    machines = [node["Resources"] for node in working_nodes()]
    machines += [resources for count, resources in _machine_kinds() if count]
    for field, name, amount in (
        ("cpus_per_trial", "CPU", allotment.cpus),
        ("gpus_per_trial", "GPU", allotment.gpus),
    ):
        most = max((machine.get(name, 0.0) for machine in machines), default=0.0)
        if amount > most:
            raise UserError(
                f"{field}: {amount:g} is not allowed: no machine has more than {most:g}"
            )


def largest_resources(
    available: Mapping[str, float], file: Path = BOOTSTRAP_FILE
) -> dict[str, float]:
    """Return the resources of a cluster once all machines of its cluster file have started.

    Without a cluster file they are what is `available`.
    """
    most: defaultdict[str, float] = defaultdict(float)
    for count, resources in _machine_kinds(file):
        for name, amount in resources.items():
            most[name] += count * float(amount)
    return {name: max(available.get(name, 0.0), most[name]) for name in {*available, *most}}


def _machine_kinds(file: Path = BOOTSTRAP_FILE) -> list[tuple[int, dict[str, float]]]:
    """Return for each kind of machine in a cluster file its largest number and its resources."""
    try:
        config = yaml.safe_load(file.expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return []
    if not isinstance(config, dict):
        return []
    kinds = config.get("available_node_types") or {}
    head = config.get("head_node_type")
    # The cluster's limit is for all kinds together; those with most GPUs come first.
    left = int(config.get("max_workers") or 0)
    machines: list[tuple[int, dict[str, float]]] = []
    by_gpus = sorted(
        kinds, key=lambda name: -float((kinds[name].get("resources") or {}).get("GPU", 0))
    )
    for name in by_gpus:
        kind = kinds[name]
        workers = min(left, int(kind.get("max_workers", 0 if name == head else left)))
        left -= workers
        machines.append((workers + (name == head), kind.get("resources") or {}))
    return machines


def _submit_probe(node: Node, storage: Storage, mark: str) -> Any:
    there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    probe = ray.remote(_find_fault).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
    return probe.remote(storage.root, mark, Versions.here())


def _is_well(answer: Any, node: Node) -> bool:
    """Check the answer of a machine; return False if the machine is gone.

    Raises:
        UserError: It cannot run trials.
    """
    try:
        fault = str(ray.get(answer))
    except RayTaskError as error:
        fault = f"cannot run this code: {str(error).strip().splitlines()[-1]}"
    except RayError:
        return False
    if fault:
        raise UserError(f"storage: node {node['NodeManagerAddress']} {fault}")
    return True


def _find_fault(root: str, mark: str, wanted: Versions) -> str:
    """Return why the machine that runs this function cannot run trials; an empty text if it can."""
    here = Versions.here()
    if here != wanted:
        return (
            f"has version {here.code} of the core and scikit-learn {here.scikit_learn}, not "
            f"{wanted.code} and {wanted.scikit_learn}"
        )
    try:
        system, _ = Storage(root).opened()
        with system.open_input_stream(mark) as file:
            file.read()
        own = f"{mark}-{uuid.uuid4().hex}"
        with system.open_output_stream(own):
            pass
        system.delete_file(own)
    except (OSError, UserError) as error:
        return (
            f"does not reach {root}, which all nodes must share ({error}); "
            "--storage names a shared folder or an address such as s3://bucket/folder"
        )
    return ""
