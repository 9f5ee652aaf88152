"""Which family an architecture's name stands for. Families are imported when they are needed."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping

from freehold.checkpoints.base import Checkpoint, Naming
from freehold.errors import UnsupportedArchitecture
from freehold.models.config import ModelConfig
from freehold.models.fields import Fields
from freehold.models.network import Network

# Hugging Face's `architectures` entry -> module and class.
FAMILIES: Mapping[str, tuple[str, str]] = {
    "BertModel": ("bert", "Bert"),
    "BertForMaskedLM": ("bert", "Bert"),
    "XLMRobertaModel": ("bert", "XlmRoberta"),
    "DeepseekV3ForCausalLM": ("deepseek_v3", "DeepseekV3"),
    "FalconForCausalLM": ("falcon", "Falcon"),
    "Gemma2ForCausalLM": ("gemma2", "Gemma2"),
    "GptOssForCausalLM": ("gpt_oss", "GptOss"),
    "Llama4ForCausalLM": ("llama4", "Llama4"),
    "Llama4ForConditionalGeneration": ("llama4", "Llama4"),
    "LlamaForCausalLM": ("llama", "Llama"),
    "MistralForCausalLM": ("mistral", "Mistral"),
    "MixtralForCausalLM": ("mixtral", "Mixtral"),
    "Qwen2ForCausalLM": ("qwen2", "Qwen2"),
    "Qwen3_5ForCausalLM": ("qwen3_5", "Qwen35"),
    "Qwen3_5ForConditionalGeneration": ("qwen3_5", "Qwen35"),
    "Qwen3_5MoeForCausalLM": ("qwen3_5_moe", "Qwen35Moe"),
    "Qwen3_5MoeForConditionalGeneration": ("qwen3_5_moe", "Qwen35Moe"),
    "Qwen3ForCausalLM": ("qwen3", "Qwen3"),
    "Qwen3MoeForCausalLM": ("qwen3_moe", "Qwen3Moe"),
    "BaichuanForCausalLM": ("baichuan", "Baichuan"),
    "BaiChuanForCausalLM": ("baichuan", "Baichuan"),  # what the first Baichuan calls itself
    "XverseForCausalLM": ("xverse", "Xverse"),
    "StableLmForCausalLM": ("stablelm", "StableLm"),
    "RWForCausalLM": ("falcon", "Falcon"),  # what the first Falcons call themselves
}

# GGUF's `general.architecture` -> the name above. Llama's translation tells Mistral and Mixtral from Llama.
GGUF_ARCHITECTURES: Mapping[str, str] = {
    "bert": "BertModel",
    "deepseek2": "DeepseekV3ForCausalLM",
    "falcon": "FalconForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gpt-oss": "GptOssForCausalLM",
    "llama": "LlamaForCausalLM",
    "llama4": "Llama4ForCausalLM",
    "stablelm": "StableLmForCausalLM",
    "baichuan": "BaichuanForCausalLM",
    "xverse": "XverseForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen35": "Qwen3_5ForCausalLM",
    "qwen35moe": "Qwen3_5MoeForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "qwen3moe": "Qwen3MoeForCausalLM",
}


def family_of(checkpoint: Checkpoint) -> tuple[type[Network], ModelConfig]:
    """The family of a checkpoint, and its configuration in our terms.

    Raises:
        UnsupportedArchitecture: names the architecture and the nearest one that we know.
        ConfigError: a value cannot be honoured.
    """
    source = checkpoint.path.name
    if checkpoint.naming is Naming.GGUF:
        name = str(checkpoint.config.get("general.architecture"))
        family = family_named(_known(name, GGUF_ARCHITECTURES, source))
        config = family.from_gguf(Fields(checkpoint.config, source, prefix=f"{name}."), checkpoint)
        return family_named(config.architecture), config
    architectures = checkpoint.config.get("architectures")
    first = architectures[0] if isinstance(architectures, list) and len(architectures) == 1 else architectures
    family = family_named(_known(str(first), {name: name for name in FAMILIES}, source))
    fields = Fields(checkpoint.config, f"{source}/config.json")
    _refuse_foreign_code(fields, family)
    return family, family.from_hugging_face(fields)


def family_named(architecture: str) -> type[Network]:
    """The class registered under Hugging Face's name for an architecture."""
    module, name = FAMILIES[architecture]
    family: type[Network] = getattr(importlib.import_module(f"freehold.models.families.{module}"), name)
    return family


def _refuse_foreign_code(fields: Fields, family: type[Network]) -> None:
    """Refuse folders whose meaning lies in code that is not the one the family stands in for."""
    code = fields.mapping("auto_map")
    named = set() if code is None else {str(value) for value in code.values.values()}
    if not named <= family.released_code:
        raise fields.refuse("auto_map", "none, since code from a model folder is never run")


def _known(name: str, table: Mapping[str, str], source: str) -> str:
    if name in table:
        return table[name]
    nearest = difflib.get_close_matches(name, table, n=1, cutoff=0.4)
    raise UnsupportedArchitecture(
        f"{source}: architecture {name!r:.80} is not supported",
        hint=f"the nearest one is {nearest[0]}" if nearest else f"supported are {', '.join(table)}",
    )
