"""One tensor of a checkpoint, and what of ours it holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from freehold.models.config import ModelConfig
from freehold.models.weights.orders import Int64Array, Order
from freehold.tensors import Tensor

Float32Array: TypeAlias = npt.NDArray[np.float32]
Function: TypeAlias = Callable[[Float32Array], Float32Array]


@dataclass(frozen=True)
class Values:
    """A checkpoint's convention for the numbers themselves.

    Attributes:
        to_ours, to_stored: element by element in float32, inverse to each other.
    """

    to_ours: Function
    to_stored: Function


# Norms that multiply by one plus what is stored (Gemma, Qwen 3.5).
LESS_ONE = Values(lambda stored: stored + np.float32(1), lambda ours: ours - np.float32(1))


@dataclass(frozen=True)
class Stored:
    """How one naming stores one or several of our modules.

    Attributes:
        ours: our modules, whose rows the tensor holds one after the other; `{i}` stands for the layer and `{e}` for an
            expert (or a head, where each head has a matrix of its own).
        name: the checkpoint's module, to which `.weight` and `.bias` are added. Without `{e}` where ours have it, the
            tensor has one more dimension, outermost, for the experts.
        kind: "weight" or "bias" where `name` is a full tensor name, which holds only that parameter of ours.
        order: where the stacked rows lie (within each expert); None for as they are.
        columns: where the columns of our matrices lie; None for as they are.
        transposed: matrices are stored [inputs, outputs].
        turned: those of `ours` whose matrices, after taking their rows, are transposed against ours.
        heads: the leading dimension for experts is folded into the rows.
        unit_axis: the tensor has a dimension of size 1 at this place that ours lack.
        flat: a matrix of a single row is stored as a vector.
        values: convention for the numbers; None for as they are.
    """

    ours: tuple[str, ...]
    name: str
    kind: str | None = None
    order: Order | None = None
    columns: Order | None = None
    transposed: bool = False
    turned: tuple[str, ...] = ()
    heads: bool = False
    unit_axis: int | None = None
    flat: bool = False
    values: Values | None = None

    def tensor_name(self, kind: str, layer: int | None, expert: int | None) -> str | None:
        """The checkpoint's name for a parameter of one of `ours`; None if the tensor does not hold that kind."""
        if self.kind not in (None, kind):
            return None
        name = self.name if self.kind is not None else f"{self.name}.{kind}"
        return name.replace("{i}", str(layer)).replace("{e}", str(expert))


@dataclass(frozen=True)
class Member:
    """One of our parameters inside a stored tensor.

    Attributes:
        parameter: its full name.
        shape: our shape of it.
        turned: whether it is transposed against ours.
    """

    parameter: str
    shape: tuple[int, ...]
    turned: bool

    @property
    def rows(self) -> int:
        """Rows that it takes in the tensor."""
        return self.shape[1] if self.turned else self.shape[0]

    @property
    def columns(self) -> int:
        """Columns that it takes; 0 for a vector."""
        if len(self.shape) == 1:
            return 0
        return self.shape[0] if self.turned else self.shape[1]


@dataclass(frozen=True)
class StoredTensor:
    """A concrete tensor of a checkpoint of a concrete model.

    Attributes:
        name: its name.
        stored: how it holds ours.
        members: ours, for each expert in turn the parts in order; a single "expert" where there are none.
        config: the model's.
    """

    name: str
    stored: Stored
    members: tuple[tuple[Member, ...], ...]
    config: ModelConfig

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that the tensor must have."""
        one = self._one_shape
        if self.stored.flat:
            return one[1:]
        if self._stacks_experts:
            one = (len(self.members) * one[0], *one[1:]) if self.stored.heads else (len(self.members), *one)
        axis = self.stored.unit_axis
        return one if axis is None else (*one[:axis], 1, *one[axis:])

    def member(self, parameter: str) -> Member:
        """One of our parameters by its name."""
        expert, index, _ = self._places[parameter]
        return self.members[expert][index]

    def extract(self, tensor: Tensor, parameter: str) -> Tensor:
        """One of our parameters out of the stored tensor; quantised rows keep their bytes."""
        expert, _, first = self._places[parameter]
        member = self.member(parameter)
        if self._stacks_experts:
            tensor = tensor.reshape((len(self.members), *self._one_shape)).part(expert)
        elif self.stored.unit_axis is not None or self.stored.flat:
            tensor = tensor.reshape(self._one_shape)
        if self._is_transposed:
            tensor = tensor.transpose()
        last = first + member.rows
        rows, columns = self._order, self._columns
        tensor = tensor.slice_rows(first, last) if rows is None else tensor.take_rows(np.argsort(rows)[first:last])
        if columns is not None:
            tensor = tensor.take_columns(np.argsort(columns))
        if member.turned:
            tensor = tensor.transpose()
        if self.stored.values is not None:
            tensor = Tensor.from_array(parameter, self.stored.values.to_ours(tensor.float32()))
        return tensor.renamed(parameter)

    def assemble(self, source: Callable[[str], Tensor]) -> Tensor:
        """The stored tensor made of ours: the inverse of `extract`. Parts of unequal types become float32."""
        whole = Tensor.stack([self._expert(members, source) for members in self.members])
        return whole.reshape(self.shape).renamed(self.name)

    @property
    def _stacks_experts(self) -> bool:
        return "{e}" in self.stored.ours[0] and "{e}" not in self.stored.name

    @property
    def _is_transposed(self) -> bool:
        return self.stored.transposed and self.members[0][0].columns > 0

    @property
    def _one_shape(self) -> tuple[int, ...]:
        """Shape of what a single expert has in it."""
        rows, columns = sum(member.rows for member in self.members[0]), self.members[0][0].columns
        if not columns:
            return (rows,)
        return (columns, rows) if self._is_transposed else (rows, columns)

    @cached_property
    def _places(self) -> dict[str, tuple[int, int, int]]:
        """Of each parameter the expert and part that it is, and its first row in the stack of that expert's parts."""
        places = {}
        for expert, members in enumerate(self.members):
            starts = accumulate((member.rows for member in members), initial=0)
            for index, (member, first) in enumerate(zip(members, starts, strict=False)):
                places[member.parameter] = expert, index, first
        return places

    @cached_property
    def _order(self) -> Int64Array | None:
        return self._moved(self.stored.order, sum(member.rows for member in self.members[0]))

    @cached_property
    def _columns(self) -> Int64Array | None:
        return self._moved(self.stored.columns, self.members[0][0].columns)

    def _moved(self, order: Order | None, count: int) -> Int64Array | None:
        """Which row (or column) of ours each stored one is; None where all are in their place, so none is copied."""
        found = None if order is None else order(self.config, count)
        return None if found is None or np.array_equal(found, np.arange(count)) else found

    def _expert(self, members: tuple[Member, ...], source: Callable[[str], Tensor]) -> Tensor:
        tensor = Tensor.stack([self._as_stored(member, source(member.parameter)) for member in members])
        if self._order is not None:
            tensor = tensor.take_rows(self._order)
        if self._columns is not None:
            tensor = tensor.take_columns(self._columns)
        return tensor.transpose() if self._is_transposed else tensor

    def _as_stored(self, member: Member, tensor: Tensor) -> Tensor:
        if self.stored.values is not None:
            tensor = Tensor.from_array(member.parameter, self.stored.values.to_stored(tensor.float32()))
        return tensor.transpose() if member.turned else tensor
