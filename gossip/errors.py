"""Errors of the gossip layer; each says whose fault it is.

A violated precondition of our own is an AssertionError and has no class here.
"""

from __future__ import annotations


class WireError(Exception):
    """A peer sent what the cluster bus does not allow; its link is dropped, and the text goes to the log."""


class NodesConfError(Exception):
    """A nodes.conf file cannot be used: `line` (from 1, or 0: the file as a whole) and what is wrong."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}" if line else problem)
        self.line = line
        self.problem = problem


class ClusterError(Exception):
    """A CLUSTER subcommand cannot be carried out: the client's fault; `str()` is the reply after its code."""

    def __init__(self, text: str, code: str = "ERR") -> None:
        super().__init__(text)
        self.code = code
