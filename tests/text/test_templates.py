"""Chat templates: what templates may rely on, and parity with `transformers` on every released one at hand."""

from __future__ import annotations

import datetime
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import Any

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from freehold.errors import TemplateError
from freehold.text import ChatTemplate
from tests.support.assets import ASSETS, asset_names

TWO_TURNS: list[dict[str, object]] = [
    {"role": "user", "content": "Hello, who are you?"},
    {"role": "assistant", "content": 'I am a <b>bot</b> & "helper".'},
    {"role": "user", "content": "Tell me more — d'accord? 日本"},
]
WEATHER: dict[str, object] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Looks up the weather <now>.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "a city"}},
            "required": ["city"],
        },
    },
}
TEMPLATES = [
    name
    for folder in ("llama.cpp", "axolotl", "trl", "mistral-common/chat_templates")
    for name in asset_names(f"templates/{folder}", "*.jinja")
]
# What a template needs beyond a plain conversation: it is made for tools, for images, or has variables of its own.
NEEDS_TOOLS = {
    "templates/llama.cpp/CohereForAI-c4ai-command-r-plus-tool_use.jinja",
    "templates/llama.cpp/NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use.jinja",
    "templates/llama.cpp/NousResearch-Hermes-3-Llama-3.1-8B-tool_use.jinja",
}
NEEDS_VARIABLES = {
    "templates/llama.cpp/fireworks-ai-llama-3-firefunction-v2.jinja": {"functions": "[]", "datetime": "now"},
}
NEEDS_BLOCKS = {"templates/trl/llava_next.jinja", "templates/trl/llava_next_training.jinja"}


def as_blocks(messages: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """The messages with their text in content blocks, as models that see images have it."""
    return [{**message, "content": [{"type": "text", "text": message["content"]}]} for message in messages]


@pytest.mark.skipif(not ASSETS.exists(), reason="needs the released templates, which are not beside this repository")
def test_there_are_templates() -> None:
    assert len(TEMPLATES) > 150


def rendered_by_transformers(
    source: str, messages: object, tools: object, *, prompt: bool = True, **variables: str
) -> str:
    """What `transformers` makes of a conversation. (Both take the date from the machine's clock.)"""
    rendering: Any = render_jinja_template  # its annotations do not fit what it returns
    texts, _ = rendering(
        [messages],
        tools=tools,
        chat_template=source,
        add_generation_prompt=prompt,
        bos_token="<s>",
        eos_token="</s>",
        **variables,
    )
    return str(texts[0])


@pytest.mark.parametrize("name", TEMPLATES)
def test_two_turns_render_as_in_transformers(name: str) -> None:
    source = (ASSETS / name).read_text()
    tools = [WEATHER] if name in NEEDS_TOOLS else None
    messages = as_blocks(TWO_TURNS) if name in NEEDS_BLOCKS else TWO_TURNS
    variables = NEEDS_VARIABLES.get(name, {})
    for prompt in (True, False):
        theirs = rendered_by_transformers(source, messages, tools, prompt=prompt, **variables)
        template = ChatTemplate(source, "<s>", "</s>")
        ours = template.render(messages, tools=tools, add_generation_prompt=prompt, variables=variables)
        assert ours == theirs


@pytest.mark.parametrize("name", TEMPLATES)
def test_tools_render_as_in_transformers(name: str) -> None:
    """Whatever a template makes of tools and tool calls: the same text, or an error in both."""
    source = (ASSETS / name).read_text()
    call = {"id": "abcdefghi", "type": "function", "function": {"name": "weather", "arguments": {"city": "Åbo"}}}
    messages: list[dict[str, object]] = [
        {"role": "user", "content": "Weather in Åbo?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "abcdefghi", "name": "weather", "content": "sunny"},
    ]
    try:
        theirs = rendered_by_transformers(source, messages, [WEATHER])
    except Exception:
        with pytest.raises(TemplateError):
            ChatTemplate(source, "<s>", "</s>").render(messages, tools=[WEATHER])
        return
    ours = ChatTemplate(source, "<s>", "</s>").render(messages, tools=[WEATHER])
    # Where a template marks JSON as safe, Jinja escapes the text it is added to for HTML. That is never meant.
    assert ours == theirs or "&#34;" in theirs


def render(source: str, messages: Sequence[Mapping[str, object]] = TWO_TURNS, **variables: object) -> str:
    return ChatTemplate(source, "<s>", "</s>").render(messages, variables=variables)


def test_blocks_are_trimmed_as_released_templates_expect() -> None:
    source = "{% for message in messages %}\n    {% if true %}\n{{ message.role }}\n    {% endif %}\n{% endfor %}\n"
    assert render(source) == "user\nassistant\nuser\n"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ {'b': 'é<>&', 'a': [1, none, true]} | tojson }}", '{"b": "é<>&", "a": [1, null, true]}'),
        ("{{ {'b': 1, 'a': 2} | tojson(indent=2) }}", '{\n  "b": 1,\n  "a": 2\n}'),
        ("{{ {'b': 1, 'a': 'é'} | tojson(sort_keys=true, ensure_ascii=true) }}", '{"a": "\\u00e9", "b": 1}'),
        ("{{ [1, 2] | tojson(separators=(',', ':')) }}", "[1,2]"),
        ("{{ [1, 2] | tojson(indent=0) }}", "[\n1,\n2\n]"),
        ("{% for i in range(9) %}{% if i == 2 %}{% continue %}{% elif i > 3 %}{% break %}{% endif %}{{ i }}"
         "{% endfor %}", "013"),
        ("{% generation %}a{{ messages[1].role }}{% endgeneration %}b", "aassistantb"),
        ("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "3"),
        ("{{ bos_token ~ messages|length ~ eos_token }}", "<s>3</s>"),
        ("{{ tools is none }} {{ documents is none }} {{ nothing is defined }}", "True True False"),
        ("{{ messages[0].missing }}|{{ messages[0]['missing'] }}|{{ messages[9] }}", "||"),
        ("{{ messages[0].content.split(' ')[0] }}{{ 'x'.join(['a', 'b']) }}{{ ' a '.strip() }}", "Hello,axba"),
        ("{{ messages | selectattr('role', 'equalto', 'user') | list | length }}", "2"),
        ("{{ messages | map(attribute='role') | join(', ') }}", "user, assistant, user"),
        ("{{ {'b': 1}.items() | list }}{{ {'b': 1} | dictsort }}{{ {'b': 1} | items | list }}", "[('b', 1)]" * 3),
        ("{{ messages | groupby('role') | map('first') | join(' ') }}", "assistant user"),
        ("{% for g in messages | groupby('role') %}{{ g.grouper }}{{ g.list | length }}{% endfor %}",
         "assistant1user2"),
        ("{% macro f(a, b=2) %}{{ a }}{{ b }}{{ varargs }}{% endmacro %}{{ f(1, 3, 4) }}", "13(4,)"),
        ("{% macro f() %}<{{ caller() }}>{% endmacro %}{% call f() %}x{% endcall %}", "<x>"),
        ("{{ 'a' ~ (1 + 1) }} {{ 2 ** 10 }} {{ 7 // 2 }} {{ 7 % 4 }} {{ (-3) | abs }}", "a2 1024 3 3 3"),
        ("{{ '%s is %d' % ('x', 3) }} {{ '%s' | format('y') }} {{ '{} {a}'.format(1, a=2) }}", "x is 3 y 1 2"),
        ("{{ '{a}'.format_map({'a': 5}) }}{{ 'abc' | replace('b', 'x') }}{{ 'abc'.replace('b', 'y', 1) }}", "5axcayc"),
        ("{{ ['b', 'a'] | sort | first }}{{ [1, 2, 3] | sum }}{{ 3.7 | round | int }}{{ 'x' | center(3) }}|",
         "a64 x |"),
        ("{{ 'a\nb' | indent(2) }}|{{ '  t ' | trim }}|{{ 'xxax' | trim('x') }}|{{ 'ab cd' | title }}",
         "a\n  b|t|a|Ab Cd"),
        ("{{ '<a>' | e }}{{ '<a>' | safe }}{{ '\"' + ([1] | tojson | safe) }}", "&lt;a&gt;<a>\"[1]"),
        ("{% set x %}a{{ 1 }}{% endset %}{{ x * 3 }}{{ [1] * 2 + [3] }}", "a1a1a1[1, 1, 3]"),
        ("{{ messages[::-1][0].role }}{{ messages[1:] | length }}{{ (1, 2) + (3,) }}{{ dict(a=1) }}",
         "user2(1, 2, 3){'a': 1}"),
        ("{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}", "aba"),
        ("{% for x in [[1, [2]]] recursive %}{{ loop(x) if x is iterable else x }}{% endfor %}", "12"),
        ("{{ loop is defined }}{% for x in 'ab' %}{{ loop.index0 }}{{ loop.last }}{{ loop.previtem }}{% endfor %}",
         "False0False1Truea"),
    ],
)  # fmt: skip
def test_what_templates_rely_on(source: str, expected: str) -> None:
    assert render(source) == expected


def test_a_template_refuses_messages_in_its_own_words() -> None:
    with pytest.raises(TemplateError, match=r"^Conversation roles must alternate!$"):
        render("{{ raise_exception('Conversation roles must alternate!') }}")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% if %}", "line 1 of the chat template"),
        ("a\n{{ 1 | nonsense }}", "line 2 of the chat template: No filter named 'nonsense'"),
        ("{{ missing.x.y }}", "the chat template fails: 'missing' is undefined"),
        ("{{ 1 / 0 }}", "the chat template fails: division by zero"),
        ("{{ 'a' + 1 }}", "the chat template fails: can only concatenate str"),
        ("{{ messages | join(1, 2, 3, 4) }}", "the chat template fails"),
        ("{% include 'other' %}", "the chat template fails: no loader"),
    ],
)
def test_failures_say_that_the_template_is_at_fault(source: str, message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        render(source)


def test_the_date_comes_from_the_clock_given() -> None:
    def clock() -> datetime.datetime:
        return datetime.datetime(2024, 7, 9, 15, 4, tzinfo=datetime.UTC)

    template = ChatTemplate("{{ strftime_now('%d %b %Y, %H:%M, %-d %%') }}", clock=clock)
    assert template.render([]) == "09 Jul 2024, 15:04, 9 %"


def test_templates_see_copies_of_plain_data() -> None:
    class Role(StrEnum):
        USER = "user"

    messages: list[dict[str, object]] = [{"role": Role.USER, "content": ("a", {"b": [1.5, None, True]})}]
    source = "{{ messages[0].role }} {{ messages[0].content }}"
    assert render(source, messages) == "user ['a', {'b': [1.5, None, True]}]"
    for odd in (object(), {1: "a"}, b"x", {"a": {1, 2}}):
        with pytest.raises(TemplateError, match="messages h"):
            render("x", [{"role": "user", "content": odd}])


def test_variables_cannot_take_the_place_of_what_render_gives() -> None:
    assert render("{{ enable_thinking }}", enable_thinking=False) == "False"
    assert render("{{ documents[0].text }}", documents=[{"text": "x"}]) == "x"
    for name in ("messages", "tools", "add_generation_prompt", "bos_token", "eos_token"):
        with pytest.raises(TemplateError, match=f"variable '{name}' cannot be set"):
            ChatTemplate("x").render([], variables={name: "y"})


def test_threads_render_at_once() -> None:
    template = ChatTemplate("{% for i in range(200) %}{{ messages[0].content }}{% endfor %}")
    texts = [str(number) for number in range(64)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda text: template.render([{"role": "user", "content": text}]), texts))
    assert found == [text * 200 for text in texts]


def test_jinja_is_not_imported_before_a_template_is_used() -> None:
    program = "import sys, freehold.text as text; t = text.ChatTemplate('x'); print('jinja2' in sys.modules)"
    path = ":".join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONPATH": path}
    )
    assert done.stdout.strip() == "False"
