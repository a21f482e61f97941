"""Sphinx settings of `make docs`: the Markdown pages, and API pages from the docstrings."""

from __future__ import annotations

import re

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from pydantic import BaseModel
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

# Imports MLflow, whose models of pydantic cannot be built after autodoc has changed BaseModel.
import sweeps.sweep  # noqa: F401

project = "weakdis"
author = "The weakdis contributors"
copyright = author
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "weakdis"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
exclude_patterns = ["_build"]
default_role = "literal"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"exclude-members": "model_config"}
add_module_names = False
napoleon_use_ivar = True
COLON = "\ue000"


def visit_inline(self: HTML5Translator, node: nodes.math) -> None:
    """Write a formula as MathML, which browsers draw without a script."""
    self.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def visit_block(self: HTML5Translator, node: nodes.math_block) -> None:
    """Write a displayed formula, with its number (`tag`)."""
    tag = re.search(r"\\tag\{(\w+)\}", node.astext())
    formula = node.astext().replace(tag[0], "") if tag else node.astext()
    number = f"({tag[1]})" if tag else ""
    math = tex2mathml(" ".join(formula.split()), as_block=True)
    self.body.append(f'<div class="formula">{math}{number}</div>')
    raise nodes.SkipNode


def hide_colons(
    app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]
) -> None:
    """Keep "The columns: their names" from Napoleon, which reads a type and its description."""
    for i, line in enumerate(lines):
        returns = i > 0 and lines[i - 1].strip() in {"Returns:", "Yields:"}
        if returns or what in {"attribute", "data", "property"}:
            lines[i] = line.replace(":", COLON)


def show_colons(
    app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]
) -> None:
    """Undo `hide_colons`, give each module a heading, and keep the lines of examples apart."""
    lines[:] = [line.replace(COLON, ":") for line in lines]
    lines[:] = [f"| `{line}`" if line.startswith("$ ") else line for line in lines]
    if what == "module":
        lines[:0] = [name, "~" * len(name), ""]


def hide_settings(
    app: Sphinx, what: str, name: str, value: object, *others: object
) -> tuple[str, None] | None:
    """Leave out the signature of settings: their fields follow one by one."""
    return ("", None) if isinstance(value, type) and issubclass(value, BaseModel) else None


def link_included_pages(app: Sphinx, name: str, text: list[str]) -> None:
    """Link to the pages of the same names that include the files above docs/."""
    text[0] = text[0].replace("](../", "](")


def setup(app: Sphinx) -> None:
    """Register the functions above."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    app.connect("autodoc-process-docstring", hide_colons, priority=400)
    app.connect("autodoc-process-docstring", show_colons, priority=600)
    app.connect("autodoc-process-signature", hide_settings)
    app.connect("source-read", link_included_pages)
