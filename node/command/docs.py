"""The table of commands as the COMMAND command tells it: all derived from the declarations.

What depends on the caller's protocol version (sets, maps) takes its encoder.

Source: https://redis.io/commands/command/, https://redis.io/commands/command-docs/
"""

from __future__ import annotations

from collections.abc import Iterable

from node.command.keyspec import KeyFlag, KeySpec
from node.command.registry import Command, Table, describe_begin, describe_find
from node.command.syntax import Argument
from node.command.syntaxes import arguments_of
from node.resp.encode import Encoder, array, bulk, bulks, integer, simple


def command_info(command: Command, encoder: Encoder) -> bytes:
    """The ten elements of COMMAND INFO."""
    first, last, step = command.legacy_range()
    spec = command.spec
    return array(
        [
            bulk(command.title),
            integer(command.arity),
            encoder.set([simple(name) for name in command.all_flags().names()]),
            integer(first),
            integer(last),
            integer(step),
            encoder.set([simple(category.encode()) for category in spec.acl_categories()]),
            encoder.set([bulk(tip.encode()) for tip in spec.tips]),
            encoder.set([_key_spec(key, encoder) for key in spec.keys]),
            _subcommands(command, encoder),
        ]
    )


def _subcommands(command: Command, encoder: Encoder) -> bytes:
    if not command.subcommands:
        return encoder.set([])
    return array([command_info(sub, encoder) for sub in command.subcommands.values()])


def _key_spec(spec: KeySpec, encoder: Encoder) -> bytes:
    fields = [(bulk(b"notes"), bulk(spec.notes.encode()))] if spec.notes else []
    return encoder.map(
        [
            *fields,
            (bulk(b"flags"), key_flags(spec.flags, encoder)),
            (bulk(b"begin_search"), _step(*describe_begin(spec.begin), encoder)),
            (bulk(b"find_keys"), _step(*describe_find(spec.find), encoder)),
        ]
    )


def _step(kind: bytes, values: list[tuple[bytes, int | bytes]], encoder: Encoder) -> bytes:
    spec = [
        (bulk(name), bulk(value) if isinstance(value, bytes) else integer(value)) for name, value in values
    ]
    return encoder.map([(bulk(b"type"), bulk(kind)), (bulk(b"spec"), encoder.map(spec))])


def key_flags(flags: KeyFlag, encoder: Encoder) -> bytes:
    """What is done to a key, in COMMAND INFO's words."""
    return encoder.set([simple(name) for name in flags.names()])


def command_docs(command: Command, encoder: Encoder) -> bytes:
    """The map of COMMAND DOCS."""
    spec = command.spec
    texts = [
        ("summary", spec.summary),
        ("since", spec.since),
        ("group", spec.group),
        ("complexity", spec.complexity),
        ("module", spec.module),
        ("deprecated_since", spec.deprecated_since),
        ("replaced_by", spec.replaced_by),
    ]
    fields = [(bulk(name.encode()), bulk(text.encode())) for name, text in texts if text]
    if spec.deprecated_since:
        fields.insert(-2, (bulk(b"doc_flags"), encoder.set([simple(b"deprecated")])))
    if spec.history:
        told = [bulks((since.encode(), change.encode())) for since, change in spec.history]
        fields.append((bulk(b"history"), encoder.set(told)))
    arguments = arguments_of(command.title.decode())
    if arguments:
        fields.append((bulk(b"arguments"), _arguments(arguments, encoder)))
    if command.subcommands:
        fields.append((bulk(b"subcommands"), docs_by_name(command.subcommands.values(), encoder)))
    return encoder.map(fields)


def _arguments(arguments: Iterable[Argument], encoder: Encoder) -> bytes:
    return array([_argument(argument, encoder) for argument in arguments])


def _argument(argument: Argument, encoder: Encoder) -> bytes:
    name = argument.name.encode()
    fields = [(bulk(b"name"), bulk(name)), (bulk(b"type"), bulk(argument.kind.encode()))]
    if argument.kind not in ("oneof", "block"):
        fields.append((bulk(b"display_text"), bulk(argument.shown.encode() or name)))
    if argument.key_spec >= 0:
        fields.append((bulk(b"key_spec_index"), integer(argument.key_spec)))
    if argument.token is not None:
        fields.append((bulk(b"token"), bulk(argument.token.encode())))
    flags = [
        (argument.optional, b"optional"),
        (argument.multiple, b"multiple"),
        (argument.repeats_token, b"multiple_token"),
    ]
    told = [simple(flag) for holds, flag in flags if holds]
    if told:
        fields.append((bulk(b"flags"), encoder.set(told)))
    if argument.parts:
        fields.append((bulk(b"arguments"), _arguments(argument.parts, encoder)))
    return encoder.map(fields)


def docs_by_name(commands: Iterable[Command], encoder: Encoder) -> bytes:
    """A map of names and their COMMAND DOCS."""
    return encoder.map([(bulk(command.title), command_docs(command, encoder)) for command in commands])


def in_category(table: Table, category: str) -> list[Command]:
    """The commands and subcommands of an ACL category, named without its @."""
    return [command for command in table.walk() if "@" + category in command.spec.acl_categories()]
