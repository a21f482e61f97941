"""Frames to tables, as Markdown, LaTeX and HTML."""
