"""Templates that try to reach out, to run for ever or to fill memory: a typed error each, in bounded time."""

from __future__ import annotations

import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.errors import TemplateError
from freehold.text import ChatTemplate
from freehold.text.sandbox.budget import MAX_OUTPUT, MAX_SOURCE, MAX_TOTAL, MAX_VALUE, RENDER_SECONDS

MESSAGES = [{"role": "user", "content": "hi"}]


def render(source: str) -> str:
    return ChatTemplate(source).render(MESSAGES)


REACHING_OUT = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__']['__mro__'] }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ joiner.__init__.__globals__ }}",
    "{{ namespace.__init__.__globals__['__builtins__'] }}",
    "{{ raise_exception.__globals__['__builtins__'].eval('1') }}",
    "{{ strftime_now.__closure__[0].cell_contents }}",
    "{{ messages | attr('__class__') | attr('__base__') }}{{ (messages | attr('__class__')).x }}",
    "{{ '{0.__class__.__mro__}'.format(messages) }}",
    "{{ '{0[0].__class__}'.format(messages) }}",
    "{{ '{x.__class__}'.format_map({'x': 1}) }}",
    "{{ [messages] | map(attribute='__class__') | map(attribute='__base__') | list | string ~ nothing.here }}",
    "{{ messages | map('attr', '__class__') | first | attr('mro') ~ nothing.here }}",
    "{{ self._TemplateReference__context.environment }}",
    "{{ loop.__class__ }}{% for x in [1] %}{{ loop.__class__.x }}{% endfor %}",
    "{% macro f() %}{% endmacro %}{{ f.__class__.x }}{{ f._func.__code__ }}",
    "{{ range.__class__.x }}",
    "{{ dict.__class__.x }}",
    "{{ (1).to_bytes(10, 'big') }}",
    "{{ 'x'.encode('idna') }}",
    "{{ 'x'.translate({120: 'y'}) }}",
    "{{ {}.fromkeys('ab') }}",
    "{{ lipsum() }}",
    "{{ [] | pprint }}",
    "{{ ['a'] | random }}",
    "{{ messages.append(1) }}",
    "{{ messages[0].update({'role': 'system'}) }}",
    "{{ messages[0].pop('role') }}",
    "{{ messages.clear() }}",
    "{% set messages.x = 1 %}",
    "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
    "{{ namespace(__class__=1) }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% from 'os' import path %}",
    "{% extends 'base' %}",
]
SHORT_OF_TIME = [
    "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
    "{% for a in range(100000) %}{% for b in range(100000) if false %}{% endfor %}{% endfor %}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "{% generation %}{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}{% endgeneration %}",
    "{% macro f() %}{% for a in range(99999) %}{{ caller() }}{% endfor %}{% endmacro %}"
    "{% call f() %}{% call f() %}{% endcall %}{% endcall %}",
    "{{ range(100000) | sort | reverse | list | sort | length }}" * 80,
    "{% for a in range(99999) %}{{ range(99999) | map('string') | select('equalto', 'x') | first }}{% endfor %}",
    "{% set c = cycler(*range(99999)) %}{% for a in range(99999) %}{{ c.next() and '' }}{% endfor %}" * 9,
]
DOUBLING = "{% set ns = namespace(x=START) %}{% for i in range(64) %}STEP{% endfor %}END"
DOUBLINGS = [
    ("'a'", "{% set ns.x = ns.x + ns.x %}", ""),
    ("'a'", "{% set ns.x = ns.x ~ ns.x %}", ""),
    ("'a'", "{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}", ""),
    ("'a'", "{% set ns.x = [ns.x, ns.x] | join %}", ""),
    ("'a'", "{% set ns.x = ''.join([ns.x, ns.x]) %}", ""),
    ("'a'", "{% set ns.x = '%s%s' % (ns.x, ns.x) %}", ""),
    ("'a'", "{% set ns.x = '%s%s' | format(ns.x, ns.x) %}", ""),
    ("'a'", "{% set ns.x = '%(a)s%(a)s' % {'a': ns.x} %}", ""),
    ("'a'", "{% set ns.x = '{0}{0}'.format(ns.x) %}", ""),
    ("'a'", "{% set ns.x = '{a}{a}'.format_map({'a': ns.x}) %}", ""),
    ("'aaaa'", "{% set ns.x = ns.x.replace('a', ns.x) %}", ""),
    ("'aaaa'", "{% set ns.x = ns.x | replace('a', ns.x) %}", ""),
    ("'a'", "{% set ns.x = ns.x * 2 %}", ""),
    ("'a'", "{% set ns.x = ns.x.join(['', '', '']) %}", ""),
    ("'a'", "{% set ns.x %}{% filter replace('a', 'aa') %}{{ ns.x }}{% endfilter %}{% endset %}", ""),
    ("[1]", "{% set ns.x = ns.x + ns.x %}", "{{ ns.x }}"),
    ("[1]", "{% set ns.x = [ns.x, ns.x] %}", "{{ ns.x }}"),
    ("[1]", "{% set ns.x = [ns.x, ns.x] %}", "{{ ns.x | tojson }}"),
    ("[1]", "{% set ns.x = [ns.x, ns.x] %}", "{{ ns.x == [ns.x, ns.x] }}"),
    ("[1]", "{% set ns.x = [ns.x, ns.x] | list %}", "{{ ns.x | string }}"),
    ("(1,)", "{% set ns.x = (ns.x, ns.x) %}", "{{ {ns.x: 1} }}"),
    ("{}", "{% set ns.x = {'a': ns.x, 'b': ns.x} %}", "{{ ns.x }}"),
    ("{}", "{% set ns.x = dict(a=ns.x, b=ns.x) %}", "{{ ns.x ~ '' }}"),
    ("{}", "{% set ns.x = {'a': ns.x.items(), 'b': ns.x.items()} %}", "{{ ns.x }}"),
    ("{}", "{% set ns.x = {'a': ns.x.values(), 'b': ns.x.values()} %}", "{{ '%s' % ns.x }}"),
    ("[[1]]", "{% set ns.x = (ns.x + ns.x) | map('first') | list + [ns.x, ns.x] %}", "{{ ns.x }}"),
    ("7", "{% set ns.x = ns.x * ns.x %}", "{{ ns.x }}"),
    ("7", "{% set ns.x = ns.x ** 9 %}", "{{ ns.x }}"),
]
OUT_OF_PROPORTION = [
    "{{ 'a' * 10 ** 9 }}",
    "{{ 10 ** 9 * 'a' }}",
    "{{ [1] * 10 ** 9 }}",
    "{{ (1,) * 10 ** 9 }}",
    "{{ 10 ** (10 ** 8) }}",
    "{% set x = ('f' * 1000000) | int(base=16) %}{{ x // 3 }}",
    "{{ range(10 ** 9) | list }}",
    "{{ range(10 ** 30) }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '%*d' % (1000000000, 1) }}",
    "{{ '%.1000000000f' % 1.5 }}",
    "{{ '%9999d' * 1000 % ((1,) * 1000) }}",
    "{{ '{:>1000000000}'.format(1) }}",
    "{{ '{:>{w}}'.format(1, w=1000000000) }}",
    "{{ '{:.1000000000f}'.format(1.5) }}",
    "{{ 'a'.ljust(10 ** 9) }}",
    "{{ 'a'.rjust(10 ** 9) }}",
    "{{ ('a' | e).ljust(10 ** 9) }}",
    "{{ ('a' | attr('ljust'))(10 ** 9) }}",
    "{% autoescape true %}{% set x %}a{% endset %}{{ x.ljust(10 ** 9) }}{% endautoescape %}",
    "{% autoescape true %}{% set x %}a{% endset %}{{ x.replace('a', 'a' * 1000000).replace('a', x * 1000000) }}"
    "{% endautoescape %}",
    "{{ 'a'.center(10 ** 9) }}",
    "{{ 'a' | center(10 ** 9) }}",
    "{{ 'a'.zfill(10 ** 9) }}",
    "{{ ('\t' * 1000).expandtabs(10 ** 7) }}",
    "{{ ('\n' * 1000) | indent(10 ** 7) }}",
    "{{ ('\n' * 1000) | indent('x' * 1000000) }}",
    "{{ [[[1]]] | tojson(indent=10 ** 8) }}",
    "{{ range(99999) | list | tojson(indent=60) }}",
    "{{ [1, 2] | tojson(separators=('x' * 1000000, 'y')) }}",
    "{{ 1 | round(10 ** 9, 'ceil') }}",
    "{{ ('a' * 1000000).replace('a', 'b' * 1000000) }}",
    "{{ ('a' * 1000000).replace('', 'b' * 1000000) }}",
    "{{ ('a' * 1000000).join(range(99999) | map('string')) }}",
    "{{ range(99999) | join('a' * 1000000) }}",
    "{{ ('a' * 1000000).rfind('b' + 'a' * 500000) }}",
    "{{ ('a' * 1000000).rsplit('b' + 'a' * 500000) }}",
    "{{ ('a' * 1000000).strip('b' * 500000 + 'a') }}",
    "{{ ('a' * 1000000) | trim('b' * 500000 + 'a') }}",
    "{{ ('a ' * 900000).split() | length }}",
    "{{ ('a,' * 900000).split(',') | length }}",
    "{{ ('a\n' * 900000).splitlines() | length }}",
    "{{ ('a' * 1900000) | list | length }}",
    "{{ ('a ' * 900000) | title }}",
    "{{ ([[1]] * 9999) | sum(start=[]) }}",
    "{{ strftime_now('%1000000000Y') }}",
    "{{ strftime_now('%Y' * 10000) }}",
    "{% macro f(x) %}{% for i in range(99999) %}{{ x }}{% endfor %}{% endmacro %}{{ f('a' * 1000000) }}",
]
OUTPUT = [
    "{% for i in range(99999) %}aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa{% endfor %}",
    "{{ 'a' * 1048577 }}",
    "{{ '日' * 349526 }}",
]
DEEP = [
    "{{ " + "(" * 4000 + "1" + ")" * 4000 + " }}",
    "{{ " + "[" * 500 + "]" * 500 + " }}",
    "{% if 1 %}" * 1500 + "{% endif %}" * 1500,
    "{{ 1" + "+1" * 8000 + " }}",
    "{{ " + "not " * 8000 + "1 }}",
    "{{ a" + ".a" * 8000 + " }}",
    "{{ a" + "|e" * 8000 + " }}",
    "{{ [" + "a," * 30000 + "] }}",
    "{{a}}" * 12000,
    "x" * (MAX_SOURCE + 1),
]
RECURSIVE = [
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% macro f() %}{{ f(varargs, varargs) }}{% endmacro %}{{ f(1, 1) }}",
    "{% macro f() %}{{ f(a=kwargs, b=kwargs) }}{% endmacro %}{{ f(a=1) }}",
    "{% block a %}{{ self.a() }}{{ self.a() }}{% endblock %}",
    "{% for a in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
]


@pytest.mark.parametrize("source", REACHING_OUT)
def test_nothing_outside_can_be_reached(source: str) -> None:
    try:
        text = render(source)
    except TemplateError:
        return
    assert text.strip() in ("", "[]")  # what may not be read is undefined, and prints as nothing


@pytest.mark.parametrize("source", SHORT_OF_TIME)
def test_time_is_bounded(source: str) -> None:
    started = time.thread_time()
    with pytest.raises(TemplateError, match="more than 200 ms of processor time"):
        render(source)
    assert time.thread_time() - started < RENDER_SECONDS + 1.0  # compiling, and the operation under way at the end


@pytest.mark.parametrize("parts", DOUBLINGS)
def test_values_cannot_grow_without_bound(parts: tuple[str, str, str]) -> None:
    start, step, end = parts
    bounded(DOUBLING.replace("START", start).replace("STEP", step).replace("END", end))


@pytest.mark.parametrize("source", OUT_OF_PROPORTION)
def test_operations_cannot_cost_more_than_they_are_given(source: str) -> None:
    bounded(source)


@pytest.mark.parametrize("source", DEEP)
def test_the_source_is_bounded(source: str) -> None:
    bounded(source)


@pytest.mark.parametrize("source", RECURSIVE)
def test_recursion_ends(source: str) -> None:
    bounded(source)


@pytest.mark.parametrize("source", OUTPUT)
def test_output_is_bounded(source: str) -> None:
    with pytest.raises(TemplateError, match=f"more than {MAX_OUTPUT} bytes|characters, more than {MAX_VALUE}"):
        render(source)


def test_the_sum_of_all_values_is_bounded() -> None:
    source = "{% set big = 'a' * 1000000 %}" + "".join(f"{{% set x{i} = big ~ {i} %}}" for i in range(300))
    bounded(source, memory=MAX_TOTAL + (16 << 20))


def bounded(source: str, memory: int = 64 << 20) -> None:
    """Rendering ends in an error, within about a second of processor time and that much memory."""
    started = time.thread_time()
    tracemalloc.start()
    try:
        with pytest.raises(TemplateError):
            render(source)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert time.thread_time() - started < 4.0  # four times as much, since memory is being traced
    assert peak < memory


def test_output_up_to_the_limit_is_fine() -> None:
    assert len(render("{{ 'a' * 1048576 }}")) == MAX_OUTPUT
    assert len(render("{{ '日' * 349525 }}").encode()) == MAX_OUTPUT - 1


def test_messages_that_are_too_large_are_refused() -> None:
    with pytest.raises(TemplateError, match="more than"):
        ChatTemplate("x").render([{"role": "user", "content": "a" * (MAX_VALUE + 1)}])
    nested: list[object] = []
    for _ in range(5000):
        nested = [nested]
    with pytest.raises(TemplateError, match="recursion"):
        ChatTemplate("x").render([{"role": "user", "content": nested}])


def test_a_long_conversation_renders_in_time() -> None:
    source = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}"
    messages = [{"role": "user", "content": "Is this long? " * 10}] * 4000
    assert len(ChatTemplate(source).render(messages)) > 500_000


def test_a_failed_rendering_leaves_the_next_one_alone() -> None:
    template = ChatTemplate("{% if messages[0].content == 'bad' %}{{ 'a' * 10 ** 9 }}{% endif %}ok")
    for _ in range(3):
        with pytest.raises(TemplateError):
            template.render([{"role": "user", "content": "bad"}])
        assert template.render(MESSAGES) == "ok"


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="{}%# -|.()[]'\"~+*/=<>abifxrnoset0123456789\n,", max_size=80))
def test_any_source_renders_or_is_refused(source: str) -> None:
    outcome(lambda: render(source))


fragments = st.sampled_from([
    "{{ ", " }}", "{% for x in ", " %}", "{% endfor %}", "{% set x = ", "{% if ", "{% endif %}", "messages", "x", "[",
    "]", "(", ")", "{", "}", ",", ":", " ~ ", " + ", " * ", " ** ", " % ", "|tojson", "|list", "|join", "'a'", "9",
    "99999", "range(", ".items()", ".split(", "namespace(", "{% macro f(a) %}", "{% endmacro %}", "f(", " is defined",
])  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(fragments, max_size=25).map("".join))
def test_any_program_renders_or_is_refused(source: str) -> None:
    outcome(lambda: render(source))


def outcome(action: Callable[[], object]) -> None:
    started = time.thread_time()
    with suppress(TemplateError):
        action()
    assert time.thread_time() - started < 1.5


def test_hostile_templates_open_start_and_import_nothing() -> None:
    """Under an audit hook: no file is opened, no process started, nothing executed or imported while they render."""
    program = """
import sys
from freehold.errors import TemplateError
from freehold.text import ChatTemplate
from tests.text.test_sandbox import REACHING_OUT, MESSAGES
for source in ("{{ strftime_now('%Y') }}{{ messages | tojson(indent=2) }}", "{% if %}"):
    try:
        ChatTemplate(source).render(MESSAGES)  # what is only imported when needed
    except TemplateError:
        pass
seen = []
forbidden = ("open", "exec", "import", "subprocess", "socket", "os.", "ctypes", "shutil", "pickle")
def hook(event, arguments):
    if event == "exec" and arguments[0].co_filename in ("<template>", "<unknown>"):
        return  # Jinja runs what it has compiled from the template, or raises its error as if from there
    if event.startswith(forbidden):
        seen.append((event, str(arguments)[:80]))
for source in REACHING_OUT:
    if source == REACHING_OUT[0]:
        sys.addaudithook(hook)
    try:
        ChatTemplate(source).render(MESSAGES)
    except TemplateError:
        pass
print(len(REACHING_OUT), seen)
"""
    path = ":".join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONPATH": path}
    )
    assert done.stdout.strip() == f"{len(REACHING_OUT)} []"
