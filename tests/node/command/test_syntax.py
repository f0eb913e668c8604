"""The notation for arguments, and that every command has its line in it."""

from __future__ import annotations

import pytest

from node.command.registry import Command
from node.command.spec import DECLARED
from node.command.syntax import Argument, parse
from node.command.syntaxes import arguments_of
from node.commands import load_all

load_all()
SERVED = [Command(spec, None) for spec in DECLARED if spec.handler is not None]
UNDESCRIBED = {b"cluster|syncslots", b"command", b"debug", b"quit", b"replconf"}
"""Redis 7.2 and Valkey do not describe theirs either."""
OPEN_ENDED = {b"psync"}
"""More arguments than are described are allowed."""


def test_values_have_a_type_and_what_is_shown() -> None:
    assert parse("key:k value seconds:i match:p/glob_pattern") == (
        Argument("key", "key", key_spec=0),
        Argument("value", "string"),
        Argument("seconds", "integer"),
        Argument("match", "pattern", shown="glob pattern"),
    )


def test_tokens_stand_alone_or_before_a_value() -> None:
    assert parse("[GET] [COUNT count:i] STREAMS streams=(key:k... id...)") == (
        Argument("get", "pure-token", "GET", optional=True),
        Argument("count", "integer", "COUNT", optional=True),
        Argument(
            "streams",
            "block",
            "STREAMS",
            parts=(
                Argument("key", "key", key_spec=0, multiple=True),
                Argument("id", "string", multiple=True),
            ),
        ),
    )


def test_choices_and_repetitions() -> None:
    (unit, patterns) = parse("unit=<'m' | any=* | EX seconds:i> [GET pattern:p,...]")
    assert unit.kind == "oneof"
    assert [(part.name, part.kind, part.token) for part in unit.parts] == [
        ("m", "pure-token", "m"),
        ("any", "pure-token", "*"),
        ("seconds", "integer", "EX"),
    ]
    assert (patterns.optional, patterns.multiple, patterns.repeats_token) == (True, True, True)


def test_keys_are_counted_unless_they_name_their_specification() -> None:
    assert [argument.key_spec for argument in parse("key:k destination:k2 [other:k]")] == [0, 2, 3]


@pytest.mark.parametrize("text", ["[key", "choice=<a | b", "a:x:y", "[a b]"])
def test_what_is_not_in_the_notation(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


@pytest.mark.parametrize("command", SERVED, ids=lambda command: command.title.decode())
def test_arguments_agree_with_the_arity(command: Command) -> None:
    """A request with every argument that is not optional is the shortest that the arity allows."""
    arguments = arguments_of(command.title.decode())
    least = command.title.count(b"|") + 1 + sum(argument.least_words() for argument in arguments)
    arity = command.arity
    if command.title in UNDESCRIBED:
        assert not arguments
        return
    assert least == abs(arity)
    if command.title not in OPEN_ENDED:
        assert (arity < 0) == any(argument.is_variable() for argument in arguments)


@pytest.mark.parametrize("command", SERVED, ids=lambda command: command.title.decode())
def test_keys_among_the_arguments_have_a_specification(command: Command) -> None:
    specs = len(command.spec.keys)

    def keys(arguments: tuple[Argument, ...]) -> list[int]:
        return [n for a in arguments for n in ([a.key_spec] if a.kind == "key" else keys(a.parts))]

    assert all(0 <= index < specs for index in keys(arguments_of(command.title.decode())))
