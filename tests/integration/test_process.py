"""A node as a process: what it logs, how it fails to start, how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import time

import pytest

_DEADLINE_S = 60.0


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] != "Z"


class TestStart:
    def test_lines_that_other_scripts_wait_for(self, shoal_node):
        node = shoal_node()
        log = node.logged()
        pid = node.process.pid
        expected = [
            "oO0OoO0OoO0Oo Shoal is starting oO0OoO0OoO0Oo",
            rf"Redis version=7\.4\.0, bits=64, pid={pid}, just started",
            "Configuration loaded",
            rf"Running mode=standalone, port={node.port}\.",
            "Server initialized",
            "Ready to accept connections tcp",
        ]
        stamp = rf"{pid}:M \d\d \w\w\w \d{{4}} \d\d:\d\d:\d\d\.\d{{3}} [.*#-] "
        lines = log.splitlines()
        assert all(re.match(stamp, line) for line in lines), log
        assert re.search(".*".join(expected), log, re.DOTALL), log

    def test_the_banner_names_the_pid(self, shoal_node):
        node = shoal_node("--always-show-logo", "yes", "--cluster-enabled", "yes")
        assert f"PID: {node.process.pid}\n" in node.logged()
        assert "Running in cluster mode" in node.logged()
        assert f"Port: {node.port}\n" in node.logged()

    def test_logfile_and_loglevel(self, start_node):
        node = start_node("--logfile", "node.log", "--loglevel", "warning")
        assert node.connect_when_up().call("PING") == b"PONG"
        assert node.logged() == ""
        node.process.terminate()
        assert node.exit_status() == 0
        assert "bye bye" in (node.directory / "node.log").read_text()

    def test_pidfile(self, shoal_node):
        node = shoal_node("--pidfile", "node.pid")
        file = node.directory / "node.pid"
        assert file.read_text() == f"{node.process.pid}\n"
        node.process.terminate()
        assert node.exit_status() == 0
        assert not file.exists()
        assert "Removing the pid file." in node.logged()

    def test_an_unwritable_pidfile_is_only_logged(self, shoal_node):
        node = shoal_node("--pidfile", "/nonexistent/node.pid")
        assert "Failed to write PID file: No such file or directory" in node.logged()
        node.process.terminate()
        assert node.exit_status() == 0

    def test_daemonize(self, start_node):
        node = start_node("--daemonize", "yes", "--pidfile", "node.pid", "--logfile", "node.log")
        assert node.exit_status() == 0
        log = node.directory / "node.log"
        deadline_s = time.monotonic() + _DEADLINE_S
        while not log.exists() or "Ready to accept" not in log.read_text():
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        pid = int((node.directory / "node.pid").read_text())
        try:
            assert pid != node.process.pid
            assert os.getsid(pid) != os.getsid(0)
            node.connect().send(b"SHUTDOWN NOSAVE\r\n")
            while _alive(pid):
                assert time.monotonic() < deadline_s
                time.sleep(0.02)
        finally:
            if _alive(pid):
                os.kill(pid, signal.SIGKILL)

    def test_a_unix_socket(self, shoal_node, tmp_path):
        path = tmp_path / "node.sock"
        node = shoal_node("--unixsocket", str(path), "--unixsocketperm", "700", "--port", "0")
        assert "Ready to accept connections unix" in node.logged()
        assert path.stat().st_mode & 0o777 == 0o700
        client = node.connect(str(path))
        line = client.call("CLIENT", "INFO").decode()
        assert f"addr={path}:0 laddr={path}:0" in line
        assert " flags=U " in line
        node.process.terminate()
        assert node.exit_status() == 0
        assert not path.exists()
        assert "Removing the unix socket file." in node.logged()


class TestRefusals:
    def test_a_port_in_use(self, start_node, free_port):
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            port = free_port()
            taken.bind(("127.0.0.1", port))
            taken.listen()
            node = start_node(port=port)
            assert node.exit_status() == 1
        last = node.logged().splitlines()[-1]
        assert last.endswith(
            f"Could not create server TCP listening socket 127.0.0.1:{port}: bind: Address already in use"
        )

    def test_a_bus_port_in_use(self, start_node, free_port):
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            port = free_port()
            taken.bind(("127.0.0.1", port + 10_000))
            taken.listen()
            node = start_node("--cluster-enabled", "yes", port=port)
            assert node.exit_status() == 1
        assert f"127.0.0.1:{port + 10_000}: bind: Address already in use" in node.logged().splitlines()[-1]

    def test_an_address_of_another_machine(self, start_node):
        node = start_node("--bind", "192.0.2.1")
        assert node.exit_status() == 1
        assert "192.0.2.1" in node.logged().splitlines()[-1]
        assert "Cannot assign requested address" in node.logged().splitlines()[-1]

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (["--dir", "/nonexistent/dir"], "No such file or directory"),
            (["--logfile", "/nonexistent/dir/log"], "Can't open the log file: No such file or directory"),
            (["/nonexistent/node.conf"], "can't open config file '/nonexistent/node.conf': No such file"),
            (["--prot", "7000"], "did you mean 'port'?"),
            (["--maxclients", "none"], "argument couldn't be parsed into an integer"),
            (["--port", "0"], "Configured to not listen anywhere, exiting."),
            (["/"], "can't open config file '/': Is a directory"),
            (["--include", "nowhere.conf"], "/nowhere.conf': No such file or directory"),
            (["--logfile", "/"], "Can't open the log file: Is a directory"),
            (
                ["--cluster-enabled", "yes", "--cluster-config-file", "/nonexistent/n"],
                "/nonexistent/n: No such",
            ),
            (["--cluster-enabled", "yes", "--port", "60000"], "the bus needs a port 10000 above this one"),
            (["--unixsocket", "/nonexistent/s"], "Could not create the unix socket /nonexistent/s: No such"),
            (["--unixsocket", "s" * 200], "AF_UNIX path too long"),
            (["--unixsocket", "s", "--unixsocketgroup", "nobodies"], "there is no group 'nobodies'"),
            (["--sentinel"], "Fatal error, sentinel mode is not served yet"),
            (["--loadmodule", "/x.py"], "Can't load module: /x.py: No such file or directory"),
        ],
    )
    def test_one_clear_reason_and_status_1(self, start_node, arguments, reason):
        """It is the last line."""
        node = start_node(*arguments)
        assert node.exit_status() == 1
        assert reason in node.logged().strip().splitlines()[-1]
        assert "Traceback" not in node.logged()

    def test_a_file_that_may_not_be_read(self, start_node, tmp_path):
        file = tmp_path / "node.conf"
        file.touch()
        file.chmod(0)
        if os.access(file, os.R_OK):
            pytest.skip("this user may read everything")
        node = start_node(str(file))
        assert node.exit_status() == 1
        assert node.logged() == f"Fatal error, can't open config file '{file}': Permission denied\n"

    def test_directives_that_are_not_served_yet_are_named(self, shoal_node):
        node = shoal_node("--tls-ciphersuites", "TLS_AES_256_GCM_SHA384", "--appendonly", "yes")
        told = re.findall(r"Directive (\S+) is accepted but not served yet: (.*)", node.logged())
        assert told == [("tls-ciphersuites", "Python's ssl module leaves it to OpenSSL")]

    def test_too_few_open_files(self, start_node):
        node = start_node(limit=20)
        assert node.exit_status() == 1
        assert "is not enough for the server to start" in node.logged()


class TestOpenFiles:
    def test_maxclients_is_lowered_to_what_the_limit_allows(self, shoal_node):
        node = shoal_node(limit=100)
        if "Increased maximum number of open files" in node.logged():
            pytest.skip("this user may raise the hard limit")
        assert "maxclients of 10000 requiring at least 10032 max file descriptors." in node.logged()
        assert "maxclients has been reduced to 68" in node.logged()
        assert node.connect().call("CONFIG", "GET", "maxclients") == [b"maxclients", b"68"]

    def test_maxclients(self, shoal_node):
        node = shoal_node("--maxclients", "2")
        first, second = node.connect(), node.connect()
        for client in (first, second):
            client.call("CLIENT", "ID")
        refused = node.connect()
        assert str(refused.reply()) == "ERR max number of clients reached"
        assert refused.is_closed()
        second.close()
        deadline_s = time.monotonic() + _DEADLINE_S
        while first.call("CLIENT", "LIST").count(b"\n") > 1:
            assert time.monotonic() < deadline_s
        assert node.connect().call("CLIENT", "ID") > 2
        assert b"rejected_connections:1" in first.call("INFO", "stats")


class TestEnd:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_it_in_good_order(self, shoal_node, number):
        node = shoal_node()
        client = node.connect()
        client.call("SET", "k", "v")
        node.process.send_signal(number)
        assert node.exit_status() == 0
        assert client.is_closed()
        tail = node.logged().split("Ready to accept connections tcp")[1]
        wanted = [
            f"Received {number.name} scheduling shutdown...",
            "User requested shutdown...",
            "Shoal is now ready to exit, bye bye...",
        ]
        assert re.search(".*".join(map(re.escape, wanted)), tail, re.DOTALL), tail

    def test_a_second_sigint_forces_it_even_out_of_a_busy_loop(self, shoal_node):
        node = shoal_node("--enable-debug-command", "yes")
        node.connect().send(b"DEBUG SLEEP 1000\r\n")
        node.process.send_signal(signal.SIGINT)
        node.wait_for_log("Received SIGINT")
        node.process.send_signal(signal.SIGINT)
        assert node.exit_status() == 1
        assert "You insist... exiting now." in node.logged()

    @pytest.mark.parametrize("words", [b"SHUTDOWN", b"SHUTDOWN NOSAVE NOW", b"shutdown force"])
    def test_shutdown(self, shoal_node, words):
        node = shoal_node()
        client = node.connect()
        client.send(words + b"\r\n")
        assert client.is_closed()
        assert node.exit_status() == 0
        assert "User requested shutdown..." in node.logged()

    def test_a_shutdown_that_cannot_save_leaves_the_node_serving(self, shoal_node, tmp_path):
        node = shoal_node("--dir", str(tmp_path), "--dbfilename", "taken")
        client = node.connect()
        (tmp_path / "taken").mkdir()
        assert str(client.call("SHUTDOWN", "SAVE")) == "ERR Errors trying to SHUTDOWN. Check logs."
        assert client.call("SET", "k", "v") in (b"OK", True)
        assert "Errors trying to shut down the server." in node.logged()

    def test_replies_of_the_last_turn_still_arrive(self, shoal_node):
        node = shoal_node()
        client = node.connect()
        assert client.lines(b"SET k v\r\nGET k\r\nSHUTDOWN\r\nGET k\r\n") == [b"OK", b"v"]
        assert node.exit_status() == 0


def test_protected_mode_refuses_other_machines(shoal_node):
    """Bound to another address of this machine, a client from there is not of the loopback interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        address = probe.getsockname()[0]
    if address.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    node = shoal_node()
    client = node.connect()
    client.call("CONFIG", "SET", "bind", f"127.0.0.1 {address}")
    with socket.create_connection((address, node.port), timeout=_DEADLINE_S) as outside:
        assert outside.recv(1 << 16).startswith(b"-DENIED Shoal is running in protected mode")
        assert outside.recv(1) == b""
    client.call("CONFIG", "SET", "protected-mode", "no")
    with socket.create_connection((address, node.port), timeout=_DEADLINE_S) as outside:
        outside.sendall(b"PING\r\n")
        assert outside.recv(100) == b"+PONG\r\n"
