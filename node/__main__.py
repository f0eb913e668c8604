"""`python -m node [file.conf] [--directive value ...]`: arguments → configuration → a running node."""

from __future__ import annotations

import sys

import trio

from node.app import Node
from node.cluster.nodes_file import NodesFileError
from node.config.file import ConfigFileError, Startup, load, parse_arguments
from node.config.table import DAEMONIZE
from node.log import open_log
from node.persistence.aof import check as check_aof
from node.rdb.check import check_file
from node.server import banner
from node.server.listen import ListenError
from node.server.process import CannotStartError, PidFile, daemonize
from node.version import REDIS_VERSION, SHOAL_VERSION

USAGE = """\
Usage: python -m node [/path/to/node.conf] [options] [-]
       python -m node - (read the configuration from standard input)
       python -m node -v or --version
       python -m node -h or --help
       python -m node check-rdb FILE
       python -m node check-aof [--fix] MANIFEST|FILE

Options are directives of redis.conf with two dashes before them:
       python -m node --port 7000 --cluster-enabled yes --save ""
       python -m node node.conf --loglevel verbose
"""


def main() -> None:
    """Exits with status 1 and one clear message when the node cannot start."""
    sys.exit(start(sys.argv[1:]))


def start(argv: list[str]) -> int:
    """Runs a node, or one of the tools beside it; returns the exit status."""
    if argv[:1] == ["check-rdb"]:
        return _check_rdb(argv[1:])
    if argv[:1] == ["check-aof"]:
        return check_aof.main(argv[1:], print, _agrees)
    try:
        arguments = parse_arguments(argv)
        if arguments.version:
            print(f"Shoal server v={SHOAL_VERSION} redis_version={REDIS_VERSION} bits=64")
            return 0
        if arguments.help:
            print(USAGE, end="")
            return 0
        if arguments.sentinel:
            raise ConfigFileError("sentinel mode is not served yet")
        startup = load(arguments)
    except ConfigFileError as wrong:
        print(wrong.report(SHOAL_VERSION), file=sys.stderr)
        return 1
    if startup.config[DAEMONIZE]:
        daemonize()
    return serve(startup, given=bool(argv))


def _check_rdb(argv: list[str]) -> int:
    if len(argv) != 1 or argv[0].startswith("--"):
        print("Usage: python -m node check-rdb FILE", file=sys.stderr)
        return 1
    try:
        return check_file(argv[0], print)
    except KeyboardInterrupt:
        return 130


def _agrees(question: str) -> bool:
    """Whether the person at the terminal says yes."""
    try:
        return input(question).strip().lower() in ("y", "yes")
    except (EOFError, KeyboardInterrupt):
        print()
        return False


def serve(startup: Startup, given: bool) -> int:
    """Runs a node of this configuration; returns the exit status."""
    config = startup.config
    log = open_log(config, lambda: "M")
    banner.say_starting(log, given)
    banner.say_unserved(log, config)
    pid_file = PidFile(config, log)
    try:
        return trio.run(Node(config, startup.others).run, pid_file)
    except ConfigFileError as wrong:
        log.warning(wrong.reason)
        print(wrong.report(SHOAL_VERSION), file=sys.stderr)
        return 1
    except (ListenError, CannotStartError, NodesFileError) as failed:
        pid_file.remove()
        log.warning(str(failed))
        return 1


if __name__ == "__main__":
    main()
