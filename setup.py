"""Builds the native engine where that is possible. Everything else of the package is in pyproject.toml."""

import runpy
from pathlib import Path

from setuptools import Extension, setup


def extension() -> Extension:
    """Return the native engine's extension module; an install goes on without it where it cannot be compiled."""
    build = runpy.run_path(str(Path(__file__).parent / "services/edge_gateway/media/native/build.py"))
    module = build["builder"]().distutils_extension("build/cffi")
    module.optional = True
    return module


setup(ext_modules=[extension()])
