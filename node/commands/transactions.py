"""The commands of the group transactions: see node.transactions.

Source: https://redis.io/commands/?group=transactions
"""

from __future__ import annotations

from node.command.call import Call
from node.command.keyspec import keys
from node.command.spec import ALLOW_BUSY, FAST, LOADING, NOSCRIPT, RO, SKIP_SLOWLOG, STALE, command
from node.errors import CommandError
from node.resp.encode import OK, array
from node.transactions import Transactions

_FLAGS = NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY
_CATEGORIES = ("transaction",)


@command(
    b"MULTI", arity=1, group="transactions", since="1.2.0", flags=_FLAGS, categories=_CATEGORIES,
    complexity="O(1)", needs=Transactions,
)  # fmt: skip
def multi(transactions: Transactions, call: Call, _argv: list[bytes]) -> bytes:
    """Starts a transaction."""
    transactions.begin(call.session)
    return OK


@command(
    b"EXEC", arity=1, group="transactions", since="1.2.0", flags=NOSCRIPT | LOADING | STALE | SKIP_SLOWLOG,
    categories=_CATEGORIES, complexity="Depends on commands in the transaction", needs=Transactions,
)  # fmt: skip
def exec_(transactions: Transactions, call: Call, _argv: list[bytes]) -> bytes:
    """Executes all commands of a transaction."""
    replies = transactions.execute(call.session)
    return call.reply.null_array if replies is None else array(replies)


@command(
    b"DISCARD", arity=1, group="transactions", since="2.0.0", flags=_FLAGS, categories=_CATEGORIES,
    complexity="O(N), when N is the number of queued commands", needs=Transactions,
)  # fmt: skip
def discard(transactions: Transactions, call: Call, _argv: list[bytes]) -> bytes:
    """Forgets the commands of a transaction, and what is watched."""
    if call.session.queue is None:
        raise CommandError(b"ERR DISCARD without MULTI")
    transactions.discard(call.session)
    return OK


@command(
    b"WATCH", arity=-2, group="transactions", since="2.2.0", flags=_FLAGS, categories=_CATEGORIES,
    keys=[keys(1, RO)], complexity="O(1) for every key.", needs=Transactions,
)  # fmt: skip
def watch(transactions: Transactions, call: Call, argv: list[bytes]) -> bytes:
    """Lets the next transaction run only if these keys do not change before."""
    transactions.watch(call.session, argv[1:])
    return OK


@command(
    b"UNWATCH", arity=1, group="transactions", since="2.2.0", flags=_FLAGS, categories=_CATEGORIES,
    complexity="O(1)", needs=Transactions,
)  # fmt: skip
def unwatch(transactions: Transactions, call: Call, _argv: list[bytes]) -> bytes:
    """Forgets which keys are watched."""
    transactions.unwatch(call.session)
    return OK
