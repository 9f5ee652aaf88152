"""Every error that Freehold raises on purpose.

    FreeholdError                   what was wrong, and a hint with the next step
    ├── ModelNotFound               no model of that name or path
    ├── CatalogueError              a file of the catalogue does not say what it must
    ├── StoreError                  the model store, or a file in it, cannot be used
    ├── DownloadError               the hub, or the network to it, did not give what was asked
    ├── CheckpointError             a weight file is truncated, corrupt, hostile or of an unknown kind
    │   └── UnsupportedTensorType   a tensor is stored in a type we do not read
    ├── ConfigError                 a model configuration value that we cannot honour
    │   └── UnsupportedArchitecture no family is registered for this architecture
    ├── WeightMapError              tensors missing from, or left over in, a checkpoint
    ├── TokenizerError              tokenizer files are absent, damaged or of an unknown kind
    ├── TemplateError               a chat template is absent, damaged, hostile or rejects the messages
    ├── InvalidRequest              a request field that cannot be honoured
    │   └── ContextExceeded         the prompt does not fit the context
    ├── Overloaded                  no permit left: try again later
    ├── EngineStopped               the engine is draining or has stopped
    └── BackendUnavailable          the backend's requirements are not installed

The command line prints them as `error: message` and `hint: hint`; the server turns them into OpenAI's error body.
"""

from __future__ import annotations


class FreeholdError(Exception):
    """Base of all errors raised on purpose.

    Args:
        message: what was wrong, with the offending value and the one that was expected.
        hint: the next step for the person reading it, if there is one.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ModelNotFound(FreeholdError):
    """No model of that name, folder or file."""


class CatalogueError(FreeholdError):
    """A file of the catalogue is damaged."""


class StoreError(FreeholdError):
    """The model store cannot be used as asked."""


class DownloadError(FreeholdError):
    """The hub did not deliver."""


class CheckpointError(FreeholdError):
    """A weight file is truncated, corrupt, hostile or of an unknown kind."""


class UnsupportedTensorType(CheckpointError):
    """A tensor is stored in a type that we do not read."""


class ConfigError(FreeholdError):
    """A model configuration holds a value that we cannot honour."""


class UnsupportedArchitecture(ConfigError):
    """No family is registered under this architecture name."""


class WeightMapError(FreeholdError):
    """A checkpoint has a tensor too many, too few, or of the wrong shape."""


class TokenizerError(FreeholdError):
    """Tokenizer files are absent, damaged or of an unknown kind."""


class TemplateError(FreeholdError):
    """A chat template is absent, damaged, hostile, or rejects the messages."""


class InvalidRequest(FreeholdError):
    """A request field cannot be honoured.

    Args:
        parameter: the field at fault, as the caller spelled it.
        code: a short machine-readable reason, or None.
    """

    def __init__(
        self, message: str, *, parameter: str | None = None, code: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.parameter = parameter
        self.code = code


class ContextExceeded(InvalidRequest):
    """The prompt, or prompt and max_tokens together, do not fit the context."""


class Overloaded(FreeholdError):
    """Every permit is taken.

    Args:
        retry_after: seconds after which trying again makes sense.
    """

    def __init__(self, message: str, *, retry_after: float, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class EngineStopped(FreeholdError):
    """The engine is draining or has stopped and takes no new work."""


class BackendUnavailable(FreeholdError):
    """What a backend needs is not installed or not present on this machine."""
