"""`ray up` on two machines, a sweep that loses one of them, and `ray down`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.patience import PATIENCE
from tests.sweeps.support.faulty import call_of, check_invariants, flags, last_checkpoint
from tests.sweeps.support.held import FOLDER, hold, release
from tests.sweeps.support.namespaces import USER, Laboratory

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.needs_root,
    pytest.mark.needs_command("sshd", "openssh-server"),
    pytest.mark.needs_command("rsync", "rsync"),
    pytest.mark.needs_command("ip", "iproute2"),
]
ROOT = Path(__file__).parents[3]
RAY = [sys.executable, "-m", "ray.scripts.scripts"]
# Ray's newer autoscaler does not start with the provider `local`.
ENVIRONMENT = os.environ | {"RAY_UP_enable_autoscaler_v2": "0", "RAY_USAGE_STATS_ENABLED": "0"}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Laboratory]:
    """Two empty machines."""
    with Laboratory(tmp_path, ("head", "worker")) as machines:
        yield machines


def cluster_file(lab: Laboratory, place: Path) -> Path:
    """Write `sweeps/cluster/local.yaml` for the machines, with the changes that a test needs."""
    config = yaml.safe_load((ROOT / "sweeps/cluster/local.yaml").read_text())
    config["provider"] |= {
        "head_ip": lab.addresses["head"], "worker_ips": [lab.addresses["worker"]],
    }  # fmt: skip
    config["auth"] = {"ssh_user": USER, "ssh_private_key": str(lab.key)}
    config |= {"min_workers": 1, "max_workers": 1}
    # This repository's environment instead of an installation, which has no network here.
    assert "make -C ~/weakdis install" in config["setup_commands"]
    config["setup_commands"].remove("make -C ~/weakdis install")
    config["setup_commands"].insert(0, f"ln -sfn {Path(sys.prefix)} ~/weakdis/.venv")
    # One trial on each machine at a time.
    for commands in ("head_start_ray_commands", "worker_start_ray_commands"):
        config[commands] = [
            each.replace("ray start", "ray start --num-cpus=1") for each in config[commands]
        ]
    environment = place / "cluster.env"
    environment.write_text(
        "WEAKDIS_STORAGE=/home/shared/runs\n"
        "WEAKDIS_CACHE=/home/shared/cache\n"
        "MLFLOW_TRACKING_URI=sqlite:////home/shared/mlflow.db\n"
    )
    config["file_mounts"]["~/weakdis.env"] = str(environment)
    file = place / "local.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


def ray(*arguments: str) -> str:
    """Run a command of Ray in the folder of README.md, and return its output."""
    done = subprocess.run(
        [*RAY, *arguments], cwd=ROOT, env=ENVIRONMENT, text=True, timeout=PATIENCE, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_sweep_survives_the_loss_of_a_machine(lab: Laboratory, tmp_path: Path) -> None:
    file = str(cluster_file(lab, tmp_path))
    ray("up", "--yes", "--no-config-cache", file)
    wait_for_nodes(file, 2)
    # `sweeps/run.py`, but both trials wait until the machine of one has been lost.
    call = ["python", "tests/sweeps/support/held.py", *call_of(*flags())[2:]]
    sweep = f"{FOLDER}=/home/shared {' '.join(call)}"
    for trial in ("00000", "00001"):
        hold(lab.shared, 80, trial)
    with subprocess.Popen(
        [*RAY, "exec", file, f"cd weakdis && {sweep}"], cwd=ROOT, env=ENVIRONMENT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        shared = lab.shared / "runs/faulty/search-1"
        deadline = time.monotonic() + PATIENCE
        while min(last_checkpoint(shared, trial) for trial in ("00000", "00001")) < 2:
            assert time.monotonic() < deadline
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.5)
        lab.kill("worker")
        release(lab.shared)
        output = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 0, output
    assert "best: trial" in output
    uri = f"sqlite:///{lab.shared / 'mlflow.db'}"
    (tmp_path / "runs").symlink_to(lab.shared / "runs")
    runs = check_invariants(tmp_path, uri=uri)
    # Two ran at once, so both machines had work, and that of the lost one moved.
    hosts = [run.data.tags["host"] for run in runs]
    assert "worker head" in hosts
    assert all(each.endswith("head") for each in hosts)
    ray("down", "--yes", file)


def wait_for_nodes(file: str, nodes: int) -> None:
    """Wait until that many machines have joined; `ray up` waits for the head only."""
    deadline = time.monotonic() + PATIENCE
    count = "python -c \"import ray; ray.init(); print('nodes', len(ray.nodes()))\""
    while f"nodes {nodes}" not in (output := ray("exec", file, count)):
        assert time.monotonic() < deadline, output
        time.sleep(2)
