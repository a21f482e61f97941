"""Pictures of trained models."""

from weakdis_core.pictures.canvas import Head
from weakdis_core.pictures.changes import write_manipulation
from weakdis_core.pictures.write import CAPTIONS, FOLDER, write_pictures

__all__ = ["CAPTIONS", "FOLDER", "Head", "write_manipulation", "write_pictures"]
