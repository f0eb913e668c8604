"""Directives tls-* → OpenSSL's contexts, made anew when one of them changes.

A node has three: one for clients, who show certificates or need not (tls-auth-clients), one for the bus,
whose nodes must, and one for what it opens itself: bus links, and connections for replication and for moving
keys. Nodes are known by their authority and not by name: they name each other by address, as in Redis.

A change that OpenSSL refuses, a certificate that cannot be read or does not fit its key, is refused as a
whole, and new connections go on being made as before. Those that exist keep what they began with.

Source: redis.conf's chapter on TLS/SSL; the log lines are Redis 7.2's.
"""

from __future__ import annotations

import os
import socket
import ssl
import warnings
from dataclasses import dataclass

from node.config import table as directives
from node.config.config import Config
from node.config.directive import ConfigError, Directive
from node.log import Log
from node.resp.stream import TlsClient, reason_of
from node.tls.socket import TlsSocket

_FOLLOWED: tuple[Directive[int] | Directive[bool] | Directive[str], ...] = (
    directives.TLS_PORT,
    directives.TLS_CLUSTER,
    directives.TLS_REPLICATION,
    directives.TLS_AUTH_CLIENTS,
    directives.TLS_CERT_FILE,
    directives.TLS_KEY_FILE,
    directives.TLS_KEY_FILE_PASS,
    directives.TLS_CLIENT_CERT_FILE,
    directives.TLS_CLIENT_KEY_FILE,
    directives.TLS_CLIENT_KEY_FILE_PASS,
    directives.TLS_DH_PARAMS_FILE,
    directives.TLS_CA_CERT_FILE,
    directives.TLS_CA_CERT_DIR,
    directives.TLS_PROTOCOLS,
    directives.TLS_CIPHERS,
    directives.TLS_PREFER_SERVER_CIPHERS,
    directives.TLS_SESSION_CACHING,
)
_VERSIONS = {
    "tlsv1": (ssl.TLSVersion.TLSv1, ssl.OP_NO_TLSv1),
    "tlsv1.1": (ssl.TLSVersion.TLSv1_1, ssl.OP_NO_TLSv1_1),
    "tlsv1.2": (ssl.TLSVersion.TLSv1_2, ssl.OP_NO_TLSv1_2),
    "tlsv1.3": (ssl.TLSVersion.TLSv1_3, ssl.OP_NO_TLSv1_3),
}
_DEFAULT_VERSIONS = "TLSv1.2 TLSv1.3"
_VERIFICATION = {"no": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "yes": ssl.CERT_REQUIRED}


class TlsError(Exception):
    """The directives make no usable TLS; the text says why."""


@dataclass(frozen=True, slots=True)
class Contexts:
    """What new connections are made with."""

    clients: ssl.SSLContext
    bus: ssl.SSLContext
    outgoing: ssl.SSLContext


class Tls:
    """One per node. `contexts` is None while no directive asks for TLS."""

    def __init__(self, config: Config, log: Log) -> None:
        self._config = config
        self._log = log
        self.contexts: Contexts | None = None
        config.on_change_of(_FOLLOWED, self._follow)

    def configure(self) -> None:
        """At the start. Raises TlsError."""
        self.contexts = make_contexts(self._config) if self._is_wanted() else None

    def _is_wanted(self) -> bool:
        config = self._config
        return bool(
            config[directives.TLS_PORT]
            or config[directives.TLS_CLUSTER]
            or config[directives.TLS_REPLICATION]
        )

    def _follow(self) -> None:
        """After CONFIG SET. Raises ConfigError, with nothing changed."""
        try:
            self.configure()
        except TlsError as wrong:
            self._log.warning(str(wrong))
            raise ConfigError("Unable to update TLS configuration. Check server logs.") from None

    # Connections

    def for_client(self, plain: socket.socket) -> TlsSocket:
        """A client that came to tls-port."""
        assert self.contexts is not None, "a TLS port without TLS"
        return TlsSocket(plain, self.contexts.clients, server_side=True)

    def for_bus(self, plain: socket.socket, *, opened: bool) -> TlsSocket | None:
        """A bus link, `opened` by us or accepted; None when the bus is plain."""
        contexts = self.contexts
        if contexts is None or not self._config[directives.TLS_CLUSTER]:
            return None
        context = contexts.outgoing if opened else contexts.bus
        return TlsSocket(plain, context, server_side=not opened)

    def to_primary(self) -> TlsClient | None:
        """For connections of replication and of atomic slot migration; None when they are plain."""
        return self._outgoing(directives.TLS_REPLICATION)

    def to_node(self) -> TlsClient | None:
        """For MIGRATE's connections; None when they are plain."""
        return self._outgoing(directives.TLS_CLUSTER)

    def _outgoing(self, directive: Directive[bool]) -> TlsClient | None:
        if self.contexts is None or not self._config[directive]:
            return None
        return TlsClient(self.contexts.outgoing)


def make_contexts(config: Config) -> Contexts:
    """Raises TlsError."""
    certificate, key = config[directives.TLS_CERT_FILE], config[directives.TLS_KEY_FILE]
    password = config[directives.TLS_KEY_FILE_PASS]
    if not certificate:
        raise TlsError("No tls-cert-file configured!")
    if not key:
        raise TlsError("No tls-key-file configured!")
    verification = config[directives.TLS_AUTH_CLIENTS]
    among_nodes = config[directives.TLS_CLUSTER] or config[directives.TLS_REPLICATION]
    has_authorities = config[directives.TLS_CA_CERT_FILE] or config[directives.TLS_CA_CERT_DIR]
    if (verification != "no" or among_nodes) and not has_authorities:
        raise TlsError(
            "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-cluster, "
            "tls-replication or tls-auth-clients are enabled!"
        )
    clients = _server_side(config)
    clients.verify_mode = _VERIFICATION[verification]
    bus = _server_side(config)
    bus.verify_mode = ssl.CERT_REQUIRED
    outgoing = _base(config, ssl.PROTOCOL_TLS_CLIENT)
    outgoing.check_hostname = False  # nodes know each other by address
    own, own_key = config[directives.TLS_CLIENT_CERT_FILE], config[directives.TLS_CLIENT_KEY_FILE]
    if own and own_key:
        certificate, key, password = own, own_key, config[directives.TLS_CLIENT_KEY_FILE_PASS]
    _load_pair(config, outgoing, certificate, key, password)
    return Contexts(clients, bus, outgoing)


def _server_side(config: Config) -> ssl.SSLContext:
    context = _base(config, ssl.PROTOCOL_TLS_SERVER)
    _load_pair(
        config,
        context,
        config[directives.TLS_CERT_FILE],
        config[directives.TLS_KEY_FILE],
        config[directives.TLS_KEY_FILE_PASS],
    )
    context.options |= ssl.OP_NO_RENEGOTIATION
    if config[directives.TLS_PREFER_SERVER_CIPHERS]:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if not config[directives.TLS_SESSION_CACHING]:
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    parameters = config[directives.TLS_DH_PARAMS_FILE]
    if parameters:
        try:
            context.load_dh_params(_readable(config, "tls-dh-params-file", parameters))
        except (ssl.SSLError, OSError) as bad:
            raise TlsError(f"Failed to load DH params file {parameters}: {reason_of(bad)}") from None
    return context


def _base(config: Config, protocol: int) -> ssl.SSLContext:
    """What both sides have in common."""
    context = ssl.SSLContext(protocol)
    _set_versions(context, config[directives.TLS_PROTOCOLS] or _DEFAULT_VERSIONS)
    ciphers = config[directives.TLS_CIPHERS]
    if ciphers:
        try:
            context.set_ciphers(ciphers)
        except ssl.SSLError:
            raise TlsError(f"Failed to configure ciphers: {ciphers}") from None
    file, directory = config[directives.TLS_CA_CERT_FILE], config[directives.TLS_CA_CERT_DIR]
    if file or directory:
        try:
            context.load_verify_locations(
                _readable(config, "tls-ca-cert-file", file) if file else None,
                _readable(config, "tls-ca-cert-dir", directory) if directory else None,
            )
        except (ssl.SSLError, OSError) as bad:
            raise TlsError(
                f"Failed to configure CA certificate(s) {file or directory}: {reason_of(bad)}"
            ) from None
    return context


def _set_versions(context: ssl.SSLContext, text: str) -> None:
    words = [word.lower() for word in text.split()]
    if not words or not set(words) <= _VERSIONS.keys():
        raise TlsError(
            "Invalid tls-protocols specified. "
            "Use a combination of 'TLSv1', 'TLSv1.1', 'TLSv1.2' and 'TLSv1.3'."
        )
    wanted = [_VERSIONS[word][0] for word in words]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the operator has asked for old versions by name
        context.minimum_version, context.maximum_version = min(wanted), max(wanted)
        for word, (version, without) in _VERSIONS.items():
            if word not in words and min(wanted) < version < max(wanted):
                context.options |= without


def _load_pair(config: Config, context: ssl.SSLContext, certificate: str, key: str, password: str) -> None:
    files = _readable(config, "certificate", certificate), _readable(config, "private key", key)
    try:
        context.load_cert_chain(*files, password=lambda: password)  # without one OpenSSL would ask a terminal
    except (ssl.SSLError, OSError) as bad:
        raise TlsError(
            f"Failed to load certificate {certificate} with private key {key}: {reason_of(bad)}"
        ) from None


def _readable(config: Config, what: str, path: str) -> str:
    """The path, relative to `dir`. Raises TlsError, which unlike OpenSSL names the file."""
    resolved = config.resolve(path)
    if not os.access(resolved, os.R_OK):
        why = os.strerror(13) if os.path.exists(resolved) else os.strerror(2)
        raise TlsError(f"Failed to load {what}: {path}: {why}")
    return resolved
