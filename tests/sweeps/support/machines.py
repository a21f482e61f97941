"""A real Ray cluster on this machine: nodes with their own addresses, started and killed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from tests.patience import PATIENCE
from tests.sweeps.support.services import free_port

HEAD, OTHER = "127.0.0.1", "127.0.0.2"


class Machines:
    """The nodes of a cluster, as `ray start` makes them.

    Args:
        place: Folder of their logs.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self.port = free_port()
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}
        # The path of a socket has 107 characters at most: not below a test's own folder.
        self._ray = tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True)

    @property
    def address(self) -> str:
        """Address at which a driver joins."""
        return f"{HEAD}:{self.port}"

    def start_head(self, *flags: str) -> None:
        """Start the head."""
        head = ["--head", f"--port={self.port}", "--include-dashboard=false"]
        self._start(HEAD, [], [*head, f"--temp-dir={self._ray.name}", *flags])

    def start_other(self, hidden: Path | None = None, *flags: str) -> None:
        """Start a second node.

        Args:
            hidden: A folder that the node does not share: an empty one takes its place.
            flags: More flags of `ray start`.
        """
        around: list[str] = []
        if hidden is not None:
            mount = f'mount -t tmpfs none "{hidden}" && exec "$@"'
            around = ["unshare", "--mount", "sh", "-c", mount, "sh"]
        self._start(OTHER, around, [f"--address={self.address}", *flags])

    def kill(self, address: str) -> None:
        """Kill a node with all its processes."""
        node = self._nodes.pop(address)
        if node.poll() is None:
            # Some of them are in sessions of their own.
            family = psutil.Process(node.pid).children(recursive=True)
            node.kill()
            for each in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
            node.wait()

    def _start(self, address: str, around: list[str], flags: list[str]) -> None:
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
        own = [f"--node-ip-address={address}", "--num-cpus=1"]
        environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0"}
        # It would hide GPUs from Ray.
        environment.pop("CUDA_VISIBLE_DEVICES", None)
        log = self._place / f"{address}.log"
        with log.open("ab") as file:
            self._nodes[address] = subprocess.Popen(
                [*around, *ray, *own, *flags], stdout=file, stderr=file, start_new_session=True,
                env=environment,
            )  # fmt: skip
        deadline = time.monotonic() + PATIENCE
        while "Ray runtime started" not in log.read_text():
            assert time.monotonic() < deadline, log.read_text()
            assert self._nodes[address].poll() is None, log.read_text()
            time.sleep(0.2)

    def __enter__(self) -> Machines:
        return self

    def __exit__(self, *exception: object) -> None:
        for address in list(self._nodes):
            self.kill(address)
        self._ray.cleanup()
