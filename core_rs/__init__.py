"""The audio core, compiled from `core_rs/src`. Its manual is `__init__.pyi`."""

from os import PathLike
from typing import Literal

from core_rs import _core
from core_rs._core import *  # noqa: F403

SampleType = Literal["s16", "s24", "s32", "f32"]
Growth = Literal["growing", "quiet", "stalled"]
Standing = Literal["usable", "full", "failing"]
StrPath = str | PathLike[str]

__all__ = [*_core.__all__, "Growth", "SampleType", "Standing", "StrPath"]
