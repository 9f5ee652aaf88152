"""Talking to the hub through huggingface_hub: what a repository holds, and one resumable file at a time.

huggingface_hub's own download functions throw a partial file away when the process ends, so the bytes are streamed
here, over its session, and continued with a Range request.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

import httpx2
from huggingface_hub import HfApi, constants, errors, get_session, get_token, hf_hub_url, hf_raise_for_status
from huggingface_hub.hf_api import ModelInfo, RepoSibling

from freehold.errors import DownloadError, ModelNotFound
from freehold.store.names import ModelName
from freehold.store.selection import RemoteFile

_ATTEMPTS = 5  # failures in a row, without a byte in between, after which a pull gives up
_TIMEOUT = 30.0
_LICENCE_TAG = "license:"
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_GIT_ID = re.compile(r"[0-9a-f]{40}")
_TRUE = frozenset({"1", "on", "yes", "true"})


@dataclass(frozen=True, slots=True)
class Repository:
    """What the hub says about a repository at one commit."""

    revision: str
    licence: str | None
    files: tuple[RemoteFile, ...]


class Hub:
    """One hub. The token from HF_TOKEN or `hf auth login` goes to this endpoint and to no other host.

    Raises:
        DownloadError: HF_HUB_OFFLINE forbids the network.
    """

    def __init__(self) -> None:
        if os.environ.get("HF_HUB_OFFLINE", "").lower() in _TRUE:
            raise DownloadError("HF_HUB_OFFLINE is set, so nothing is downloaded", hint="unset it to go online")
        self.endpoint = os.environ.get("HF_ENDPOINT", constants.ENDPOINT).rstrip("/")
        self._token = get_token()

    def repository(self, name: ModelName, revision: str | None) -> Repository:
        """List a repository at a branch, tag or commit (None: the main branch).

        Raises:
            ModelNotFound: the hub has no such repository or revision, or does not show it to us.
            DownloadError: the hub cannot be reached or does not make sense.
        """
        api = HfApi(endpoint=self.endpoint, token=self._token or False, library_name="freehold")
        try:
            with self._errors(name, revision):
                found = api.model_info(name.repository, revision=revision, files_metadata=True)
            return _repository(found)
        except (TypeError, KeyError, AttributeError) as error:
            raise DownloadError(
                f"{self.endpoint} gave an answer about {name.repository} that is not a hub's"
            ) from error

    def download(
        self, name: ModelName, revision: str, file: RemoteFile, path: Path, arrived: Callable[[int], None]
    ) -> None:
        """Complete a partial file at path, or begin it.

        Args:
            arrived: called with the bytes of the file that are here; less than before when the hub begins again.

        Raises:
            DownloadError: the connection failed; what has arrived stays for the next attempt.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        url = hf_hub_url(name.repository, file.path, revision=revision, endpoint=self.endpoint)
        failures = 0
        with path.open("ab") as partial, self._errors(name, revision):
            if partial.tell() > file.size:
                partial.truncate(0)
            while (before := partial.tell()) < file.size:
                try:
                    self._continue(url, partial, arrived)
                except httpx2.TransportError:
                    failures = 1 if partial.tell() > before else failures + 1
                    if failures == _ATTEMPTS:
                        raise
                    time.sleep(failures)
            if partial.tell() != file.size:
                raise DownloadError(f"{file.path} is {partial.tell()} bytes long; the hub announced {file.size}")
        arrived(file.size)

    def _continue(self, url: str, partial: BinaryIO, arrived: Callable[[int], None]) -> None:
        """Ask for the rest of a file and append what comes."""
        headers = {"User-Agent": "freehold", "Accept-Encoding": "identity"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"  # the client drops it when redirected to another host
        if done := partial.tell():
            headers["Range"] = f"bytes={done}-"
        with get_session().stream("GET", url, headers=headers, timeout=_TIMEOUT) as response:
            hf_raise_for_status(response)
            if done and response.status_code != HTTPStatus.PARTIAL_CONTENT:
                partial.truncate(0)  # the server sends it all again
            for chunk in response.iter_bytes():
                partial.write(chunk)
                arrived(partial.tell())

    @contextmanager
    def _errors(self, name: ModelName, revision: str | None) -> Iterator[None]:
        """Translate what huggingface_hub and its HTTP client raise."""
        try:
            yield
        except errors.GatedRepoError as error:
            raise DownloadError(
                f"{name.repository} is gated: its owner wants you to accept conditions first",
                hint=f"accept them at {self.endpoint}/{name.repository}, then set HF_TOKEN to a token of that account",
            ) from error
        except errors.RevisionNotFoundError as error:
            raise ModelNotFound(f"{name.repository} has no revision {revision!r} on {self.endpoint}") from error
        except errors.RepositoryNotFoundError as error:
            raise ModelNotFound(
                f"{self.endpoint} has no model {name.repository}, or it is private",
                hint="check the spelling; for a private model set HF_TOKEN",
            ) from error
        except errors.HfHubHTTPError as error:
            raise DownloadError(
                f"{self.endpoint} answered {error.response.status_code} for {name.repository}",
                hint="pull it again: what has arrived is kept and continued",
            ) from error
        except (httpx2.HTTPError, OSError, ValueError) as error:
            raise DownloadError(
                f"pulling {name.repository} from {self.endpoint} failed: {error}",
                hint="check the connection and pull it again: what has arrived is kept and continued",
            ) from error


def _repository(found: ModelInfo) -> Repository:
    if not isinstance(found.sha, str) or _COMMIT.fullmatch(found.sha) is None:
        raise DownloadError(f"the hub calls the commit {found.sha!r}, which is not one")
    files = tuple(_remote_file(sibling) for sibling in found.siblings or [])
    licence = (tag.removeprefix(_LICENCE_TAG) for tag in found.tags or [] if tag.startswith(_LICENCE_TAG))
    return Repository(found.sha, next(licence, None), files)


def _remote_file(sibling: RepoSibling) -> RemoteFile:
    """Every file needs a size and a hash: nothing is installed unchecked."""
    sha256 = sibling.lfs.sha256 if sibling.lfs is not None else None
    hashed = _SHA256.fullmatch(sha256) if sha256 is not None else _GIT_ID.fullmatch(sibling.blob_id or "")
    if not isinstance(sibling.size, int) or sibling.size < 0 or hashed is None:
        raise DownloadError(f"the hub gave no size or no hash for {sibling.rfilename!r}")
    return RemoteFile(sibling.rfilename, sibling.size, sha256, None if sha256 else sibling.blob_id)
