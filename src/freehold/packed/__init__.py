"""Packed weights on disk: what packing a model gave, kept in the home folder and mapped into memory at later starts."""
