"""Machines made of Linux namespaces: own network, processes, home and name, and SSH."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from tests.patience import PATIENCE

NETWORK = "10.77.0"
BRIDGE = "weakdis"
USER = "lab"
_CHECKOUT = Path(__file__).parents[3]

# Runs as the first process of a machine, with which all others end. The checkout and its .venv stay
# visible even below /home or /tmp, which each machine has for itself.
_BOOT = """
set -e
hostname {name}
mount --make-rprivate /
mount --rbind {checkout} /mnt
mount --bind {root}/passwd /etc/passwd
mount -t tmpfs none /home
mkdir -p /home/{user} /home/shared /home/keys /run/sshd
mount --bind {root}/shared /home/shared
cp {root}/host_key {root}/key.pub {root}/sshd_config /home/keys
cp /etc/skel/.bashrc /etc/skel/.profile /home/{user}
mount -t tmpfs none /tmp
mkdir -p {checkout}
mount --move /mnt {checkout}
mount -t tmpfs none /dev/shm
exec /usr/sbin/sshd -D -e -f /home/keys/sshd_config
"""

_SSHD = """
HostKey /home/keys/host_key
AuthorizedKeysFile /home/keys/key.pub
PermitRootLogin yes
StrictModes no
UsePAM no
PidFile none
"""


class Laboratory:
    """Machines on a network of their own, in which this one has the address `.1`.

    Args:
        root: A folder for keys and logs.
        names: Names of the machines; their addresses are `.11`, `.12` and so on.
    """

    def __init__(self, root: Path, names: tuple[str, ...]) -> None:
        self.root = root
        self.addresses = {name: f"{NETWORK}.{11 + i}" for i, name in enumerate(names)}
        self.shared = root / "shared"
        self.key = root / "key"
        self._machines: dict[str, subprocess.Popen[bytes]] = {}

    def kill(self, name: str) -> None:
        """Kill all processes of a machine."""
        machine = self._machines.pop(name)
        # The parent of its first process, which ends with it.
        os.killpg(machine.pid, signal.SIGKILL)
        machine.wait()

    def log(self, name: str) -> str:
        """Return the log of a machine's SSH server."""
        return (self.root / f"{name}.log").read_text()

    def __enter__(self) -> Laboratory:
        self.shared.mkdir()
        self._clean()
        for file in ("key", "host_key"):
            _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.root / file))
        (self.root / "sshd_config").write_text(_SSHD)
        # Root under another name: it has a home of its own and may read every file.
        entry = f"{USER}:*:0:0::/home/{USER}:/bin/bash\n"
        (self.root / "passwd").write_text(entry + Path("/etc/passwd").read_text())
        _run("ip", "link", "add", BRIDGE, "type", "bridge")
        _run("ip", "address", "add", f"{NETWORK}.1/24", "dev", BRIDGE)
        _run("ip", "link", "set", BRIDGE, "up")
        for name, address in self.addresses.items():
            self._start(name, address)
        return self

    def __exit__(self, *exception: object) -> None:
        for name in list(self._machines):
            self.kill(name)
        self._clean()

    def _start(self, name: str, address: str) -> None:
        space, cable = f"{BRIDGE}-{name}", f"wd-{name}"
        _run("ip", "netns", "add", space)
        _run("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", space)
        _run("ip", "link", "set", cable, "master", BRIDGE, "up")
        for command in (
            f"address add {address}/24 dev eth0",
            "link set eth0 up",
            "link set lo up",
            # It leads nowhere, but Ray needs one to find the machine's address.
            f"route add default via {NETWORK}.1",
        ):
            _run("ip", "-n", space, *command.split())
        boot = _BOOT.format(name=name, root=self.root, user=USER, checkout=_CHECKOUT)
        inside = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--mount", "--uts"]
        with (self.root / f"{name}.log").open("wb") as log:
            self._machines[name] = subprocess.Popen(
                ["ip", "netns", "exec", space, *inside, "bash", "-c", boot],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
                env={"PATH": os.environ["PATH"]},
            )  # fmt: skip
        deadline = time.monotonic() + PATIENCE
        while self.ssh(name, "true").returncode != 0:
            assert time.monotonic() < deadline, self.log(name)
            time.sleep(0.2)

    def ssh(self, name: str, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command on a machine, in the shell of its user."""
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ConnectTimeout=5"]
        flags = [part for option in options for part in ("-o", option)]
        place = f"{USER}@{self.addresses[name]}"
        return subprocess.run(
            ["ssh", "-q", "-i", str(self.key), *flags, place, command],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def _clean(self) -> None:
        # Remove what a killed test left behind, processes included.
        for space in (f"{BRIDGE}-{name}" for name in self.addresses):
            pids = subprocess.run(
                ["ip", "netns", "pids", space], capture_output=True, text=True, check=False
            )
            for pid in pids.stdout.split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            subprocess.run(["ip", "netns", "delete", space], capture_output=True, check=False)
        subprocess.run(["ip", "link", "delete", BRIDGE], capture_output=True, check=False)
        for folder in Path("/tmp").glob("ray_ssh_*"):
            shutil.rmtree(folder, ignore_errors=True)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
