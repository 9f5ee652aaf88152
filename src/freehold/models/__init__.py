"""Models: families over shared blocks. `load_model` turns a checkpoint into one that runs."""

from freehold.models.config import ModelConfig
from freehold.models.decoder import Decoder
from freehold.models.loading import load_model
from freehold.models.registry import family_of

__all__ = ["Decoder", "ModelConfig", "family_of", "load_model"]
