"""Renderers of the families dSprites and 3D Shapes."""
