"""SAVE, BGSAVE and LASTSAVE."""

from __future__ import annotations

from node.command.args import SYNTAX
from node.command.call import Call
from node.command.spec import ADMIN, FAST, LOADING, NO_ASYNC_LOADING, NO_MULTI, NOSCRIPT, STALE, command
from node.errors import CommandError
from node.persistence.child import Forks
from node.persistence.saving import SaveError, Saving
from node.resp.encode import OK, integer, simple

_IN_PROGRESS = b"ERR Background save already in progress"
_ANOTHER_CHILD = (
    b"ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to "
    b"schedule a BGSAVE whenever possible."
)


@command(
    b"SAVE", arity=1, group="server", since="1.0.0", flags=ADMIN | NOSCRIPT | NO_ASYNC_LOADING | NO_MULTI,
    complexity="O(N) where N is the total number of keys in all databases", needs=Saving,
)  # fmt: skip
def save(saving: Saving, _call: Call, _argv: list[bytes]) -> bytes:
    """Saves the data set to disk while everybody waits."""
    if saving.in_progress:
        raise CommandError(_IN_PROGRESS)
    try:
        saving.save_now()
    except SaveError as failed:
        raise CommandError(f"ERR {failed}".encode()) from None
    return OK


@command(
    b"BGSAVE", arity=-1, group="server", since="1.0.0", flags=ADMIN | NOSCRIPT | NO_ASYNC_LOADING,
    complexity="O(1)", needs=(Saving, Forks),
)  # fmt: skip
def bgsave(saving: Saving, forks: Forks, call: Call, argv: list[bytes]) -> bytes:
    """Saves the data set to disk in the background."""
    schedule = len(argv) == 2 and argv[1].upper() == b"SCHEDULE"
    if len(argv) > 1 and not schedule:
        raise CommandError(SYNTAX)
    if saving.in_progress:
        raise CommandError(_IN_PROGRESS)
    in_unit = call.session.deny_blocking  # half of a transaction must not be saved
    if forks.kind or in_unit:
        if not schedule and not in_unit:
            raise CommandError(_ANOTHER_CHILD)
        saving.scheduled = True
        return simple(b"Background saving scheduled")
    try:
        saving.save_in_background()
    except SaveError as failed:
        raise CommandError(f"ERR {failed}".encode()) from None
    return simple(b"Background saving started")


@command(
    b"LASTSAVE", arity=1, group="server", since="1.0.0", flags=LOADING | STALE | FAST,
    categories=("admin", "dangerous"), complexity="O(1)", tips=("nondeterministic_output",), needs=Saving,
)  # fmt: skip
def lastsave(saving: Saving, _call: Call, _argv: list[bytes]) -> bytes:
    """Returns the Unix time of the last successful save, in seconds."""
    return integer(saving.last_save_s)
