"""Data sets: variants, their images (official or rendered), the prepared cache and splits."""
