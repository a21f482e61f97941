"""The structure of the packages: who may import whom, and how large a folder may be."""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "weakdis_core": {"ray", "mlflow", "optuna", "sweeps", "analysis"},
    "analysis": {"sweeps"},
}
# Sub-packages, and modules beside them, from the bottom to the top: each imports only those before
# it. A new one is added here.
ORDER = {
    "weakdis_core": (
        "errors version files seeding streams relations paper config checkpoint devices data "
        "run_key priors models model baselines presets rows studies metrics evaluation training "
        "scores pictures cli __main__"
    ),
    "analysis": "statistics data tables figures serving served report commands __main__",
    "sweeps": (
        "flags names trial text compat study_names budget cluster sweep_settings state trainable "
        "search tracking results cli session confirm study_training sweep run"
    ),
}
LARGEST_FOLDER = 15
FLOORS = {"sweeps": 10}

IMPORT_ALL = """
import importlib, sys
for name in sys.argv[2:]:
    importlib.import_module(name)
loaded = {name.partition(".")[0] for name in sys.modules}
print(*sorted(loaded & set(sys.argv[1].split(","))))
"""


@cache
def modules(package: str) -> dict[str, Path]:
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def imported(path: Path) -> Iterator[str]:
    """Everything that a file names in any import, those inside functions included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def arrows(package: str) -> dict[str, set[str]]:
    """The modules of the same package that each module imports."""
    known = modules(package)
    # An import of a module from its package is no import of the package's own code.
    files = {name for name, path in known.items() if path.name != "__init__.py"}
    return {name: files.intersection(imported(path)) - {name} for name, path in known.items()}


def unit(module: str) -> str:
    return module.split(".")[1]


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_file_names_a_forbidden_package(package: str) -> None:
    wrong = {
        name: found
        for name, path in modules(package).items()
        if (found := {each.partition(".")[0] for each in imported(path)} & FORBIDDEN[package])
    }
    assert not wrong


@pytest.mark.slow
@pytest.mark.parametrize("package", FORBIDDEN)
def test_importing_everything_loads_no_forbidden_package(package: str) -> None:
    # In a fresh interpreter: this one may have loaded anything. Entry points are left out, since
    # some run when imported.
    names = [name for name in modules(package) if not name.endswith("__main__")]
    assert names
    forbidden = ",".join(FORBIDDEN[package])
    command = [sys.executable, "-c", IMPORT_ALL, forbidden, *names]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []


@pytest.mark.parametrize("package", ORDER)
def test_imports_between_sub_packages_go_one_way(package: str) -> None:
    order = ORDER[package].split()
    assert {unit(name) for name in modules(package) if "." in name} == set(order)
    wrong = [
        f"{name} imports {other}"
        for name, others in arrows(package).items()
        if "." in name
        for other in others
        if order.index(unit(other)) > order.index(unit(name))
    ]
    assert not wrong


@pytest.mark.parametrize("package", ORDER)
def test_no_module_imports_itself_through_others(package: str) -> None:
    floors: dict[str, int] = {}

    def floor(module: str, above: tuple[str, ...] = ()) -> int:
        assert module not in above, " imports ".join([*above, module])
        if module not in floors:
            below = [floor(each, (*above, module)) for each in arrows(package)[module]]
            floors[module] = 1 + max(below, default=0)
        return floors[module]

    assert max(map(floor, modules(package))) <= FLOORS.get(package, 100)


def test_no_folder_is_crowded() -> None:
    sizes = Counter(
        path.parent.relative_to(ROOT)
        for package in (*ORDER, "benchmarks", "tests")
        for path in modules(package).values()
        if not path.stem.startswith("__")
    )
    assert {str(folder): size for folder, size in sizes.items() if size > LARGEST_FOLDER} == {}


def test_no_two_classes_share_a_name() -> None:
    places: dict[str, list[str]] = {}
    for package in (*ORDER, "benchmarks"):
        for name, path in modules(package).items():
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef):
                    places.setdefault(node.name, []).append(name)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_two_modules_share_a_name() -> None:
    names = Counter(
        path.stem
        for package in ORDER
        for path in modules(package).values()
        if not path.stem.startswith("__")
    )
    # The module that MLflow imports for models registered by earlier versions.
    assert {name for name, count in names.items() if count > 1} == {"served"}


def test_no_file_beside_a_script_hides_a_module_of_python() -> None:
    # `python sweeps/run.py` puts sweeps/ first among the places where modules are looked for.
    names = {path.stem for path in (ROOT / "sweeps").iterdir()}
    assert not names & sys.stdlib_module_names
