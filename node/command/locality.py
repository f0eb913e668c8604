"""Who may use what is only for this machine: the values yes, no and local of the enable-… directives."""

from __future__ import annotations


def is_local(address: bytes) -> bool:
    """Whether a peer, as CLIENT LIST writes it, is on this machine: loopback, or a unix socket (port 0)."""
    return address.startswith((b"127.", b"[::1]", b"[::ffff:127.")) or address.endswith(b":0")


def may_use(setting: str, address: bytes) -> bool:
    """Whether a client at `address` may use what `setting` (yes, no, local) enables."""
    return setting == "yes" or (setting == "local" and is_local(address))
