"""The machines of a cluster: whether each of them can do a trial's work."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweeps.cluster.allotment import Allotment
from sweeps.cluster.autoscaler import machine_kinds
from sweeps.cluster.storage import Storage
from sweeps.trial import Listener
from weakdis_core.errors import UserError
from weakdis_core.run_key import Versions

_SECONDS = 30.0
_EVERY = 10.0


Node = dict[str, Any]
"""A machine as `ray.nodes` describes it."""


class NodeCheck(Listener):
    """Makes sure that all machines run this code and reach the storage, late ones included.

    Without it Tune moves the trials of a machine that does not to another one, and says nothing:
    of a large cluster one machine works.

    Args:
        storage: Where checkpoints lie.
        folder: Folder of the sweep in the storage, for a file that all machines must see.
    """

    def __init__(self, storage: Storage, folder: str) -> None:
        self._storage = storage
        self._folder = folder
        self._checked: set[str] = set()
        self._last = 0.0

    def step_started(self) -> None:
        """Look for machines that have come since, from time to time."""
        if time.monotonic() - self._last > _EVERY:
            self.check()

    def check(self) -> None:
        """Ask every machine that has not been asked.

        Raises:
            UserError: One has other code, or does not reach the storage.
        """
        # The driver's own has written the storage already.
        known = {*self._checked, ray.get_runtime_context().get_node_id()}
        new = [node for node in working_nodes() if node["NodeID"] not in known]
        if new:
            # Who does not answer is asked again next time.
            self._checked |= self._ask(new)
        self._last = time.monotonic()

    def _ask(self, nodes: list[Node]) -> set[str]:
        """Ask machines, all at once; the ids of those that answered that all is well."""
        try:
            with self._marked() as mark:
                asked = {_ask(node, self._storage, mark): node for node in nodes}
                answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=_SECONDS)
                return {asked[each]["NodeID"] for each in answered if _is_well(each, asked[each])}
        except OSError:
            # The storage itself does not answer: trials will tell, if it stays so.
            return set()

    @contextmanager
    def _marked(self) -> Iterator[str]:
        """A file in the storage that every machine must see."""
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
    """The machines that trials can run on."""
    return [
        node
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"] and (node["Resources"].get("CPU") or node["Resources"].get("GPU"))
    ]


def check_fits(allotment: Allotment) -> None:
    """Find out whether some machine, there or still to come, has what a trial gets.

    Together they may have it, and then Ray would wait for ever without a word.

    Raises:
        UserError: None has.
    """
    machines = [node["Resources"] for node in working_nodes()]
    machines += [resources for count, resources in machine_kinds() if count]
    for field, name, amount in (
        ("cpus_per_trial", "CPU", allotment.cpus),
        ("gpus_per_trial", "GPU", allotment.gpus),
    ):
        most = max((machine.get(name, 0.0) for machine in machines), default=0.0)
        if amount > most:
            raise UserError(
                f"{field}: {amount:g} is not allowed: no machine has more than {most:g}"
            )


def _ask(node: Node, storage: Storage, mark: str) -> Any:
    there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    asked = ray.remote(_probe).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
    return asked.remote(storage.root, mark, Versions.here())


def _is_well(answer: Any, node: Node) -> bool:
    """Whether a machine can do a trial's work; False where it does not say.

    Raises:
        UserError: It cannot.
    """
    try:
        reason = str(ray.get(answer))
    except RayTaskError as error:
        reason = f"cannot run this code: {str(error).strip().splitlines()[-1]}"
    except RayError:
        # Gone meanwhile, or going.
        return False
    if reason:
        raise UserError(f"storage: node {node['NodeManagerAddress']} {reason}")
    return True


def _probe(root: str, mark: str, wanted: Versions) -> str:
    """On a machine: what keeps it from doing a trial's work."""
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
