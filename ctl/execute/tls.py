"""How ctl speaks TLS to nodes: redis-cli's options.

Other than redis-cli, ctl also checks that a certificate is for the host it connects to, or for the --sni
name: whoever has some certificate of the authority is not yet that node.
"""

from __future__ import annotations

import os
import shlex
import ssl
from dataclasses import dataclass

from ctl.errors import UsageError
from node.resp.client import TlsClient, reason_of


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """Paths are absolute; `name` is what certificates must be for, if not for the host connected to."""

    ca_file: str | None = None
    ca_directory: str | None = None
    certificate: str | None = None
    key: str | None = None
    name: str | None = None
    insecure: bool = False

    def for_redis_cli(self) -> str:
        """The same as redis-cli's options, for a shell."""
        options = {
            "--cacert": self.ca_file,
            "--cacertdir": self.ca_directory,
            "--cert": self.certificate,
            "--key": self.key,
            "--sni": self.name,
        }
        words = [word for name, value in options.items() if value for word in (name, value)]
        return shlex.join(["--tls", *words, *(["--insecure"] if self.insecure else [])])


def tls_client(options: TlsOptions) -> TlsClient:
    """Raises UsageError for files that are of no use."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if options.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif options.ca_file or options.ca_directory:
        authorities = options.ca_file or options.ca_directory or ""
        try:
            _look_at(options.ca_file, options.ca_directory)
            context.load_verify_locations(options.ca_file, options.ca_directory)
        except OSError as bad:
            raise UsageError(
                f"cannot use the authorities in {authorities}: {reason_of(bad)}", "--cacert takes PEM files."
            ) from None
    else:
        context.load_default_certs()
    if options.certificate:
        try:
            _look_at(options.certificate, options.key)
            context.load_cert_chain(options.certificate, options.key, password=lambda: "")
        except OSError as bad:
            raise UsageError(
                f"cannot use {options.certificate} with key {options.key}: {reason_of(bad)}",
                "--cert and --key take PEM files; the key may have no pass phrase.",
            ) from None
    return TlsClient(context, options.name)


def _look_at(*paths: str | None) -> None:
    """OpenSSL does not say which file is missing. Raises OSError."""
    for path in filter(None, paths):
        os.stat(path)
