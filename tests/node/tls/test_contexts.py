"""node.tls.contexts: directives → contexts, and what is refused."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from node.config.config import Config
from node.errors import CommandError
from node.log import open_log
from node.tls.contexts import Tls, TlsError

Make = Callable[..., Tls]


def test_without_tls_directives_there_are_no_contexts(make_tls: Make) -> None:
    """Certificates alone ask for nothing, and are not even read."""
    tls = make_tls(tls_port="0", tls_cert_file="nowhere")
    assert tls.contexts is None
    assert tls.to_primary() is None
    assert tls.to_node() is None


def test_who_must_show_a_certificate(make_tls: Make) -> None:
    for word, mode in (("yes", ssl.CERT_REQUIRED), ("no", ssl.CERT_NONE), ("optional", ssl.CERT_OPTIONAL)):
        contexts = make_tls(tls_auth_clients=word).contexts
        assert contexts is not None
        assert contexts.clients.verify_mode == mode
        assert contexts.bus.verify_mode == ssl.CERT_REQUIRED  # nodes, always
        assert contexts.outgoing.verify_mode == ssl.CERT_REQUIRED


def test_versions(make_tls: Make) -> None:
    contexts = make_tls().contexts
    assert contexts is not None
    assert contexts.clients.minimum_version == ssl.TLSVersion.TLSv1_2
    only = make_tls(tls_protocols="TLSv1.3").contexts
    assert only is not None
    assert only.clients.minimum_version == only.outgoing.minimum_version == ssl.TLSVersion.TLSv1_3
    gap = make_tls(tls_protocols="tlsv1.1 TLSv1.3").contexts
    assert gap is not None
    assert gap.clients.options & ssl.OP_NO_TLSv1_2
    assert not gap.clients.options & ssl.OP_NO_TLSv1_3


def test_ciphers_and_their_order(make_tls: Make) -> None:
    cipher = "ECDHE-RSA-AES256-GCM-SHA384"
    contexts = make_tls(tls_ciphers=cipher).contexts
    assert contexts is not None
    below_13 = [each["name"] for each in contexts.clients.get_ciphers() if each["protocol"] != "TLSv1.3"]
    assert below_13 == [cipher]
    assert not contexts.clients.options & ssl.OP_CIPHER_SERVER_PREFERENCE
    preferring = make_tls(tls_prefer_server_ciphers="yes").contexts
    assert preferring is not None
    assert preferring.clients.options & ssl.OP_CIPHER_SERVER_PREFERENCE


@pytest.mark.parametrize("caching", ["yes", "no"])
def test_sessions_are_taken_up_again_unless_caching_is_off(make_tls: Make, caching: str) -> None:
    """For TLS 1.3, where a session is a ticket."""
    tls = make_tls(tls_session_caching=caching, tls_auth_clients="no")
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    first, _ = _shake(tls, client, None)
    _, reused = _shake(tls, client, first)
    assert reused == (caching == "yes")


def _shake(
    tls: Tls, context: ssl.SSLContext, session: ssl.SSLSession | None
) -> tuple[ssl.SSLSession | None, bool]:
    """One connection that carries one byte; its session, and whether it took up the one given."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    server = tls.for_client(ours)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, session=session)
    with theirs:
        done = False
        while not done or server.handshake():
            try:
                client.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
            theirs.send(outgoing.read() or b"")
            server.handshake()
            _fill(incoming, theirs)
        server.send(b"x")
        _fill(incoming, theirs)
        assert client.read(1) == b"x"
        server.close()
        return client.session, bool(client.session_reused)


def _fill(incoming: ssl.MemoryBIO, plain: socket.socket) -> None:
    try:
        incoming.write(plain.recv(65536))
    except BlockingIOError:
        return


def test_what_is_refused_at_the_start(make_tls: Make, certificates: Path) -> None:
    other_key, foreign = str(certificates / "other.key"), str(certificates / "foreign.crt")
    for changes, reason in (
        ({"tls_cert_file": ""}, "No tls-cert-file configured!"),
        ({"tls_key_file": ""}, "No tls-key-file configured!"),
        ({"tls_ca_cert_file": ""}, "Either tls-ca-cert-file or tls-ca-cert-dir must be specified"),
        ({"tls_ca_cert_file": "", "tls_auth_clients": "no", "tls_cluster": "yes"}, "Either tls-ca-cert"),
        ({"tls_cert_file": "gone.crt"}, "gone.crt: No such file or directory"),
        ({"tls_key_file": other_key}, "key values mismatch"),
        ({"tls_ca_cert_file": other_key}, "no certificate or crl found"),
        ({"tls_client_cert_file": foreign, "tls_client_key_file": other_key}, "key values mismatch"),
        ({"tls_ciphers": "nonsense"}, "Failed to configure ciphers: nonsense"),
        ({"tls_protocols": "SSLv3"}, "Invalid tls-protocols specified."),
        ({"tls_dh_params_file": foreign}, "Failed to load DH params file"),
    ):
        with pytest.raises(TlsError, match=reason):
            make_tls(**changes)
    assert make_tls(tls_ca_cert_file="", tls_auth_clients="no").contexts is not None


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_a_key_with_a_pass_phrase(make_tls: Make, certificates: Path, tmp_path: Path) -> None:
    """And with a wrong one, or none, nobody is asked at a terminal."""
    locked = tmp_path / "locked.key"
    plain = str(certificates / "node.key")
    subprocess.run(
        ["openssl", "pkey", "-aes256", "-passout", "pass:secret", "-in", plain, "-out", str(locked)],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    assert make_tls(tls_key_file=str(locked), tls_key_file_pass="secret").contexts is not None
    for wrong in ({"tls_key_file_pass": "wrong"}, {}):
        with pytest.raises(TlsError, match=r"with private key .*locked\.key"):
            make_tls(tls_key_file=str(locked), **wrong)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_a_directory_of_authorities_and_dh_parameters(
    make_tls: Make, certificates: Path, tmp_path: Path
) -> None:
    shutil.copy(certificates / "ca.crt", tmp_path)
    subprocess.run(["openssl", "rehash", str(tmp_path)], check=True)
    tls = make_tls(
        tls_ca_cert_file="", tls_ca_cert_dir=str(tmp_path), tls_dh_params_file=_dh_parameters(tmp_path)
    )
    assert tls.contexts is not None


def _dh_parameters(directory: Path) -> str:
    """A group of RFC 7919, which needs no search for primes."""
    path = directory / "dh.pem"
    subprocess.run(
        [
            "openssl",
            "genpkey",
            "-genparam",
            "-algorithm",
            "DH",
            "-pkeyopt",
            "group:ffdhe2048",
            "-out",
            str(path),
        ],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    return str(path)


def test_paths_are_relative_to_dir(make_config: Callable[..., Config], certificates: Path) -> None:
    config = make_config(tls_cert_file="node.crt", tls_key_file="node.key")
    config.set_many([(b"dir", os.fsencode(certificates))], allow_protected=True)
    tls = Tls(config, open_log(config, lambda: "M"))
    tls.configure()
    assert tls.contexts is not None


def test_a_change_takes_effect_or_is_refused_as_a_whole(
    make_config: Callable[..., Config], certificates: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """CONFIG SET of a certificate that does not fit leaves all as it was; the log says what was wrong."""
    config = make_config()
    tls = Tls(config, open_log(config, lambda: "M"))
    tls.configure()
    before = tls.contexts
    with pytest.raises(CommandError) as refused:
        config.set_many([(b"tls-cert-file", os.fsencode(certificates / "other.crt"))])
    assert refused.value.text == (
        b"ERR CONFIG SET failed (possibly related to argument 'tls-cert-file') - "
        b"Unable to update TLS configuration. Check server logs."
    )
    assert tls.contexts is before
    assert config.get([b"tls-cert-file"]) == [(b"tls-cert-file", os.fsencode(certificates / "node.crt"))]
    assert "key values mismatch" in "".join(capfd.readouterr())
    config.set_many(
        [
            (b"tls-cert-file", os.fsencode(certificates / "other.crt")),
            (b"tls-key-file", os.fsencode(certificates / "other.key")),
        ]
    )
    assert tls.contexts is not before


def test_whom_a_node_speaks_tls_to(make_tls: Make) -> None:
    """tls-replication: the primary; tls-cluster: the bus, and where MIGRATE goes."""
    plain, _other = socket.socketpair()
    with plain, _other:
        neither = make_tls()
        assert (neither.to_primary(), neither.to_node(), neither.for_bus(plain, opened=True)) == (None,) * 3
        primary = make_tls(tls_port="0", tls_replication="yes")
        assert primary.to_primary() is not None
        assert primary.to_node() is None
        bus = make_tls(tls_port="0", tls_cluster="yes")
        assert bus.to_primary() is None
        assert bus.to_node() is not None
        assert bus.for_bus(plain, opened=False) is not None
