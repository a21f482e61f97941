"""The documents: every message has its cure, every link leads somewhere, every recipe applies."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.docs_check import (
    FOLLOWED,
    ROOT,
    Block,
    Failed,
    first_missing,
    follow,
    read_blocks,
    read_document,
)
from weakdis_core.errors import UserError

DOCUMENTS = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
)
PACKAGES = ("weakdis_core", "sweeps", "analysis")

# Errors whose text is made elsewhere. What makes it is looked at too.
MADE_ELSEWHERE = {
    "str(error)",
    "message",
    "without_password(message)",
    "describe(error)",
    "describe(error, group)",
    "'\\n'.join((f'{name}: {line}' for line in describe(error).split('\\n')))",
    "cannot_be_written(str(folder), reason)",
    "cannot_be_written(sweep.storage.root, run.budget.disk_error)",
}


def tokens(path: Path) -> Iterator[Token]:
    for token in MarkdownIt("gfm-like", {"linkify": False}).parse(path.read_text()):
        yield token
        yield from token.children or ()


def spans(path: Path) -> set[str]:
    """What a document has in backticks."""
    return {
        " ".join(token.content.split()) for token in tokens(path) if token.type == "code_inline"
    }


def messages() -> Iterator[tuple[str, ast.expr]]:
    """Where, and the expression of, each message that a user may read."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            names = {"UserError", "TrainingDiverged"}
            if path.parent.name == "config":
                # There pydantic makes a message of it.
                names.add("ValueError")
            for node in ast.walk(ast.parse(path.read_text())):
                where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    if node.func.id in names:
                        yield where, node.args[0]
                elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "message":
                    yield where, node.value
                elif isinstance(node, ast.FunctionDef) and node.name == "cannot_be_written":
                    (returned,) = (each for each in ast.walk(node) if isinstance(each, ast.Return))
                    assert returned.value is not None
                    yield where, returned.value


def pattern(message: ast.expr) -> re.Pattern[str] | None:
    """What matches a message, whatever its placeholders stand for; None for one made elsewhere."""
    if isinstance(message, ast.Constant) and isinstance(message.value, str):
        parts: list[ast.expr] = [message]
    elif isinstance(message, ast.JoinedStr):
        parts = message.values
    else:
        return None
    text = "".join(
        re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".+" for part in parts
    )
    return re.compile(text)


def test_every_message_has_its_cure() -> None:
    known = spans(ROOT / "docs/troubleshooting.md")
    missing = []
    for where, message in messages():
        wanted = pattern(message)
        if wanted is None:
            assert ast.unparse(message) in MADE_ELSEWHERE, f"{where}: {ast.unparse(message)}"
        elif not any(wanted.fullmatch(span) for span in known):
            missing.append(f"{where}: {ast.unparse(message)}")
    assert missing == [], "docs/troubleshooting.md lacks:\n" + "\n".join(missing)


def test_the_walk_sees_messages_of_every_package() -> None:
    found = {where.partition("/")[0] for where, _ in messages()}
    assert found == set(PACKAGES)


def test_a_changed_message_is_noticed() -> None:
    def parsed(text: str) -> re.Pattern[str]:
        made = pattern(ast.parse(text, mode="eval").body)
        assert made is not None
        return made

    assert parsed('f"{path}: no such file, {n} bytes"').fullmatch("FILE: no such file, SIZE bytes")
    assert not parsed('f"{path}: no such file"').fullmatch("FILE: no such folder")
    assert not parsed('f"name: {name!r} is taken"').fullmatch("name: NAME is taken already")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    links = {token.attrGet("href") or token.attrGet("src") for token in tokens(path)} - {None}
    relative = [str(link).partition("#")[0] for link in links if "://" not in str(link)]
    assert [link for link in relative if link and not (path.parent / link).exists()] == []


# Files that a sweep, a user or a machine makes.
MADE = re.compile(r"runs|mlflow|~|/tmp|\.\.|NAME|FILE|[*]|[A-Z]{3}")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_are_named_exist(path: Path) -> None:
    named = {
        span
        for span in spans(path)
        if re.fullmatch(r"[\w./-]+/[\w.-]+\.(py|md|yaml|toml|png|csv)", span)
        and not MADE.search(span)
    }
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_targets_that_are_named_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)", path.read_text()))
    assert named <= targets


PROGRAMS = {
    "weakdis ": "sweeps.cli.weakdis",
    "python sweeps/run.py ": "sweeps.run",
    "python -m weakdis_core ": "weakdis_core.__main__",
    "python -m analysis ": "analysis.__main__",
}
"""Programs that the documents show, and their modules, whose `run` reads the command line."""


def commands() -> Iterator[tuple[str, list[str]]]:
    """The program and the words of every command that a document shows, in a block or a line."""
    for path in DOCUMENTS:
        for token in tokens(path):
            shell = token.type == "fence" and token.info.strip() == "sh"
            for line in token.content.splitlines() if shell or token.type == "code_inline" else ():
                for program in PROGRAMS:
                    if line.startswith(program) and "COMMAND" not in line:
                        yield program, shlex.split(line.removeprefix(program), comments=True)


def test_commands_and_flags_exist(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags: dict[tuple[str, ...], set[str]] = {}
    for program, words in commands():
        named = [word for word in words if word.startswith("--")]
        leading = words[: words.index(named[0])] if named else words
        flags.setdefault((program, *leading), set()).update(word.split("=")[0] for word in named)
    assert {program for program, *_ in flags} == set(PROGRAMS)
    wrong: dict[tuple[str, ...], str] = {}
    for (program, *leading), used in flags.items():
        monkeypatch.setattr(sys, "argv", [program, *leading, "--help"])
        try:
            importlib.import_module(PROGRAMS[program]).run()
        except (SystemExit, UserError) as stop:
            if str(stop) != "0":
                wrong[(program, *leading)] = str(stop)
        shown = capsys.readouterr().out
        # The usage ends with the choices where the second word is none of them.
        if len(leading) > 1 and re.match(r"usage: [^\n]*\}\n", shown):
            wrong[(program, *leading)] = shown.partition("\n")[0]
        if missing := used - set(re.findall(r"--[a-z][\w.-]*", shown)):
            wrong[(program, *leading)] = str(missing)
    assert wrong == {}


@pytest.mark.parametrize("document", FOLLOWED)
def test_what_is_followed_can_be_read(document: str) -> None:
    assert read_document(document)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "docs").glob("*.ipynb")), ids=lambda path: path.name
)
def test_notebooks_have_no_output(path: Path) -> None:
    cells = json.loads(path.read_text())["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


def blocks_of(kind: str) -> list[Block]:
    """The blocks of a kind in all documents that are followed; at least one."""
    read = map(read_document, FOLLOWED)
    found = [block for blocks in read for block in blocks if block.kind == kind]
    assert found
    return found


def test_names_that_python_blocks_import_exist() -> None:
    blocks = blocks_of("python")
    for node in (node for block in blocks for node in ast.walk(ast.parse(block.code))):
        if isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(node.module)
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def test_recipes_apply(tmp_path: Path) -> None:
    recipes = blocks_of("diff")
    for recipe in recipes:
        done = subprocess.run(
            ["git", "apply", "--check", "-"], cwd=ROOT, input=recipe.code, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"line {recipe.line}: {done.stderr}"


DOCUMENT = """\
```sh
echo "trial 3: 0.97 of `echo the rest`"
```

```text
trial 12: 0.5 of ...
```

<!-- not run: it would not end -->

```sh
sleep infinity
```

```text
not looked at
```

```python
print("hello")
```
"""


def test_a_document_is_read_and_followed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell, python = read_blocks(DOCUMENT)
    assert (shell.kind, shell.line, shell.expected) == ("sh", 1, ("trial 12: 0.5 of ...",))
    assert (python.kind, python.expected) == ("python", ())
    follow("some.md", [shell, python], tmp_path)
    assert "some.md:1: sh: echo" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (Block("sh", "false\ntrue\n", 7), "some.md:7: exit code 1"),
        (Block("sh", "echo one | grep two | cat\n", 7), "some.md:7: exit code 1"),
        (Block("python", "raise SystemExit(3)\n", 7), "some.md:7: exit code 3"),
        (Block("sh", "echo one\n", 7, ("two",)), "some.md:7: no line like 'two'"),
        (Block("diff", "no diff\n", 7), "some.md:7: exit code 128"),
    ],
)
def test_what_is_not_right_is_said(block: Block, words: str, tmp_path: Path) -> None:
    with pytest.raises(Failed, match=re.escape(words)):
        follow("some.md", [block], tmp_path)


@pytest.mark.parametrize(
    ("expected", "missing"),
    [
        (["best: trial 1 (complete, 1:02)"], None),
        (["best:   trial 1 (complete"], None),
        (["best: ...(complete, ..."], None),
        (["best: ... trial ... 0:21 ..."], None),
        (["best. trial"], "best. trial"),
        (["done", "best: trial 2"], "best: trial 2"),
        (["best: trial x"], "best: trial x"),
        (["best: trial 4 (pruned"], "best: trial 4 (pruned"),
    ],
)
def test_output_is_compared_line_by_line(expected: list[str], missing: str | None) -> None:
    assert first_missing(expected, "best: trial 4  (complete, 0:20)\ndone\n") == missing


def test_an_error_ends_the_check(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.docs_check", "docs/no-such-document.md"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
