"""Modular Representations for Weak Disentanglement (Valenti & Bacciu, 2022) in plain PyTorch.

`fit` trains a model and `load` opens a trained one. Both import torch when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__all__ = ["Model", "Reading", "UserError", "fit", "load", "to_pil"]

if TYPE_CHECKING:
    from weakdis_core.cli.training_run import fit
    from weakdis_core.data.picture_files import to_pil
    from weakdis_core.errors import UserError
    from weakdis_core.model import Model, Reading, load
else:
    _MODULES = {"UserError": "errors", "fit": "cli.training_run", "to_pil": "data.picture_files"}

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'model')}"), name)
