"""The view of MLflow's UI that opens on the leaderboard of a sweep.

MLflow stores a saved view as a tag of the experiment. Its format is that of the UI of MLflow 3.17,
and undocumented: a browser test checks it. A UI that cannot read it shows its plain table.
"""

import json
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from mlflow import MlflowClient

from sweeps.names import KINDS, SHEET

_TAG = "mlflow.sharedViewState."
# Width of a letter in a column's head, of the space around it, and of the narrowest column.
_LETTER, _SPACE, _NARROWEST = 8, 34, 115
# Height of a chart, and of one that holds pictures of four trials.
_CHART, _PICTURES = 380, 660


def saved_view(name: str, objective: str, settings: Sequence[str], steps: int) -> tuple[str, str]:
    """Return the name and value of the tag that adds a sweep to the saved views of the UI.

    Args:
        name: Name of the sweep.
        objective: Metric that ranks its trials.
        settings: The settings that it searches, by dotted name.
        steps: Training steps of a trial, at which pictures are shown first.
    """
    now = int(time.time() * 1000)
    state = json.dumps(_state(name, objective, settings, steps))
    view = {"name": name, "createdAt": now, "updatedAt": now, "state": state}
    return f"{_TAG}{name}", json.dumps(view)


def view_path(experiment_id: str, name: str = "", charts: bool = False) -> str:
    """Return the path of an experiment's runs in MLflow's UI, in the view for model training.

    Args:
        experiment_id: The experiment.
        name: Sweep whose saved view to open; by default the plain table.
        charts: Whether to open the charts instead of the table.
    """
    path = f"#/experiments/{experiment_id}/runs?workflowType=machine_learning"
    path += f"&viewStateShareKey={quote(name)}" * bool(name)
    return path + "&compareRunsMode=CHART" * charts


def newest_path(client: MlflowClient, name: str = "") -> str:
    """Return the path of a sweep's leaderboard in MLflow's UI.

    Args:
        client: MLflow.
        name: The sweep; by default the newest.

    Returns:
        The path; that of the list of experiments if MLflow has no such sweep.
    """
    query = "tags.kind = 'sweep'" + f" and tags.sweep = '{name}'" * bool(name)
    experiments = [each.experiment_id for each in client.search_experiments()]
    newest = ["attributes.start_time DESC"]
    runs = client.search_runs(experiments, query, max_results=1, order_by=newest)
    for run in runs:
        return view_path(run.info.experiment_id, run.data.tags["sweep"])
    return "#/experiments?workflowType=machine_learning"


def _state(name: str, objective: str, settings: Sequence[str], steps: int) -> dict[str, Any]:
    """Return sort order, filter, columns and charts; keys are those of the UI."""
    scores = [f"val/relation_accuracy_{kind}" for kind in reversed(KINDS)]
    others = [each for each in scores if each != objective]
    columns = [
        "tags.`outcome`",
        f"metrics.`{objective}`",
        *(f"params.`{each}`" for each in settings),
        *(f"metrics.`{each}`" for each in others),
        "attributes.`Duration`",
    ]
    raw = {"lineSmoothness": 0, "useGlobalLineSmoothing": True, "xAxisKey": "step"}
    curves = [
        _chart("LINE", each, "search", metricKey=each, **raw) for each in (objective, *others)
    ]
    return {
        "searchFilter": f"tags.sweep = '{name}' and tags.stage = 'search'",
        "orderByKey": f"metrics.`{objective}`",
        "orderByAsc": False,
        "selectedColumns": columns,
        "columnOrder": columns,
        "columnWidths": {each: _width(each.split("`")[1]) for each in columns},
        "compareRunSections": [
            _section("pictures", 1, _PICTURES),
            _section("search", 2, _CHART),
            *(_section(part, 3, _CHART, opened=False) for part in ("val", "train", "test")),
        ],
        "compareRunCharts": [
            _chart(
                "IMAGE", SHEET, "pictures",
                imageKeys=[SHEET], step=steps, showRunParams=False,
            ),
            _chart(
                "PARALLEL", "settings", "search",
                selectedParams=list(settings), selectedMetrics=[objective], showAllRuns=True,
            ),
            *curves,
        ],
    }  # fmt: skip


def _width(head: str) -> int:
    return max(_LETTER * len(head) + _SPACE, _NARROWEST)


def _section(name: str, columns: int, height: int, opened: bool = True) -> dict[str, Any]:
    fixed = {"isReordered": False, "deleted": False, "isGenerated": False}
    size = {"columns": columns, "cardHeight": height}
    return {"uuid": name, "name": name, "display": opened, **fixed, **size}


def _chart(kind: str, name: str, section: str, **settings: Any) -> dict[str, Any]:
    fixed = {"runsCountToCompare": 10, "deleted": False, "isGenerated": False}
    return {"type": kind, "uuid": name, "metricSectionId": section, **fixed, **settings}
