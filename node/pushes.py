"""Messages to clients that are no replies: published ones, and whatever else is pushed.

A message to the client whose command is running is held until that command's reply is out (for EXEC, the
reply of the whole transaction): it must not stand in the midst of a reply. All others are queued at once, and
leave when the replies of the turn have left (`Transport.push`), so that very many messages delay nobody's
reply.

Source: https://redis.io/docs/reference/protocol-spec/, "RESP3 Pushes".
"""

from __future__ import annotations

from node.command.session import Session


class Pushes:
    """`current` is the session that is served now and `held` what it is to get behind its reply; both are
    kept by the dispatcher.
    """

    __slots__ = ("current", "held")

    def __init__(self) -> None:
        self.current: Session | None = None
        self.held: list[bytes] = []

    def send(self, session: Session, data: bytes) -> None:
        if session is self.current:
            self.held.append(data)
        else:
            session.transport.push(data)
