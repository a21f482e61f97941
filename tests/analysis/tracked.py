"""An MLflow store in a file, filled through the MLflow client."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag


@dataclass(frozen=True)
class Store:
    """A store with methods to add runs."""

    path: Path
    uri: str
    client: MlflowClient

    def experiment(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        return str(found.experiment_id if found else self.client.create_experiment(name))

    def sweep(self, variant: str = "dsprites_v4") -> str:
        tags = {"variant": variant, "data.source": "rendered"}
        return str(self.client.create_run(self.experiment(variant), tags=tags).info.run_id)

    def trial(
        self,
        variant: str = "dsprites_v4",
        *,
        seed: int = 0,
        stage: str = "search",
        source: str = "rendered",
        config: str = "aaaaaaaaaaaa",
        labels: int = 1000,
        status: str = "FINISHED",
        metrics: dict[str, float] | None = None,
        parent: str | None = "parent",
        start: int | None = None,
        core: int | None = 1,
        sklearn: str = "1.9.1",
        **params: str,
    ) -> str:
        tags = {
            "variant": variant,
            "data.source": source,
            "seed": str(seed),
            "config_hash": config,
            "stage": stage,
            "trial_id": f"{config}-{seed}",
            "version.scikit-learn": sklearn,
        }
        if core is not None:
            tags["version.core"] = str(core)
        if parent:
            tags["mlflow.parentRunId"] = parent
        created = self.client.create_run(self.experiment(variant), start_time=start)
        run = str(created.info.run_id)
        self.client.log_batch(
            run,
            metrics=[Metric(key, value, 0, 10) for key, value in (metrics or {}).items()],
            params=[
                Param("data.labels", str(labels)),
                Param("data.source", "auto"),
                *(Param(name.replace("__", "."), value) for name, value in params.items()),
            ],
            tags=[RunTag(key, value) for key, value in tags.items()],
        )
        if status != "RUNNING":
            self.client.set_terminated(run, status)
        return run

    def confirm(
        self,
        latents: tuple[float, ...] = (0.9, 0.92, 0.94, 0.96, 0.98),
        *,
        source: str = "rendered",
    ) -> None:
        """Add confirm runs of one configuration, one seed for each latent accuracy."""
        for seed, latent in enumerate(latents):
            self.trial(seed=seed, stage="confirm", source=source, metrics=scores(latent))


def scores(
    latent: float, pixels: float = 0.9, *, validation: float = 0.9, **others: float
) -> dict[str, float]:
    """Return the metrics of a trial that was evaluated on test."""
    return {
        "val/relation_accuracy_pixels": validation,
        "test/relation_accuracy_latent": latent,
        "test/relation_accuracy_encoded": 0.95,
        "test/relation_accuracy_pixels": pixels,
        "test/factor_accuracy": 0.97,
        **others,
    }
