"""Which models can have drafts, and which can make them."""

from __future__ import annotations

from freehold.engine.model import LanguageModel
from freehold.engine.types import EngineOptions
from freehold.errors import InvalidRequest


def obstacle_to_drafts(model: LanguageModel) -> str | None:
    """Why a model cannot have drafts: that could change a result, or is not possible at all. None if it can."""
    if model.ops.name != "native":
        return f"the {model.ops.name} backend may round a row otherwise among several"
    return _memory_of_states(model)


def check_draft(model: LanguageModel, draft: LanguageModel, options: EngineOptions) -> None:
    """Check that one model can draft for another.

    Raises:
        InvalidRequest: naming the obstacle.
    """
    if options.speculation == "off":
        raise InvalidRequest(
            "there is a draft model, and speculation is 'off'",
            parameter="draft_model",
            hint="leave one of the two away",
        )
    obstacle = obstacle_to_drafts(model)
    if obstacle is not None:
        raise InvalidRequest(
            f"this model cannot have a draft model: {obstacle}", parameter="draft_model", hint="load it without one"
        )
    obstacle = _memory_of_states(draft)
    if obstacle is not None:
        raise InvalidRequest(
            f"the draft model cannot draft: {obstacle}",
            parameter="draft_model",
            hint="take one whose layers all are attention",
        )


def _memory_of_states(model: LanguageModel) -> str | None:
    if not model.state_bytes_per_sequence():
        return None
    return "it keeps a state per sequence, which cannot give back a token that turns out wrong"
