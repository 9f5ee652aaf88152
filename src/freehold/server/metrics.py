"""Prometheus metrics, in a registry of their own for each application.

Names begin with `freehold_`. The common ones are also there under the names that dashboards and load balancers made for
vLLM read; an alias repeats the very same samples, so the two can never disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from freehold.engine.observer import EngineStats, Observer
from freehold.engine.types import FinishReason, Usage

_MOMENTS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)
_WAITS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)

ALIASES: Mapping[str, str] = {
    "freehold_requests_running": "vllm:num_requests_running",
    "freehold_requests_waiting": "vllm:num_requests_waiting",
    "freehold_cache_usage_ratio": "vllm:kv_cache_usage_perc",
    "freehold_preemptions": "vllm:num_preemptions",
    "freehold_prompt_tokens": "vllm:prompt_tokens",
    "freehold_generated_tokens": "vllm:generation_tokens",
    "freehold_drafted_tokens": "vllm:spec_decode_num_draft_tokens",
    "freehold_accepted_tokens": "vllm:spec_decode_num_accepted_tokens",
    "freehold_time_to_first_token_seconds": "vllm:time_to_first_token_seconds",
    "freehold_time_per_output_token_seconds": "vllm:time_per_output_token_seconds",
    "freehold_queue_seconds": "vllm:request_queue_time_seconds",
    "freehold_generation_seconds": "vllm:e2e_request_latency_seconds",
    "freehold_requests_finished": "vllm:request_success",
}
"""Our family names, without the suffixes of their samples, and vLLM's."""

# (name, help, attribute of EngineStats)
_GAUGES = (
    ("freehold_requests_running", "Sequences being computed.", "running"),
    ("freehold_requests_waiting", "Sequences in the queue.", "waiting"),
    ("freehold_cache_blocks", "Cache blocks there are.", "blocks_total"),
    ("freehold_cache_blocks_used", "Cache blocks that running sequences hold.", "blocks_used"),
    ("freehold_cache_blocks_kept", "Cache blocks kept for later prompts with the same beginning.", "blocks_cached"),
    ("freehold_cache_blocks_free", "Empty cache blocks.", "blocks_free"),
)
_COUNTERS = (
    ("freehold_preemptions", "Times a running sequence gave its cache blocks back.", "preemptions"),
    ("freehold_prompt_tokens", "Tokens in prompts.", "prompt_tokens"),
    ("freehold_cached_prompt_tokens", "Prompt tokens taken from the prefix cache.", "cached_tokens"),
    ("freehold_generated_tokens", "Tokens generated.", "generated_tokens"),
)
# The same, by what guessed the tokens.
_DRAFT_COUNTERS = (
    ("freehold_drafted_tokens", "Tokens computed on the guess that they come next.", "drafted"),
    ("freehold_accepted_tokens", "Drafted tokens that came.", "accepted"),
)


class Metrics:
    """The metrics of one application."""

    def __init__(self) -> None:
        self._inner = CollectorRegistry()
        self._engines: dict[str, Callable[[], EngineStats]] = {}
        self._inner.register(_EngineCollector(self._engines))
        self.http_requests = Counter(
            "freehold_http_requests", "HTTP requests.", ("method", "route", "status"), registry=self._inner
        )
        self.http_seconds = Histogram(
            "freehold_http_seconds", "Duration of HTTP requests.", ("route",), buckets=_WAITS, registry=self._inner
        )
        self.rejections = Counter(
            "freehold_admission_rejections", "Requests refused for want of a permit.", ("model_name",),
            registry=self._inner,
        )  # fmt: skip
        self._first_token = self._histogram("freehold_time_to_first_token_seconds", "Until the first token.", _WAITS)
        self._next_token = self._histogram("freehold_time_per_output_token_seconds", "Between tokens.", _MOMENTS)
        self._queue = self._histogram("freehold_queue_seconds", "From submission to the first step.", _WAITS)
        self._total = self._histogram("freehold_generation_seconds", "From submission to the end.", _WAITS)
        self._finished = Counter(
            "freehold_requests_finished", "Sequences that ended.", ("model_name", "finished_reason"),
            registry=self._inner,
        )  # fmt: skip
        self._outer = CollectorRegistry()
        self._outer.register(_WithAliases(self._inner))

    def observer(self, model: str) -> Observer:
        """What to give to the engine that serves this model."""
        return _EngineObserver(
            self._queue.labels(model),
            self._first_token.labels(model),
            self._next_token.labels(model),
            self._total.labels(model),
            {reason: self._finished.labels(model, reason.value) for reason in FinishReason},
        )

    def watch(self, model: str, stats: Callable[[], EngineStats]) -> None:
        """Report an engine's totals under a model's name from now on."""
        self._engines[model] = stats

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self._outer)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, ("model_name",), buckets=buckets, registry=self._inner)


class _EngineObserver(Observer):
    def __init__(
        self,
        queue: Histogram,
        first: Histogram,
        following: Histogram,
        total: Histogram,
        finished: Mapping[FinishReason, Counter],
    ) -> None:
        self._queue = queue
        self._first = first
        self._following = following
        self._total = total
        self._finished = finished

    def started(self, queued: float) -> None:
        self._queue.observe(queued)

    def first_token(self, since_submit: float) -> None:
        self._first.observe(since_submit)

    def next_token(self, since_previous: float) -> None:
        self._following.observe(since_previous)

    def finished(self, reason: FinishReason, usage: Usage, since_submit: float) -> None:
        self._total.observe(since_submit)
        self._finished[reason].inc()


class _EngineCollector(Collector):
    """Reads the engines' own totals whenever Prometheus asks."""

    def __init__(self, engines: Mapping[str, Callable[[], EngineStats]]) -> None:
        self._engines = engines

    def collect(self) -> Iterator[Metric]:
        stats = {model: read() for model, read in list(self._engines.items())}
        for name, text, attribute in _GAUGES:
            gauge = GaugeMetricFamily(name, text, labels=("model_name",))
            for model, snapshot in stats.items():
                gauge.add_metric((model,), getattr(snapshot, attribute))
            yield gauge
        for name, text, attribute in _COUNTERS:
            counter = CounterMetricFamily(name, text, labels=("model_name",))
            for model, snapshot in stats.items():
                counter.add_metric((model,), getattr(snapshot, attribute))
            yield counter
        for name, text, attribute in _DRAFT_COUNTERS:
            counter = CounterMetricFamily(name, text, labels=("model_name", "source"))
            for model, snapshot in stats.items():
                for source, tokens in getattr(snapshot, attribute).items():
                    counter.add_metric((model, source), tokens)
            yield counter
        usage = GaugeMetricFamily("freehold_cache_usage_ratio", "Share of cache blocks held.", labels=("model_name",))
        for model, snapshot in stats.items():
            usage.add_metric((model,), snapshot.blocks_used / max(1, snapshot.blocks_total))
        yield usage


class _WithAliases(Collector):
    """Every family of a registry, the common ones a second time under vLLM's names."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            yield family
            if family.name in ALIASES:
                yield _renamed(family, ALIASES[family.name])

    def describe(self) -> list[Metric]:
        return []  # asked at registration, before there is an engine to read


def _renamed(family: Metric, name: str) -> Metric:
    alias = Metric(name, f"Alias of {family.name}, by vLLM's name.", family.type)
    for sample in family.samples:
        alias.samples.append(sample._replace(name=name + sample.name.removeprefix(family.name)))
    return alias


async def endpoint(request: Request) -> Response:
    """GET /metrics."""
    metrics: Metrics = request.app.state.server.metrics
    return Response(metrics.render(), media_type=CONTENT_TYPE_LATEST)
