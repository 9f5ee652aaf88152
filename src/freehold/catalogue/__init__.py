"""Models that people know by a short name, such as `qwen2.5:7b`: where they are, what they are, what they ask for.

Data, not code: one file for each family under `data/families`, licences in a table of their own. Files are read when
they are first needed, and a name needs only its own family's.
"""

from freehold.catalogue.entries import Entry, Family, Licence, Release
from freehold.catalogue.finding import Target, entry_of, families, family, find, licences, search, short_names

__all__ = [
    "Entry",
    "Family",
    "Licence",
    "Release",
    "Target",
    "entry_of",
    "families",
    "family",
    "find",
    "licences",
    "search",
    "short_names",
]
