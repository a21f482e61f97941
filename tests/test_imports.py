"""Who may know whom: the core knows nothing of the sweep's libraries, analysis not of sweeps."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "weakdis_core": {"ray", "mlflow", "optuna", "sweeps", "analysis"},
    "analysis": {"sweeps"},
}

IMPORT_ALL = """
import importlib, sys
for name in sys.argv[2:]:
    importlib.import_module(name)
loaded = {name.partition(".")[0] for name in sys.modules}
print(*sorted(loaded & set(sys.argv[1].split(","))))
"""


def modules(package: str) -> Iterator[tuple[str, Path]]:
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__"), path


def imported(path: Path) -> set[str]:
    """Top-level packages that a file names in any import, those inside functions included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_file_names_a_forbidden_package(package: str) -> None:
    wrong = {
        name: found
        for name, path in modules(package)
        if (found := imported(path) & FORBIDDEN[package])
    }
    assert not wrong


@pytest.mark.slow
@pytest.mark.parametrize("package", FORBIDDEN)
def test_importing_everything_loads_no_forbidden_package(package: str) -> None:
    # In a fresh interpreter: this one may have loaded anything. Entry points are left out, since
    # some run when imported.
    names = [name for name, _ in modules(package) if not name.endswith("__main__")]
    assert names
    forbidden = ",".join(FORBIDDEN[package])
    command = [sys.executable, "-c", IMPORT_ALL, forbidden, *names]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []


def test_no_file_beside_a_script_hides_a_module_of_python() -> None:
    # `python sweeps/run.py` puts sweeps/ first among the places where modules are looked for.
    files = {file.stem for file in (ROOT / "sweeps").glob("*.py")}
    assert not files & sys.stdlib_module_names
