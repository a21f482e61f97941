"""The cluster files, checked as Ray and the providers check them, without a cloud."""

from __future__ import annotations

import copy
import importlib.metadata
import logging
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import botocore.session  # type: ignore[import-untyped]
import botocore.validate  # type: ignore[import-untyped]
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from sweeps.sweep_settings import parse_arguments

ROOT = Path(__file__).parents[3]
CLUSTERS = ROOT / "sweeps" / "cluster"
FILES = {
    "aws": ROOT / "cluster.yaml",
    "gcp": CLUSTERS / "gcp.yaml",
    "local": CLUSTERS / "local.yaml",
}

# Fields of https://cloud.google.com/compute/docs/reference/rest/v1/instances that a node may need.
GCP_FIELDS = {
    "machineType", "disks", "scheduling", "guestAccelerators", "metadata", "networkInterfaces",
    "serviceAccounts", "labels", "tags", "minCpuPlatform",
}  # fmt: skip
GCP_SCHEDULING = {"provisioningModel", "onHostMaintenance", "preemptible", "automaticRestart"}

# Fields of KubeRay's RayJob and RayCluster, and of a pod, that the job uses.
RAYJOB = {
    "spec": {
        "entrypoint", "backoffLimit", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished",
        "rayClusterSpec", "submissionMode", "runtimeEnvYAML",
    },
    "spec.rayClusterSpec": {
        "rayVersion", "enableInTreeAutoscaling", "autoscalerOptions", "authOptions",
        "headGroupSpec", "workerGroupSpecs",
    },
    "group": {
        "groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template",
        "idleTimeoutSeconds",
    },
    "container": {"name", "image", "envFrom", "env", "resources", "command", "volumeMounts"},
}  # fmt: skip


def loaded(name: str) -> dict[str, Any]:
    content = yaml.safe_load(FILES[name].read_text())
    assert isinstance(content, dict)
    return content


def check(config: dict[str, Any]) -> dict[str, Any]:
    """Prepare a cluster file as Ray does; fail if Ray or the provider would refuse it."""
    provider = config["provider"]["type"]
    assert config["auth"]["ssh_user"]
    ready = prepare_config(copy.deepcopy(config))
    validate_config(ready)
    for kind in ready["available_node_types"].values():
        NODE_CHECKS[provider](kind["node_config"])
    assert isinstance(ready, dict)
    return ready


def check_aws(node: Mapping[str, Any]) -> None:
    service = botocore.session.get_session().get_service_model("ec2")
    shape = service.operation_model("RunInstances").input_shape
    # Ray adds the counts.
    report = botocore.validate.ParamValidator().validate(
        {**node, "MinCount": 1, "MaxCount": 1}, shape
    )
    assert not report.has_errors(), report.generate_report()


def check_gcp(node: Mapping[str, Any]) -> None:
    assert node.keys() <= GCP_FIELDS
    for scheduling in node.get("scheduling", []):
        assert scheduling.keys() <= GCP_SCHEDULING


def check_local(node: Mapping[str, Any]) -> None:
    assert node == {}


NODE_CHECKS: dict[str, Callable[[Mapping[str, Any]], None]] = {
    "aws": check_aws, "gcp": check_gcp, "local": check_local,
}  # fmt: skip


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "ray")


@pytest.mark.parametrize("name", FILES)
def test_ray_and_the_provider_accept_the_file(name: str) -> None:
    config = check(loaded(name))
    for mounted in config["file_mounts"].values():
        # Users copy their file from the example.
        assert Path(mounted).exists() or (ROOT / f"{mounted}.example").exists()
    for commands in ("head_start_ray_commands", "worker_start_ray_commands"):
        assert any("ray start" in command for command in config[commands])
    assert "make -C ~/weakdis install" in config["setup_commands"]
    # A head that joined itself would wait for itself.
    assert any("env -u RAY_ADDRESS" in each for each in config["head_start_ray_commands"])


@pytest.mark.parametrize("name", ["aws", "gcp"])
def test_gpu_machines_start_when_needed_and_stop_when_idle(name: str) -> None:
    config = check(loaded(name))
    kinds = config["available_node_types"]
    assert "GPU" not in kinds["head"]["resources"]
    assert config["idle_timeout_minutes"] <= 10
    for kind in ("spot", "on_demand"):
        assert kinds[kind]["min_workers"] == 0
        assert kinds[kind]["resources"]["GPU"] >= 1
    # Ray falls back on the other kind if no spot machines are available.
    assert kinds["spot"]["priority"] > kinds["on_demand"]["priority"]
    spot, fallback = (str(kinds[kind]["node_config"]).lower() for kind in ("spot", "on_demand"))
    assert "spot" in spot
    assert "spot" not in fallback


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("aws", lambda c: c.update(max_worker=3)),
        ("aws", lambda c: c["auth"].clear()),
        ("aws", lambda c: c["available_node_types"]["spot"]["node_config"].update(InstanceTyp="x")),
        ("aws", lambda c: c["available_node_types"]["spot"].update(prioritie=1)),
        ("gcp", lambda c: c["available_node_types"]["head"]["node_config"].update(machinetype="x")),
        ("gcp", lambda c: c.pop("provider")),
        ("local", lambda c: c.pop("auth")),
    ],
)
def test_mistakes_in_a_file_are_found(
    name: str, change: Callable[[dict[str, Any]], object]
) -> None:
    config = loaded(name)
    change(config)
    with pytest.raises(Exception):  # noqa: B017, PT011  # each of another kind
        check(config)


def test_the_kubernetes_job_is_complete() -> None:
    job = yaml.safe_load((CLUSTERS / "rayjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]
    cluster = spec["rayClusterSpec"]
    assert spec.keys() <= RAYJOB["spec"]
    assert cluster.keys() <= RAYJOB["spec.rayClusterSpec"]
    assert cluster["rayVersion"] == importlib.metadata.version("ray")
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert group.keys() <= RAYJOB["group"]
        for container in group["template"]["spec"]["containers"]:
            assert container.keys() <= RAYJOB["container"]
            assert container["resources"].keys() <= {"requests", "limits"}
    (workers,) = cluster["workerGroupSpecs"]
    assert (workers["replicas"], workers["minReplicas"]) == (0, 0)
    limits = workers["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits["nvidia.com/gpu"] == 1


def test_the_kubernetes_job_uses_valid_flags() -> None:
    job = yaml.safe_load((CLUSTERS / "rayjob.yaml").read_text())
    script = shlex.split(job["spec"]["entrypoint"])[-1]
    calls = [part.split(";")[0] for part in script.split("python sweeps/run.py")[1:]]
    assert len(calls) == 3
    asked = [parse_arguments(shlex.split(call)) for call in calls]
    assert [each.status or each.resume or each.name for each in asked] == ["nightly"] * 3
    workers = job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]
    share = asked[2].gpus_per_trial
    assert share is not None
    assert asked[2].max_concurrent == workers["maxReplicas"] / share


def test_the_example_environment_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    for line in (ROOT / "cluster.env.example").read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            monkeypatch.setenv(name, value)
    settings = parse_arguments(["--variant", "dsprites_v4"])
    assert settings.checkpoints.remote
    assert settings.study_storage is not None
    assert settings.tracking.startswith("http")
