"""Jinja, set up for chat templates as `transformers` sets it up, and bounded."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache, update_wrapper
from itertools import islice
from types import BuiltinMethodType, MethodType
from typing import Any

from jinja2 import Template, TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedFormatter
from jinja2.utils import Cycler, Joiner, Namespace
from jinja2.visitor import NodeTransformer

from freehold.errors import TemplateError
from freehold.text.sandbox.budget import (
    COMPILE_SECONDS,
    MAX_ITEMS,
    MAX_SOURCE,
    MAX_TOKENS,
    budget,
    spending,
    weighed,
)
from freehold.text.sandbox.filters import filters
from freehold.text.sandbox.operations import METHODS, binary, check_string_call, check_widths, joined, shown

# Names with a space in them: no template can spell them.
_WEIGHED, _JOINED = "weighed value", "joined values"
_RUNTIME_TYPES = (LoopContext, Macro, Namespace, Cycler, Joiner, Undefined)
_FROM_JINJA = frozenset({"_loop_vars", "_block_vars"})  # passed along with every call, and removed again by Jinja
_TIME_FORMAT = re.compile(r"(?:[^%]|%[-_0^#]?[A-Za-z%])*")  # no widths: "%1000000000Y" is a valid format


class SandboxEnvironment(ImmutableSandboxedEnvironment):
    """The environment in which all chat templates run."""

    intercepted_binops = frozenset({"+", "*", "%", "**"})
    concat = staticmethod(joined)

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,  # constants are computed when rendering, under its budget
            finalize=shown,
            extensions=[GenerationExtension, LoopControlExtension],
        )
        self.filters = {**filters(), _WEIGHED: weighed, _JOINED: joined}
        self.globals = {
            "range": _range,
            "dict": _dictionary,
            "namespace": TemplateNamespace,
            "cycler": Cycler,
            "joiner": Joiner,
            "raise_exception": _raise_exception,
        }

    @property
    def tick(self) -> None:
        """Checks the time. A property, because the compiled template reads it as a statement of its own."""
        budget().tick()

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        bounded: nodes.Template = _Bounding().visit(tree)
        return bounded

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if not super().is_safe_attribute(obj, attr, value):
            return False
        for kind, allowed in METHODS.items():
            if isinstance(obj, kind):
                return attr in allowed
        return isinstance(obj, _RUNTIME_TYPES)

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        return self.undefined(f"the attribute {attribute!r} is not for templates", exc=SecurityError)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        return binary(operator, left, right)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        budget().tick()
        if isinstance(__obj, (BuiltinMethodType, MethodType)) and isinstance(__obj.__self__, str):
            named = {name: value for name, value in kwargs.items() if name not in _FROM_JINJA}
            args = check_string_call(__obj.__self__, __obj.__name__, args, named)
        elif isinstance(__obj, Macro):
            args = tuple(weighed(value) for value in args)
            kwargs = {name: weighed(value) for name, value in kwargs.items()}
        return weighed(super().call(__context, __obj, *args, **kwargs))

    def call_filter(self, name: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        budget().tick()
        return super().call_filter(name, value, *args, **kwargs)

    def call_test(self, name: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        budget().tick()
        return super().call_test(name, value, *args, **kwargs)

    def getitem(self, obj: Any, argument: Any) -> Any:
        budget().tick()
        return super().getitem(obj, argument)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        if super().wrap_str_format(value) is None:
            return None
        text: str = value.__self__
        takes_mapping = value.__name__ == "format_map"

        def formatted(*args: Any, **kwargs: Any) -> str:
            values = args[0] if takes_mapping and args else kwargs
            return _BoundedFormatter(self).vformat(text, () if takes_mapping else args, values)

        return update_wrapper(formatted, value)


class _BoundedFormatter(SandboxedFormatter):
    """`str.format` that reaches no hidden attributes and makes no outsize fields."""

    def format_field(self, value: Any, format_spec: str) -> Any:
        check_widths(format_spec)
        budget().tick()
        shown(value)
        text = super().format_field(value, format_spec)
        budget().charge(len(text))
        return text

    def convert_field(self, value: Any, conversion: Any) -> Any:
        return super().convert_field(shown(value), conversion)


class _Bounding(NodeTransformer):
    """Puts the checks into a template that Jinja offers no hook for."""

    def generic_visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> nodes.Node:
        super().generic_visit(node, *args, **kwargs)
        match node:
            case nodes.For() | nodes.Macro() | nodes.CallBlock():
                tick = nodes.EnvironmentAttribute("tick", lineno=node.lineno)
                node.body.insert(0, nodes.ExprStmt(tick, lineno=node.lineno))
            case nodes.List() | nodes.Dict():
                return self._weighed(node)
            case nodes.Tuple(ctx="load"):
                return self._weighed(node)
            case nodes.Concat():
                parts = nodes.Tuple(node.nodes, "load", lineno=node.lineno)
                return nodes.Filter(parts, _JOINED, [], [], None, None, lineno=node.lineno)
        return node

    def _weighed(self, node: nodes.Expr) -> nodes.Expr:
        if all(isinstance(child, (nodes.Const, nodes.TemplateData)) for child in node.iter_child_nodes()):
            return node  # as large as its source
        return nodes.Filter(node, _WEIGHED, [], [], None, None, lineno=node.lineno)


class GenerationExtension(Extension):
    """`{% generation %}...{% endgeneration %}`: marks what the model says, for training; renders what is inside."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


class TemplateNamespace(Namespace):
    """`namespace(...)`: what a template may assign to. It prints as a constant, because it may contain itself."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, values = args[0], dict(*args[1:], **kwargs)
        Namespace.__init__(self, {_public(name): value for name, value in values.items()})

    def __setitem__(self, name: str, value: Any) -> None:
        Namespace.__setitem__(self, _public(name), value)

    def __repr__(self) -> str:
        return "<Namespace>"


def _public(name: object) -> str:
    if isinstance(name, str) and not name.startswith("_"):
        return name
    raise TemplateError(f"the chat template's namespace has the attribute {name!r:.40}, which it may not use")


def _dictionary(*args: Any, **kwargs: Any) -> object:
    return weighed(dict(*args, **kwargs))


def _range(*bounds: int) -> range:
    found = range(*bounds)
    try:
        length = len(found)
    except OverflowError:
        length = MAX_ITEMS + 1
    if length > MAX_ITEMS:
        raise TemplateError(f"the chat template counts over more than {MAX_ITEMS} numbers")
    return found


def _raise_exception(message: object) -> None:
    raise TemplateError(str(shown(message))[:1000])


def strftime_with(clock: Callable[[], datetime]) -> Callable[[str], str]:
    """`strftime_now`: the present time in a format, for templates that tell the model the date."""

    def strftime_now(form: str) -> str:
        if len(form) > 256 or not _TIME_FORMAT.fullmatch(form):
            raise TemplateError(f"the chat template formats the time by {form!r:.80}, which is not supported")
        return clock().strftime(form)

    return strftime_now


@lru_cache(maxsize=64)
def compiled(source: str) -> Template:
    """A template, compiled.

    Raises:
        TemplateError: too long, or not a template.
    """
    if len(source) > MAX_SOURCE:
        raise TemplateError(f"the chat template has {len(source)} characters, more than {MAX_SOURCE}")
    environment = _shared_environment()
    try:
        if sum(1 for _ in islice(environment.lex(source), MAX_TOKENS + 1)) > MAX_TOKENS:
            raise TemplateError(f"the chat template has more than {MAX_TOKENS} words and signs")
        with spending(COMPILE_SECONDS):
            return environment.from_string(source)
    except TemplateSyntaxError as error:
        raise TemplateError(f"line {error.lineno} of the chat template: {error.message}") from error
    except (RecursionError, MemoryError, SyntaxError, ValueError, TypeError) as error:
        raise TemplateError(f"the chat template cannot be compiled: {error}") from error


@lru_cache(maxsize=1)
def _shared_environment() -> SandboxEnvironment:
    return SandboxEnvironment()
