"""The settings of a run: declared, validated, hashed."""
