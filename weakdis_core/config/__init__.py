"""Every setting of a run: declared, validated, hashed."""
