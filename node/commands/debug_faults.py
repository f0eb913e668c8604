"""DEBUG FAULT: the switch of `node.faults`, for drills."""

from __future__ import annotations

import re

from node.command.args import within
from node.errors import CommandError
from node.faults import FOR_MS_MAX, SYNC_DELAY_MS_MAX, Faults
from node.log import Log
from node.resp.encode import OK, array, bulk

PEERS_MAX = 4096
_PEER = re.compile(rb"[0-9a-f]{40}|[^\s]{1,253}:[0-9]{1,5}")
_BAD_TIME = b"ERR a fault lasts from 1 to %d milliseconds" % FOR_MS_MAX
_BAD_DELAY = b"ERR a sync can be delayed by 1 to %d milliseconds" % SYNC_DELAY_MS_MAX

HELP = (
    "FAULT CUT-OFF <milliseconds> <peer> [<peer> ...]",
    "    Lose all that the bus carries to and from these peers (node ids), and refuse to connect to them for",
    "    replication or MIGRATE (host:port). Ends by itself.",
    "FAULT SLOW-SYNC <delay-ms> <milliseconds>",
    "    Delay every sync of the AOF and of nodes.conf. Ends by itself.",
    "FAULT (HEAL|STATUS)",
    "    End all faults; or tell which there are.",
)


def fault(faults: Faults, log: Log, words: list[bytes]) -> bytes | None:
    """The reply to DEBUG FAULT `words`; None for what is none of its forms. Raises CommandError."""
    match [word.upper() if not at else word for at, word in enumerate(words)]:
        case [b"CUT-OFF", for_ms, *peers] if peers:
            _cut_off(faults, log, within(for_ms, 1, FOR_MS_MAX, _BAD_TIME), peers)
        case [b"SLOW-SYNC", delay_ms, for_ms]:
            delay = within(delay_ms, 1, SYNC_DELAY_MS_MAX, _BAD_DELAY)
            duration = within(for_ms, 1, FOR_MS_MAX, _BAD_TIME)
            log.warning(f"DEBUG FAULT: every sync takes {delay} ms longer, for {duration} ms")
            faults.slow_down(delay, duration)
        case [b"HEAL"]:
            log.warning("DEBUG FAULT: healed")
            faults.heal()
        case [b"STATUS"]:
            return _status(faults)
        case _:
            return None
    return OK


def _cut_off(faults: Faults, log: Log, for_ms: int, peers: list[bytes]) -> None:
    if len(peers) > PEERS_MAX:
        raise CommandError(b"ERR too many peers")
    for peer in peers:
        if not _PEER.fullmatch(peer):
            raise CommandError(b"ERR a peer is a node id or host:port, not '%b'" % peer[:128])
    log.warning(f"DEBUG FAULT: {len(peers)} names of peers are cut off for {for_ms} ms")
    faults.cut_off(frozenset(peer.decode("utf-8", "backslashreplace") for peer in peers), for_ms)


def _status(faults: Faults) -> bytes:
    """Pairs of a name and a value."""
    peers = array([bulk(peer.encode()) for peer in sorted(faults.cut)])
    return array([bulk(b"cut-off"), peers, bulk(b"sync-delay-ms"), bulk(b"%d" % faults.sync_delay_ms)])
