"""The interactive chat of `freehold run`: reads lines, obeys commands that begin with a slash, prints answers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from freehold.cli.conversation import Conversation
from freehold.cli.output import print_error
from freehold.cli.settings import SettingError, Settings
from freehold.cli.showing import Display, show_end
from freehold.engine.types import FinishReason
from freehold.errors import FreeholdError

PROMPT = ">>> "
CONTINUED = "... "
QUOTES = '"""'

HELP = '''\
/set [NAME VALUE]   change a setting; alone, list them
/show               describe the model and this conversation
/clear              forget what was said
/help               print this
/bye                leave; so does Ctrl-D

""" begins a message of several lines and ends it. Ctrl-C stops an answer.'''


def chat(conversation: Conversation, verbose: bool) -> None:
    """Talk until the person leaves."""
    _enable_line_editing()
    session = _Session(conversation, Settings(conversation, verbose))
    print(f"{conversation.model.name}: type a message, /help for help, /bye to leave")
    while (message := _read_message()) is not None:
        if message.startswith("/"):
            if session.obey(message) is _LEAVE:
                return
        elif message.strip():
            session.answer(message)


_LEAVE = object()


@dataclass(frozen=True, slots=True)
class _Session:
    conversation: Conversation
    settings: Settings

    def answer(self, message: str) -> None:
        try:
            answer = self.conversation.reply(message, Display())
        except FreeholdError as error:
            print_error(error)
            return
        show_end(answer, self.settings.verbose)
        if answer.finish_reason is FinishReason.CANCELLED:
            print("stopped", file=sys.stderr)

    def obey(self, line: str) -> object:
        """Run a command; returns _LEAVE where it ends the chat."""
        name, _, rest = line.strip().partition(" ")
        commands: dict[str, Callable[[], object]] = {
            "/set": lambda: self._set(rest.strip()),
            "/show": self._show,
            "/clear": self._clear,
            "/help": lambda: print(HELP),
            "/?": lambda: print(HELP),
            "/bye": lambda: _LEAVE,
            "/exit": lambda: _LEAVE,
            "/quit": lambda: _LEAVE,
        }
        if name not in commands:
            print(f"there is no command {name}; /help lists them")
            return None
        return commands[name]()

    def _set(self, assignment: str) -> None:
        if not assignment:
            print(self.settings.listing())
            return
        try:
            self.settings.assign(assignment)
        except (SettingError, FreeholdError) as error:
            print(error)

    def _show(self) -> None:
        model = self.conversation.model
        print(f"{model.name}: {model.config.architecture}, context {model.engine.context_length} tokens")
        print(f"{self.conversation.turns} messages so far")
        print(self.settings.listing())

    def _clear(self) -> None:
        self.conversation.clear()
        print("forgotten")


def _read_message() -> str | None:
    """A line, or the lines between triple quotes; None at the end of the input."""
    try:
        line = input(PROMPT)
        if not line.lstrip().startswith(QUOTES):
            return line
        return _read_quoted(line.lstrip().removeprefix(QUOTES))
    except KeyboardInterrupt:
        print("\nCtrl-D or /bye leaves")
        return ""
    except EOFError:
        print()
        return None


def _read_quoted(first: str) -> str:
    lines = [first]
    while not lines[-1].rstrip().endswith(QUOTES):
        lines.append(input(CONTINUED))
    lines[-1] = lines[-1].rstrip().removesuffix(QUOTES)
    return "\n".join(lines).strip("\n")


def _enable_line_editing() -> None:
    """Arrow keys and earlier lines, where Python was built with readline."""
    try:
        import readline  # noqa: F401 - importing it is what changes input()
    except ImportError:
        return
