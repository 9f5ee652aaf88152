"""Mixtures of experts: which experts a row goes to, and the sum of what they make of it."""

from __future__ import annotations

from collections.abc import Callable

import torch

from freehold.ops.base import Routing


def route(logits: torch.Tensor, bias: torch.Tensor | None, routing: Routing) -> torch.Tensor:
    """Weight of every expert for every row, [tokens, experts] float32, zero for those that are not chosen."""
    logits = logits.float()
    scores = logits.softmax(-1) if routing.scoring == "softmax" else logits.sigmoid()
    plain = logits if routing.groups == 1 else scores
    ranked = plain if bias is None else scores + bias.float()
    if routing.groups > 1:
        grouped = ranked.reshape(len(ranked), routing.groups, -1)
        worth = grouped.topk(min(2, grouped.shape[-1]), dim=-1).values.sum(-1)
        kept = torch.zeros_like(worth, dtype=torch.bool).scatter_(-1, _first_best(worth, routing.groups_kept), True)
        ranked = ranked.masked_fill(~kept.repeat_interleave(grouped.shape[-1], -1), -torch.inf)
    chosen = _first_best(ranked, routing.top_k)
    weights = scores.gather(-1, chosen)
    if routing.normalise:
        weights = weights / weights.sum(-1, keepdim=True)
    return torch.zeros_like(scores).scatter(-1, chosen, weights * routing.scale)


def _first_best(values: torch.Tensor, count: int) -> torch.Tensor:
    """Indices of the largest values along the last dimension, the earlier of two equal ones first."""
    return torch.sort(values, dim=-1, descending=True, stable=True).indices[..., :count]


def mix(
    x: torch.Tensor, weights: torch.Tensor, routing: Routing, expert: Callable[[int, torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """The weighed sum over the experts, in the order of their numbers.

    Args:
        x: [tokens, features].
        weights: [tokens, experts], zero where an expert was not chosen.
        expert: what the expert of that number makes of rows.
    """
    result = torch.zeros_like(x)
    chosen = weights != 0
    for number in chosen.any(0).nonzero().flatten().tolist():
        rows = chosen[:, number].nonzero().flatten()
        own = weights[rows, number, None].to(x.dtype)
        made = expert(number, x[rows] * own) if routing.weigh_inputs else expert(number, x[rows]) * own
        result = result.index_add(0, rows, made)
    return result
