"""`make docs-check`: follow the documents that say what to type, in a copy of this folder.

How a document is read, block by block and in order:

* `sh` is run by bash, `python` by this Python: each must end with exit code 0.
* `text` below one of them is some of its output, line by line in this order. A number stands for
  any number, `...` for anything.
* `diff` is applied to the copy.
* The code cells of a notebook are run by Python, one after the other in one process.
* What stands under `<!-- not run: the reason -->` is passed over.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
FOLLOWED = ("docs/tutorial.md", "docs/python.md", "docs/extending.md", "docs/own_pictures.ipynb")
"""The documents to follow, each in a copy of its own."""

_COMMANDS = {
    "sh": ("bash", "-euo", "pipefail"),
    "python": (sys.executable, "-"),
    "diff": ("git", "apply", "-"),
}
_COPIED = (
    "Makefile", "README.md", "pyproject.toml", "requirements.lock", "analysis", "benchmarks",
    "docs", "results", "sweeps", "tests", "weakdis_core",
)  # fmt: skip
_ANYTHING = "\0"
_NOT_RUN = "<!-- not run:"
_SECONDS = 600
# They would lead to the user's own sweeps.
_LEFT_OUT = ("RAY_ADDRESS", "WEAKDIS_STORAGE", "WEAKDIS_OPTUNA_STORAGE", "MLFLOW_TRACKING_URI")


@dataclass(frozen=True)
class Block:
    """A fenced block that is carried out.

    Attributes:
        kind: `sh`, `python` or `diff`.
        code: What it holds.
        line: Line of the document, from 1.
        expected: Lines of its output.
    """

    kind: str
    code: str
    line: int
    expected: tuple[str, ...] = ()


class Failed(Exception):
    """A document is not right; the message says where and what happened."""


def read_document(document: str) -> list[Block]:
    """The blocks of a document or notebook that are carried out, in order."""
    text = (ROOT / document).read_text()
    if not document.endswith(".ipynb"):
        return read_blocks(text)
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    return [Block("python", "\n\n".join("".join(cell["source"]) for cell in cells), 1)]


def read_blocks(text: str) -> list[Block]:
    """The blocks of a document that are carried out, in order."""
    blocks: list[Block] = []
    skip = False
    ran = False
    for token in MarkdownIt().parse(text):
        if token.type == "html_block":
            skip = token.content.startswith(_NOT_RUN)
        if token.type != "fence":
            continue
        kind = token.info.strip()
        if kind == "text":
            if ran:
                last = blocks.pop()
                lines = tuple(filter(None, token.content.splitlines()))
                blocks.append(Block(last.kind, last.code, last.line, lines))
        elif kind in _COMMANDS and not skip:
            assert token.map is not None
            blocks.append(Block(kind, token.content, token.map[0] + 1))
        ran, skip = kind in _COMMANDS and not skip, False
    return blocks


def first_missing(expected: Iterable[str], output: str) -> str | None:
    """The first expected line that the output does not have after those before it."""
    lines = iter(output.splitlines())
    for line in expected:
        pattern = re.compile(_pattern(line))
        if not any(pattern.search(" ".join(found.split())) for found in lines):
            return line
    return None


def _pattern(line: str) -> str:
    marked = re.sub(r"\s*\.\.\.\s*", _ANYTHING, " ".join(line.split()))
    parts = re.findall(rf"{_ANYTHING}|\d[\d.:]*|[^\d{_ANYTHING}]+", marked)
    return "".join(map(_like, parts))


def _like(part: str) -> str:
    """A pattern of what a part of a line stands for."""
    if part == _ANYTHING:
        return ".*"
    return r"\d[\d.:]*" if part[0].isdigit() else re.escape(part)


def copy_of_this(folder: Path) -> None:
    """Copy what a clone would have, the user's changes included."""
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "_build")
    for name in _COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder / name)


def follow(document: str, blocks: Sequence[Block], folder: Path) -> None:
    """Carry out the blocks of a document.

    Args:
        document: Its name, for messages.
        blocks: What to carry out.
        folder: Where.

    Raises:
        Failed: One does not end well, or its output is not as the document has it.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _LEFT_OUT}
    # Ray's processes and this Python's must import the copy, not what is installed.
    environment |= {
        "PYTHONPATH": str(folder),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "COLUMNS": "100",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    for block in blocks:
        where = f"{document}:{block.line}"
        print(f"{where}: {block.kind}: {block.code.splitlines()[0]}", flush=True)
        started = time.perf_counter()
        try:
            done = subprocess.run(
                _COMMANDS[block.kind], input=block.code, cwd=folder, env=environment,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=_SECONDS,
                check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{where}: took more than {_SECONDS} s: {error.output!r}") from None
        print(f"  {time.perf_counter() - started:.0f} s", flush=True)
        if done.returncode:
            raise Failed(f"{where}: exit code {done.returncode}:\n{block.code}\n{done.stdout}")
        if (line := first_missing(block.expected, done.stdout)) is not None:
            raise Failed(f"{where}: no line like {line!r} in the output:\n{done.stdout}")


def main(documents: Sequence[str]) -> int:
    """Follow documents, each in a fresh copy of this folder; the exit code."""
    for document in documents:
        with tempfile.TemporaryDirectory(prefix="weakdis-docs-") as place:
            folder = Path(place) / "weakdis"
            folder.mkdir()
            copy_of_this(folder)
            try:
                follow(document, read_document(document), folder)
            except Failed as error:
                print(f"error: {error}", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or FOLLOWED))
