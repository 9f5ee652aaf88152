"""The Python API: load a model, generate, chat, and look at its logits."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Unpack, overload

import numpy as np
import numpy.typing as npt

from freehold.embedding import Embedder, Pooling, read_pooling
from freehold.engine.engine import Engine
from freehold.engine.model_drafter import DraftModel
from freehold.engine.native_sampler import NativeSampler
from freehold.engine.observer import Observer
from freehold.engine.stopping import Detokeniser
from freehold.engine.types import EngineKeywords, EngineOptions, GenerationRequest, SamplingOptions
from freehold.engine.validation import Limits, check_sequence
from freehold.errors import ConfigError, EngineStopped, InvalidRequest, TemplateError
from freehold.generation import GenerationOptions, contents, events, texts, to_request
from freehold.models import Decoder, ModelConfig
from freehold.models.encoder import Encoder
from freehold.models.loading import Progress
from freehold.models.network import Network
from freehold.opening import cache_type_of, open_model, require_decoder, require_text, weight_type
from freehold.ops.base import Array, LayerCache
from freehold.ops.batch import Batch, in_groups
from freehold.recommended import recommended_sampling
from freehold.text import ChatTemplate, Text, Tokenizer, conversation_prompt
from freehold.text.abilities import abilities_of
from freehold.text.agreement import require_same_tokens
from freehold.text.dialects import Dialect, Event

__all__ = ["EngineKeywords", "Model", "load"]

# Tokens whose logits are computed together: enough to keep the kernels busy, few enough to bound the memory.
LOGITS_TOKENS = 1024


def load(
    name_or_path: str | Path,
    *,
    backend: str = "native",
    dtype: str | None = None,
    cache_type: str | None = None,
    context_length: int | None = None,
    draft_model: str | Path | None = None,
    observer: Observer | None = None,
    progress: Progress | None = None,
    **engine_options: Unpack[EngineKeywords],
) -> Model:
    """Load a model.

    Args:
        name_or_path: the name of a bundled or pulled model, a Hugging Face folder, or a .gguf file.
        backend: "native" (CPU) or "torch" (CUDA where there is one, else CPU).
        dtype: "q4", "q8", "f16" or "f32": what to hold the linear weights in; None keeps what is stored.
        cache_type: "q8", "f16" or "f32": what to hold keys and values in; None takes 16 bits, and float32 where weights
            are. "q8" takes little more than half the memory of "f16".
        context_length: most tokens of a sequence; None takes the model's own.
        draft_model: a smaller model with the same vocabulary, named as `name_or_path` is and held in the same types. It
            guesses tokens that the model then verifies, several at once: faster where it guesses well, and the results
            are the same.
        observer: told of every request's timings.
        progress: called with how many weights are loaded, and of how many.
        engine_options: cache_tokens and the other fields of `EngineOptions`.

    Raises:
        FreeholdError: of the kind that says what is wrong; see `freehold.errors`.
    """
    held_in, kept_in = weight_type(dtype), cache_type_of(cache_type)
    opened = open_model(name_or_path)
    drafting = None if draft_model is None else open_model(draft_model)
    if drafting is not None:
        require_same_tokens(opened.named_tokenizer(), drafting.named_tokenizer())
    network = opened.network(backend, held_in, kept_in, progress)
    draft = None
    if drafting is not None:
        require_decoder(network)
        draft = require_decoder(drafting.network(backend, held_in, kept_in, progress))
    return Model(
        opened.name,
        network,
        opened.text,
        recommended=recommended_sampling(opened.checkpoint),
        pooling=read_pooling(opened.checkpoint) if isinstance(network, Encoder) else None,
        options=EngineOptions(context_length=context_length, **engine_options),
        observer=observer,
        draft=draft,
    )


class Model:
    """A loaded model. Safe to share between threads; close it, or use it in a `with` block, to stop its engine.

    Attributes:
        name: what it was loaded as.
        network: the model itself: a decoder, which writes, or an encoder, which embeds.
        text: its tokenizer and chat template; None where it came without tokenizer files.
        recommended: how its makers recommend to sample (generation_config.json or GGUF metadata). `generate` and `chat`
            follow it in what the caller leaves open.
        options: limits of its engine.
        draft: a smaller model that guesses tokens for this one to verify; None without one.
    """

    def __init__(
        self,
        name: str,
        network: Network,
        text: Text | None,
        *,
        recommended: SamplingOptions | None = None,
        pooling: Pooling | None = None,
        options: EngineOptions | None = None,
        observer: Observer | None = None,
        draft: Decoder | None = None,
    ) -> None:
        self.name = name
        self.network = network
        self.draft = draft
        self.text = text
        self.recommended = recommended or SamplingOptions()
        self.options = options or EngineOptions()
        self._observer = observer
        self._model = _Serial(network) if isinstance(network, Decoder) else None
        self._pooling = pooling or Pooling()
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._embedder: Embedder | None = None
        self._closed = False

    @property
    def config(self) -> ModelConfig:
        """Shape of the model."""
        return self.network.config

    @property
    def tokenizer(self) -> Tokenizer:
        """Text to token ids and back.

        Raises:
            TokenizerError: the model came without tokenizer files.
        """
        return self._require_text().tokenizer

    @property
    def template(self) -> ChatTemplate:
        """The chat template.

        Raises:
            TokenizerError: the model came without tokenizer files.
            TemplateError: the model came without a chat template.
        """
        text = self._require_text()
        if text.template is None:
            raise TemplateError(
                f"model {self.name!r} came without a chat template",
                hint="use generate() with a plain prompt, or add chat_template.jinja beside its weights",
            )
        return text.template

    @property
    def dialect(self) -> Dialect:
        """How the model writes reasoning and calls of functions.

        Raises:
            TokenizerError: the model came without tokenizer files.
        """
        return self._require_text().dialect

    @property
    def engine(self) -> Engine:
        """The engine that runs this model, started when it is first asked for.

        Raises:
            EngineStopped: the model is closed.
            InvalidRequest: an engine option is out of range.
            ConfigError: the model does not write text.
        """
        with self._lock:
            if self._closed:
                raise EngineStopped(f"model {self.name!r} is closed")
            if self._engine is None:
                self._engine = Engine(
                    self._decoder(),
                    sampler=NativeSampler(),
                    options=self.options,
                    detokeniser=None if self.text is None else self._continue_text,
                    end_ids=() if self.text is None else self.text.end_ids,
                    observer=self._observer,
                    draft=None if self.draft is None else DraftModel(self.draft, NativeSampler()),
                )
            return self._engine

    @overload
    def generate(
        self, prompt: str | Sequence[int], *, stream: Literal[False] = False, **options: Unpack[GenerationOptions]
    ) -> str: ...
    @overload
    def generate(
        self, prompt: str | Sequence[int], *, stream: Literal[True], **options: Unpack[GenerationOptions]
    ) -> Iterator[str]: ...
    def generate(
        self, prompt: str | Sequence[int], *, stream: bool = False, **options: Unpack[GenerationOptions]
    ) -> str | Iterator[str]:
        """Continue a text.

        Args:
            prompt: text, or token ids that are taken as they are.
            stream: return an iterator over pieces of the text as they become certain; closing it cancels.
            options: see `GenerationOptions`.

        Returns:
            The continuation, without the prompt.

        Raises:
            InvalidRequest: an option that cannot be honoured, or a prompt that does not fit (ContextExceeded).
            TokenizerError: the model came without tokenizer files.
        """
        tokenizer = self.tokenizer
        ids = tokenizer.encode(prompt) if isinstance(prompt, str) else list(prompt)
        return self._run(ids, stream, options)

    @overload
    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        stream: Literal[False] = False,
        **options: Unpack[GenerationOptions],
    ) -> str: ...
    @overload
    def chat(
        self, messages: Sequence[Mapping[str, Any]], *, stream: Literal[True], **options: Unpack[GenerationOptions]
    ) -> Iterator[str]: ...
    def chat(
        self, messages: Sequence[Mapping[str, Any]], *, stream: bool = False, **options: Unpack[GenerationOptions]
    ) -> str | Iterator[str]:
        """Answer a conversation.

        Args:
            messages: each with "role" and "content", as the model's template takes them. Names of control tokens in
                their texts are plain text.
            stream, options: as for `generate`.

        Returns:
            The assistant's answer, without what it thought before; `chat_events` has that as well.

        Raises:
            TemplateError: the model has no chat template, or it rejects the messages.
            InvalidRequest, TokenizerError: as for `generate`.
        """
        pieces = contents(self.chat_events(messages, **options))
        return pieces if stream else "".join(pieces)

    def chat_events(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        variables: Mapping[str, object] | None = None,
        **options: Unpack[GenerationOptions],
    ) -> Generator[Event]:
        """Answer a conversation: reasoning, content and calls of functions, as they come.

        Args:
            messages: as for `chat`; those of the role "tool" hold the results of calls.
            tools: functions that the model may call, in OpenAI's form, where its template has a place for them.
            variables: further variables that the template knows, such as enable_thinking.
            options: as for `generate`.

        Returns:
            An iterator over `freehold.text.dialects` events; closing it cancels.

        Raises:
            InvalidRequest: the model's template has no place for tools; or as for `chat`.
            TemplateError: as for `chat`.
        """
        template, dialect = self.template, self.dialect
        if tools and not (dialect.calls and abilities_of(template.render, dialect.efforts).tools):
            raise InvalidRequest(f"the chat template of {self.name!r} has no place for tools", parameter="tools")
        render = partial(template.render, variables=variables)
        prompt = conversation_prompt(self.tokenizer, dialect, render, messages, tools=tools)
        request = to_request(prompt.ids, options, self.recommended, shown=prompt.shown_ids)
        return events(self.engine.stream(request), prompt.parser())

    def close(self) -> None:
        """Cancel what is running and stop the engine. A second call does nothing."""
        with self._lock:
            self._closed = True
            engine = self._engine
        if engine is not None:
            engine.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def logits(self, sequences: Sequence[Sequence[int]]) -> list[npt.NDArray[np.float32]]:
        """Logits of every position of whole sequences.

        Args:
            sequences: token ids, each sequence at least one and at most context_length of them.

        Returns:
            For each sequence [tokens, vocabulary]; row i scores the token after position i.

        Raises:
            InvalidRequest: an empty sequence, or an id that is no token.
            ContextExceeded: a sequence is longer than the model's context.
        """
        decoder = self._decoder()
        limits = Limits(self.config.vocabulary, self.config.context_length, has_text=False)
        for sequence in sequences:
            check_sequence(sequence, limits)
        results: list[npt.NDArray[np.float32]] = []
        for group in in_groups(sequences, LOGITS_TOKENS):
            batch = Batch.whole(group)
            rows = self.network.ops.to_numpy(decoder.forward(batch, None))
            results.extend(np.split(rows, batch.offsets[1:-1]))
        return results

    def embed(
        self, texts: Sequence[str], *, truncate: bool = False, normalise: bool | None = None
    ) -> npt.NDArray[np.float32]:
        """A vector for each text, from a model that embeds.

        Args:
            texts: the texts. A text's vector does not depend on the others.
            truncate: cut texts that are longer than the model reads, instead of refusing them.
            normalise: whether vectors are brought to length 1; None for what the model's makers say.

        Returns:
            [texts, hidden] float32.

        Raises:
            ConfigError: the model writes text and does not embed.
            ContextExceeded: a text is too long.
            TokenizerError: the model came without tokenizer files.
        """
        if not isinstance(self.network, Encoder):
            raise ConfigError(
                f"{self.config.architecture} writes text; it does not embed",
                hint="take an encoder, such as bge or all-minilm; freehold models lists some",
            )
        with self._lock:
            if self._embedder is None:
                self._embedder = Embedder(self.network, self.tokenizer, self._pooling)
        return self._embedder.embed(texts, truncate=truncate, normalise=normalise)

    def _decoder(self) -> _Serial:
        require_decoder(self.network)
        assert self._model is not None
        return self._model

    def _require_text(self) -> Text:
        return require_text(self.name, self.text)

    def _run(self, prompt: list[int], stream: bool, options: GenerationOptions) -> str | Iterator[str]:
        pieces = texts(self.engine.stream(to_request(prompt, options, self.recommended)))
        return pieces if stream else "".join(pieces)

    def _continue_text(self, request: GenerationRequest) -> Detokeniser:
        """After a control token, such as the one that ends a chat template, a new text begins."""
        begins = request.prompt[-1] in self.tokenizer.special_tokens.values()
        return self.tokenizer.detokeniser(continues=not begins, shown=request.shown)


class _Serial:
    """A model whose forward passes never overlap: the engine's thread and callers of `logits` take turns."""

    def __init__(self, model: Decoder) -> None:
        self._model = model
        self._lock = threading.Lock()
        self.config = model.config
        self.ops = model.ops

    def forward(self, batch: Batch, caches: Sequence[LayerCache] | None) -> Array:
        with self._lock:
            return self._model.forward(batch, caches)

    def create_cache(self, blocks: int, block_size: int, states: int = 0) -> list[LayerCache]:
        return self._model.create_cache(blocks, block_size, states)

    def cache_bytes_per_token(self) -> int:
        return self._model.cache_bytes_per_token()

    def state_bytes_per_sequence(self) -> int:
        return self._model.state_bytes_per_sequence()
