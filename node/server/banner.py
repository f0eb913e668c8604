"""What a node logs when it starts: the lines of redis-server, which other people's scripts wait for.

In order: starting, version, configuration; then the banner, which names the PID, on a terminal or when
always-show-logo is set, and otherwise one line with mode and port; warnings; `Server initialized`; and when
data is loaded `Ready to accept connections`, once for each kind of listener.
"""

from __future__ import annotations

import os
from importlib.util import find_spec

from node.config.config import Config
from node.config.table import (
    ALWAYS_SHOW_LOGO,
    LOGFILE,
    MAXMEMORY,
    PORT,
    SYSLOG_ENABLED,
    TCP_BACKLOG,
    TLS_PORT,
    UNIXSOCKET,
)
from node.identity import Identity
from node.log import Log
from node.version import REDIS_VERSION, SHOAL_VERSION

_LOGO = r"""
         .  o       .            Shoal {version} (speaks Redis {redis_version}) 64 bit
    ><(((o>    o  .
        .   ><(((o>              Running in {mode} mode
  ><(((o>  o    .                Port: {port}
     o   ><(((o>                 PID: {pid}
   .   .      o

"""
_SMALL_MAXMEMORY_BYTES = 1 << 20


def say_starting(log: Log, given: bool) -> None:
    """`given` is whether there was any argument, file or option."""
    log.notice("oO0OoO0OoO0Oo Shoal is starting oO0OoO0OoO0Oo")
    log.notice(
        f"Shoal version={SHOAL_VERSION}, Redis version={REDIS_VERSION}, bits=64, pid={os.getpid()}, "
        "just started"
    )
    if given:
        log.notice("Configuration loaded")
    else:
        log.warning(
            "Warning: no config file specified, using the default config. In order to specify a config file "
            "use python -m node /path/to/node.conf"
        )


def say_unserved(log: Log, config: Config) -> None:
    """What the configuration asks for in vain, a line each."""
    for directive in config.unserved():
        log.notice(directive.unserved_line)


def say_mode(log: Log, config: Config, identity: Identity) -> None:
    """The banner, or its one line."""
    to_terminal = not config[SYSLOG_ENABLED] and not config[LOGFILE] and os.isatty(1)
    if to_terminal or config[ALWAYS_SHOW_LOGO]:
        log.raw(
            _LOGO.format(
                version=SHOAL_VERSION,
                redis_version=REDIS_VERSION,
                mode=identity.mode,
                port=config[PORT] or config[TLS_PORT],
                pid=os.getpid(),
            )
        )
    else:
        log.notice(f"Running mode={identity.mode}, port={config[PORT] or config[TLS_PORT]}.")


def say_warnings(log: Log, config: Config) -> None:
    """What works, and will not work well."""
    somaxconn = _somaxconn()
    if somaxconn is not None and somaxconn < config[TCP_BACKLOG]:
        log.warning(
            f"WARNING: The TCP backlog setting of {config[TCP_BACKLOG]} cannot be enforced because "
            f"/proc/sys/net/core/somaxconn is set to the lower value of {somaxconn}."
        )
    if not checksums_are_fast():
        log.warning(
            "WARNING: crcmod was installed without its C part, so checksums of snapshots are computed in "
            "Python, hundreds of times slower. Install it anew where there is a C compiler."
        )
    if 0 < config[MAXMEMORY] < _SMALL_MAXMEMORY_BYTES:
        log.warning(
            "WARNING: You specified a maxmemory value that is less than 1MB (current value is "
            f"{config[MAXMEMORY]} bytes). Are you sure this is what you really want?"
        )


def checksums_are_fast() -> bool:
    """Whether crcmod has its C part: it falls back to Python in silence."""
    return find_spec("crcmod._crcfunext") is not None


def say_ready(log: Log, config: Config) -> None:
    """The data is there, clients are served."""
    if config[PORT]:
        log.notice("Ready to accept connections tcp")
    if config[TLS_PORT]:
        log.notice("Ready to accept connections tls")
    if config[UNIXSOCKET]:
        log.notice("Ready to accept connections unix")


def _somaxconn() -> int | None:
    try:
        with open("/proc/sys/net/core/somaxconn", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None
