"""Mixtures of experts (Shazeer et al. 2017): every row passes through a few of many feed-forward networks."""

from __future__ import annotations

from freehold.models.blocks.block import FeedForward
from freehold.models.blocks.leaf import ExpertsLinear, Linear, Precision, Vector
from freehold.models.blocks.mlp import GatedMLP
from freehold.models.config import ExpertsConfig, ModelConfig
from freehold.ops.base import Array, Ops


class MixtureOfExperts(FeedForward):
    """The weighed sum of a row's chosen experts, and of the shared one where there is one.

    Args:
        experts: how many, how wide, how chosen.
        selection_bias: whether a bias takes part in choosing, see `Routing`.
        shared_gate: whether the shared expert's result is multiplied by the sigmoid of a gate.
        router_bias, expert_bias: whether the router and the experts have biases.
        limit: of the activation, see `Ops.gated_mlp`.
    """

    def __init__(
        self,
        config: ModelConfig,
        experts: ExpertsConfig,
        *,
        selection_bias: bool = False,
        shared_gate: bool = False,
        router_bias: bool = False,
        expert_bias: bool = False,
        limit: float | None = None,
    ):
        self.routing, self.activation, self.limit = experts.routing, config.activation, limit
        width, precise = experts.intermediate, Precision.AS_STORED
        self.router = Linear(config.hidden, experts.count, bias=router_bias, precision=precise)
        self.selection_bias = Vector(experts.count, kind="bias") if selection_bias else None
        parts = {"gate": width, "up": width}
        self.gate_up = ExpertsLinear(experts.count, config.hidden, parts, bias=expert_bias)
        self.down = ExpertsLinear(experts.count, width, config.hidden, bias=expert_bias)
        self.shared = GatedMLP(config, intermediate=experts.shared) if experts.shared else None
        self.shared_gate = Linear(config.hidden, 1, precision=precise) if shared_gate else None

    def __call__(self, ops: Ops, x: Array, onto: Array | None = None) -> Array:
        bias = None if self.selection_bias is None else self.selection_bias.weight
        mixed = ops.experts(
            x,
            self.router(ops, x),
            self.gate_up.weight,
            self.down.weight,
            selection_bias=bias,
            routing=self.routing,
            activation=self.activation,
            limit=self.limit,
        )
        if self.shared is not None:
            mixed = self._with_shared(ops, x, self.shared, mixed)
        return mixed if onto is None else ops.add(onto, mixed)

    def _with_shared(self, ops: Ops, x: Array, shared: GatedMLP, mixed: Array) -> Array:
        """mixed + what the shared expert makes of x."""
        if self.shared_gate is None:
            return shared(ops, x, mixed)
        return ops.add(mixed, ops.gate(shared(ops, x), self.shared_gate(ops, x), "sigmoid"))
