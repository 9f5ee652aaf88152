"""The names of a family's tensors, and what each holds."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from freehold.checkpoints.base import Naming
from freehold.models.config import ModelConfig
from freehold.models.weights.stored import Member, Stored, StoredTensor

Names = tuple[str, str | None, str | None]

# Our module's name, Hugging Face's, GGUF's; `{i}` stands for the layer. None where a naming has other words for it.
LLAMA_SHAPED: tuple[Names, ...] = (
    ("embedding", "model.embed_tokens", "token_embd"),
    ("blocks.{i}.attention_norm", "model.layers.{i}.input_layernorm", "blk.{i}.attn_norm"),
    ("blocks.{i}.attention.qkv.q", "model.layers.{i}.self_attn.q_proj", "blk.{i}.attn_q"),
    ("blocks.{i}.attention.qkv.k", "model.layers.{i}.self_attn.k_proj", "blk.{i}.attn_k"),
    ("blocks.{i}.attention.qkv.v", "model.layers.{i}.self_attn.v_proj", "blk.{i}.attn_v"),
    ("blocks.{i}.attention.output", "model.layers.{i}.self_attn.o_proj", "blk.{i}.attn_output"),
    ("blocks.{i}.mlp_norm", "model.layers.{i}.post_attention_layernorm", "blk.{i}.ffn_norm"),
    ("blocks.{i}.mlp.gate_up.gate", "model.layers.{i}.mlp.gate_proj", "blk.{i}.ffn_gate"),
    ("blocks.{i}.mlp.gate_up.up", "model.layers.{i}.mlp.up_proj", "blk.{i}.ffn_up"),
    ("blocks.{i}.mlp.down", "model.layers.{i}.mlp.down_proj", "blk.{i}.ffn_down"),
    ("norm", "model.norm", "output_norm"),
    ("head", "lm_head", "output"),
)
# Tables that some files carry and that everybody computes.
ROTARY_TABLES = ("model.layers.{i}.self_attn.rotary_emb.inv_freq", "rope_freqs.weight")


def with_names(*rows: Names, base: tuple[Names, ...] = LLAMA_SHAPED) -> tuple[Names, ...]:
    """The rows of `base`, with others in the place of those for the same modules, and new ones at the end."""
    known = {row[0]: row for row in base}
    return tuple((known | {row[0]: row for row in rows}).values())


@dataclass(frozen=True)
class WeightMap:
    """The names of a family's tensors.

    What a naming stores differently from us (several modules in one tensor, another order of rows...) is a `Stored` in
    its tuple; the rest is a plain pair of names in `modules`. Where several hold the same parameter, the first whose
    tensor is there is read, and the first is written.

    Attributes:
        modules: our module's name, Hugging Face's, GGUF's.
        hugging_face, gguf: what the namings store in other ways; these come before `modules`.
        dropped: tensors that are left unread on purpose, with `{i}` for a layer of the model, `{beyond}` for a layer
            past its last and `*` for any rest; everything else must be used.
        prefixes: spellings of Hugging Face's names: a name that begins with the first stands for one with the second.
    """

    modules: tuple[Names, ...] = LLAMA_SHAPED
    hugging_face: tuple[Stored, ...] = ()
    gguf: tuple[Stored, ...] = ()
    dropped: tuple[str, ...] = ROTARY_TABLES
    prefixes: tuple[tuple[str, str], ...] = ()

    def tensors(
        self,
        naming: Naming,
        config: ModelConfig,
        shapes: Mapping[str, tuple[int, ...]],
        present: Collection[str] | None = None,
    ) -> list[StoredTensor]:
        """The tensors that hold a model's parameters, in the order of the parameters.

        Args:
            shapes: of every parameter of the model, by our names.
            present: the checkpoint's names, which decide between alternatives; None takes what we write.
        """
        holders = self._holders(naming)
        groups: dict[str, tuple[Stored, dict[int, list[tuple[int, Member]]]]] = {}
        for parameter, shape in shapes.items():
            template, layer, expert = _template(parameter.rpartition(".")[0])
            choices = []
            for stored in holders.get(template, ()):
                name = stored.tensor_name(parameter.rpartition(".")[2], layer, expert)
                if name is not None:
                    choices.append((name, stored))
            if not choices:
                raise KeyError(f"the weight map has no {naming} name for {parameter}")
            name, stored = next((one for one in choices if present is not None and one[0] in present), choices[0])
            member = Member(parameter, shape, template in stored.turned)
            experts = groups.setdefault(name, (stored, {}))[1]
            experts.setdefault(expert or 0, []).append((stored.ours.index(template), member))
        return [
            StoredTensor(name, stored, tuple(_in_order(experts[number]) for number in sorted(experts)), config)
            for name, (stored, experts) in groups.items()
        ]

    def is_dropped(self, name: str, layers: int) -> bool:
        """Whether a tensor is left unread on purpose by a model of so many layers."""
        numbers = re.findall(r"(?<=\.)\d+(?=\.)", name)
        beyond = bool(numbers) and int(numbers[0]) >= layers
        return any(_matches(pattern, name, beyond) for pattern in self.dropped)

    def canonical(self, name: str) -> str:
        """Hugging Face's name in the spelling that this map uses."""
        for spelling, ours in self.prefixes:
            if name.startswith(spelling):
                return ours + name.removeprefix(spelling)
        return name

    def _holders(self, naming: Naming) -> dict[str, list[Stored]]:
        """For each of our modules the ways in which it can be stored, the preferred one first."""
        is_gguf = naming is Naming.GGUF
        plain = ((row[0], row[2] if is_gguf else row[1]) for row in self.modules)
        stored = [*(self.gguf if is_gguf else self.hugging_face)]
        stored += [Stored((ours,), name) for ours, name in plain if name is not None]
        holders: dict[str, list[Stored]] = {}
        for one in stored:
            for ours in one.ours:
                holders.setdefault(ours, []).append(one)
        return holders


def _template(module: str) -> tuple[str, int | None, int | None]:
    """A module's name with `{i}` and `{e}` for its first and second number, and the numbers."""
    parts = module.split(".")
    found: list[int] = []
    for index, part in enumerate(parts):
        if part.isdecimal():
            parts[index] = "{i}" if not found else "{e}"
            found.append(int(part))
    layer, expert = [*found, None, None][:2]
    return ".".join(parts), layer, expert


def _in_order(members: Iterable[tuple[int, Member]]) -> tuple[Member, ...]:
    return tuple(member for _, member in sorted(members, key=lambda one: one[0]))


def _matches(pattern: str, name: str, beyond: bool) -> bool:
    if "{beyond}" in pattern and not beyond:
        return False
    expression = re.escape(pattern)
    for placeholder, meaning in ((r"\{i\}", r"\d+"), (r"\{beyond\}", r"\d+"), (r"\*", ".*")):
        expression = expression.replace(placeholder, meaning)
    return re.fullmatch(expression, name) is not None
