"""Texts to vectors: an encoder, and how its rows become one vector for each text."""

from freehold.embedding.embedder import Embedder
from freehold.embedding.pooling import Pooling, read_pooling

__all__ = ["Embedder", "Pooling", "read_pooling"]
