"""Tables, figures and reports of tracked runs, beside the published numbers."""
