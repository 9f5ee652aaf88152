"""The home folder: one place on disk for everything that Freehold keeps.

$FREEHOLD_HOME                                   ~/.freehold where the variable is not set
├── blobs/<sha256>                               the content of every pulled file, once
├── models/<organisation>/<name>/<variant>/
│   ├── manifest.json                            the lock: written last, so without it there is no model
│   └── <revision>/                              the model's files under their own names, hard links to blobs
├── downloads/<organisation>/<name>/<variant>/   what an interrupted pull has fetched so far
├── packed/<key>.packed                          weights as the kernels read them; made at a model's first start
└── locks/                                       empty files that running processes hold
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from freehold.errors import StoreError
from freehold.store.names import ModelName

HOME_VARIABLE = "FREEHOLD_HOME"
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Home:
    """Paths below one home folder. Nothing is created until something is stored."""

    path: Path

    @classmethod
    def from_environment(cls) -> Home:
        """The folder that FREEHOLD_HOME names, else ~/.freehold.

        Raises:
            StoreError: the variable holds a relative path, whose meaning would change with the working folder.
        """
        value = os.environ.get(HOME_VARIABLE, "")
        path = Path(value).expanduser() if value else Path.home() / ".freehold"
        if not path.is_absolute():
            raise StoreError(
                f"{HOME_VARIABLE} is {value!r}, which is not an absolute path",
                hint=f"set it to an absolute path, such as {Path.cwd() / value}",
            )
        return cls(path)

    @property
    def blobs(self) -> Path:
        return self.path / "blobs"

    @property
    def models(self) -> Path:
        return self.path / "models"

    @property
    def packed(self) -> Path:
        return self.path / "packed"

    def repository(self, name: ModelName) -> Path:
        """The folder with all pulled variants of a repository."""
        return self.models / name.organisation / name.name

    def variant(self, name: ModelName, variant: str) -> Path:
        """The folder of one pulled variant."""
        return self.repository(name) / variant

    def downloads(self, name: ModelName, variant: str) -> Path:
        """Where the partial files of one variant wait to be completed."""
        return self.path / "downloads" / name.organisation / name.name / variant

    def lock(self, what: str) -> Path:
        """The lock file for something of that name."""
        return self.path / "locks" / f"{what}.lock"
