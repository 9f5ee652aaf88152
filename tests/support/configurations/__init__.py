"""Configurations of tiny models, one file per family: each feature of the family is on in one and off in another.

A file has `CONFIGURATIONS`, from a name that begins with the family's to transformers' configuration.
"""

from __future__ import annotations

import importlib
import pkgutil

from transformers import PretrainedConfig


def _all() -> dict[str, PretrainedConfig]:
    found: dict[str, PretrainedConfig] = {}
    for module in pkgutil.iter_modules(__path__):
        for name, configuration in getattr(
            importlib.import_module(f"{__name__}.{module.name}"), "CONFIGURATIONS", {}
        ).items():
            assert name not in found, f"{name} is configured twice"
            found[name] = configuration
    return found


CONFIGURATIONS = _all()
