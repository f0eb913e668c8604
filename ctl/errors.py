"""What a verb can say when it fails, and the exit status that goes with it.

Every failure that a user can meet is a CtlError: one line, a hint what to do, and a status. Anything else is
a mistake of ctl itself.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
EXIT_INTERRUPTED = 130

EXIT_STATUSES = """\b
Exit status:
  0    done, nothing wrong
  1    it failed, or check found a problem
  2    the arguments do not make sense
  3    a node that was needed does not answer
  130  interrupted by Ctrl-C
"""


class CtlError(Exception):
    """`text` is one line without a full stop, `hint` a sentence or empty."""

    def __init__(self, text: str, hint: str = "", *, status: int = EXIT_FAILED) -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint
        self.status = status


class UsageError(CtlError):
    """The arguments do not make sense together."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text, hint, status=EXIT_USAGE)


class UnreachableError(CtlError):
    """No node answered, or not the one that was needed."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text, hint, status=EXIT_UNREACHABLE)


class StoppedByUserError(CtlError):
    """Ctrl-C; `text` says in what state things were left."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text, hint, status=EXIT_INTERRUPTED)
