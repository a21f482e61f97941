"""The commands of `python -m weakdis_core`."""
