"""The audio core, compiled from `core_rs/src`. Its manual is `__init__.pyi`."""

from core_rs._core import *  # noqa: F403
from core_rs._core import __all__ as __all__
