"""Tables from frames, as Markdown, LaTeX and HTML."""
