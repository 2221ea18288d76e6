"""Imports that take seconds, in less of them."""

import gc
import sys
from importlib import import_module
from types import ModuleType


def import_large(name: str) -> ModuleType:
    """Import the module ``name``, and with it packages of hundreds of thousands of objects.

    Python looks for garbage among them again and again, and finds none: a fifth of the time that
    PyTorch, transformers and diffusers take. So it doesn't meanwhile, nor later among what has
    come, which stays as long as the process.
    """
    if name in sys.modules or not gc.isenabled():
        return import_module(name)
    gc.disable()
    try:
        return import_module(name)
    finally:
        gc.enable()
        gc.freeze()
