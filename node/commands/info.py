"""INFO: its sections are told by node.observe and by the services."""

from __future__ import annotations

from node.command.call import Call
from node.command.session import Block
from node.command.spec import LOADING, STALE, command
from node.keysizes import KeySizes
from node.observe.info import Info


@command(
    b"INFO", arity=-1, group="server", since="1.0.0", flags=LOADING | STALE, categories=("dangerous",),
    complexity="O(1)", needs=(Info, KeySizes),
    tips=("nondeterministic_output", "request_policy:all_shards", "response_policy:special"),
)  # fmt: skip
def info(info: Info, key_sizes: KeySizes, call: Call, argv: list[bytes]) -> bytes | Block:
    """Returns what there is to know about the server, in sections."""
    if any(word.lower() == b"keysizes" for word in argv[1:]):
        return key_sizes.answer(call.session, lambda: call.reply.verbatim(info.text(argv[1:])))
    return call.reply.verbatim(info.text(argv[1:]))
