"""The redis.conf of a local node.

A file and not arguments: a restart, by ctl or by hand, needs nothing but the file; CONFIG REWRITE has a place
to write to; and a password does not show in the list of processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ctl.errors import UsageError
from ctl.execute.tls import TlsOptions

OWN_DIRECTIVES = {
    "port": "--base-port",
    "tls-port": "--base-port with --tls",
    "bind": "--host",
    "dir": "--dir",
    "cluster-enabled": "",
    "cluster-config-file": "",
    "cluster-port": "",
    "daemonize": "",
    "logfile": "",
}

Directive = tuple[str, str]
EMPTY = '""'


def parse_options(options: Iterable[str], arguments: Sequence[str]) -> list[Directive]:
    """Directives from `name=value` options and from `--name value …` arguments, in that order.

    Raises UsageError for what has neither form, and for directives that create itself decides.
    """
    directives = [*map(_from_option, options), *_from_arguments(arguments)]
    for name, _ in directives:
        if name in OWN_DIRECTIVES:
            instead = OWN_DIRECTIVES[name]
            raise UsageError(
                f"the directive {name} is set by create itself",
                f"Use {instead}." if instead else "Leave it out.",
            )
    return directives


def _from_option(option: str) -> Directive:
    name, equals, value = option.partition("=")
    if not equals or not name.strip("-"):
        raise UsageError(
            f"--node-option {option!r} is not name=value", "Such as: --node-option maxmemory=100mb"
        )
    return name.lstrip("-").lower(), value


def _from_arguments(arguments: Sequence[str]) -> list[Directive]:
    directives: list[Directive] = []
    for word in arguments:
        if word.startswith("--") and len(word) > 2:
            directives.append((word[2:].lower(), ""))
        elif directives:
            name, value = directives[-1]
            directives[-1] = (name, f"{value} {word or EMPTY}".strip())
        else:
            raise UsageError(
                f"{word!r} is no directive", "After -- come directives, such as: -- --maxmemory 9mb"
            )
    return directives


def render(
    host: str, port: int, directory: Path, extra: Sequence[Directive], tls: TlsOptions | None = None
) -> str:
    """The file's text. `extra` wins over what create would set by itself.

    With `tls`, which is how ctl speaks to the node, nobody speaks to it in the clear: clients, bus and
    replication are over TLS, with ctl's own files unless `extra` names others.
    """
    base: list[Directive] = [
        *([("port", str(port))] if tls is None else _tls_directives(port, tls)),
        ("bind", host),
        ("cluster-enabled", "yes"),
        ("cluster-config-file", "nodes.conf"),
        ("dir", quoted(str(directory))),
        ("logfile", quoted(str(directory / "node.log"))),
        ("daemonize", "no"),
        # The wait for further replicas that could share a snapshot: five seconds for nothing on one machine.
        ("repl-diskless-sync-delay", "0"),
    ]
    if host.startswith("127.") and host != "127.0.0.1":
        # The kernel connects from 127.0.0.1 to every loopback address: that is what others would take it for.
        base.append(("cluster-announce-ip", host))
    password = dict(extra).get("requirepass")
    if password:
        base.append(("masterauth", password))
    given = {name for name, _ in extra}
    lines = [f"{name} {value}" for name, value in base if name not in given]
    lines += [f"{name} {value or EMPTY}" for name, value in extra]
    return "\n".join(["# Written by ctl cluster create.", *lines, ""])


def _tls_directives(port: int, tls: TlsOptions) -> list[Directive]:
    files = {
        "tls-cert-file": tls.certificate,
        "tls-key-file": tls.key,
        "tls-ca-cert-file": tls.ca_file,
        "tls-ca-cert-dir": tls.ca_directory,
    }
    return [
        ("port", "0"),
        ("tls-port", str(port)),
        ("tls-cluster", "yes"),
        ("tls-replication", "yes"),
        *((name, quoted(path)) for name, path in files.items() if path),
    ]


def quoted(text: str) -> str:
    """`text` as one word of a redis.conf."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
