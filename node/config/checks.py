"""Rules that a value must meet beyond its kind. Each raises ConfigError."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable

from node.config.directive import ConfigError

HOSTNAME_LIMIT = 256  # bytes, with the terminator that the bus extension of the host name needs

# What Redis refuses, and blanks and commas, with which it would write a nodes.conf that it cannot read.
_NOT_IN_NODE_NAMES = re.compile(r"[!#$%&()*+:;<>?@\[\]^{|}~,\s\x00-\x1f\x7f]")


def file_name(directive: str, thing: str = "filename") -> Callable[[str], None]:
    """A name without a directory."""

    def check(value: str) -> None:
        if not value:
            raise ConfigError(f"{directive} can't be empty")
        if "/" in value or "\\" in value:
            raise ConfigError(f"{directive} can't be a path, just a {thing}")

    return check


def hostname(value: str) -> None:
    """Letters, digits, hyphens and dots."""
    if len(os.fsencode(value)) >= HOSTNAME_LIMIT:
        raise ConfigError(f"Hostnames must be less than {HOSTNAME_LIMIT} characters")
    if not re.fullmatch(r"[A-Za-z0-9.-]*", value):
        raise ConfigError("Hostnames may only contain alphanumeric characters, hyphens or dots")


def node_name(value: str) -> None:
    """A name for people, without the characters that nodes.conf gives a meaning."""
    if _NOT_IN_NODE_NAMES.search(value):
        raise ConfigError("Announced human node name contained invalid character")


def ipv4(value: str) -> None:
    """Empty, or an IPv4 address."""
    if value and not _parses(ipaddress.IPv4Address, value):
        raise ConfigError("Invalid IPv4 address")


def ipv6(value: str) -> None:
    """Empty, or an IPv6 address."""
    if value and not _parses(ipaddress.IPv6Address, value):
        raise ConfigError("Invalid IPv6 address")


def not_empty(directive: str) -> Callable[[str], None]:
    """Any text but the empty one."""

    def check(value: str) -> None:
        if not value:
            raise ConfigError(f"{directive} can't be empty")

    return check


def _parses(parse: Callable[[str], object], value: str) -> bool:
    try:
        parse(value)
    except ValueError:
        return False
    return True
