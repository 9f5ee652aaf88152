"""Quantised checkpoints as they are released: tensors in several pieces, presented as the one that a model asks for."""

from freehold.checkpoints.quantised.view import QuantisedCheckpoint, as_a_model_sees_it

__all__ = ["QuantisedCheckpoint", "as_a_model_sees_it"]
