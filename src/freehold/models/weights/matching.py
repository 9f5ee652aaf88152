"""Whether a checkpoint holds a model: nothing missing, nothing left over, nothing misshapen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from freehold.checkpoints.base import Checkpoint, Naming
from freehold.errors import WeightMapError
from freehold.models.config import ModelConfig
from freehold.models.weights.map import WeightMap
from freehold.models.weights.stored import StoredTensor
from freehold.tensors import Tensor, TensorInfo


@dataclass(frozen=True)
class Location:
    """Where one of our parameters lies.

    Attributes:
        tensor: the stored tensor that holds it.
        name: that tensor's name as the checkpoint spells it.
    """

    tensor: StoredTensor
    name: str

    def read(self, checkpoint: Checkpoint, parameter: str) -> Tensor:
        """The parameter, rows in our order."""
        return self.tensor.extract(checkpoint.read(self.name), parameter)

    def info(self, checkpoint: Checkpoint, parameter: str) -> TensorInfo:
        """How the parameter is stored: our shape of it, in the type of the tensor that holds it."""
        return TensorInfo(self.name, self.tensor.member(parameter).shape, checkpoint.tensors[self.name].type)


def match_tensors(
    weights: WeightMap, config: ModelConfig, shapes: Mapping[str, tuple[int, ...]], checkpoint: Checkpoint
) -> dict[str, Location]:
    """Where each parameter lies, after checking that nothing is missing, left over or misshapen.

    Args:
        config: the model's; where its head is its embedding, a copy of it in the checkpoint may be left unread.
        shapes: of every parameter of the model, by our names.

    Raises:
        WeightMapError: names the tensors at fault.
    """
    spelled = {name: name for name in checkpoint.tensors}
    if checkpoint.naming is Naming.HUGGING_FACE and weights.prefixes:
        spelled = {weights.canonical(name): name for name in checkpoint.tensors}
        twice = sorted(set(checkpoint.tensors) - set(spelled.values()))
        if twice:
            raise _fault("has in two spellings", twice, checkpoint, "remove one of the two copies")
    tensors = weights.tensors(checkpoint.naming, config, shapes, spelled)
    missing = [tensor.name for tensor in tensors if tensor.name not in spelled]
    if missing:
        raise _fault("lacks", missing, checkpoint, "it may be incomplete, or its configuration may be of another model")
    unread = set(spelled) - {tensor.name for tensor in tensors}
    if config.tied_embeddings:
        unread -= {"lm_head.weight", "output.weight"}
    extra = sorted(spelled[name] for name in unread if not weights.is_dropped(name, config.layers))
    if extra:
        raise _fault("has unexpected", extra, checkpoint, "the model does what this family does not, so it is not run")
    for tensor in tensors:
        found = checkpoint.tensors[spelled[tensor.name]].shape
        if found != tensor.shape:
            raise WeightMapError(
                f"{checkpoint.path.name}: tensor `{spelled[tensor.name]}` has shape {list(found)}; "
                f"the configuration asks for {list(tensor.shape)}",
                hint="configuration and weights do not belong together",
            )
    return {
        member.parameter: Location(tensor, spelled[tensor.name])
        for tensor in tensors
        for members in tensor.members
        for member in members
    }


def _fault(what: str, names: Iterable[str], checkpoint: Checkpoint, reason: str) -> WeightMapError:
    listed = list(names)
    shown = ", ".join(f"`{name}`" for name in listed[:5]) + (f" and {len(listed) - 5} more" if len(listed) > 5 else "")
    return WeightMapError(f"{checkpoint.path.name} {what} tensor{'s' if len(listed) > 1 else ''}: {shown}", hint=reason)
