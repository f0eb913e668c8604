"""The image's small programs: start-node, node-health."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

BIN = Path(__file__).parents[2] / "deploy" / "bin"
PRIMARY = f"{'a' * 40} 172.30.77.131:7000@17000,127.0.0.1 myself,master - 0 0 1 connected 0-5460\n"
PLAIN_PRIMARY = f"{'a' * 40} 172.30.77.131:7000@17000 myself,master - 0 0 1 connected 7\n"
REPLICA = f"{'a' * 40} 172.30.77.131:7000@17000 myself,slave {'b' * 40} 0 0 1 connected\n"
OTHER = f"{'b' * 40} 172.30.77.132:7001@17001 master - 0 0 2 connected 5461-10922\n"
NEW = f"{'a' * 40} :0@0 myself,master - 0 0 0 connected\n"
VARS = "vars currentEpoch 6 lastVoteEpoch 0\n"


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str, str], None]:
    """Puts a shell script on the path, before all others: `program(name, script)`."""
    (tmp_path / "bin").mkdir()

    def write(name: str, script: str) -> None:
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return write


def start(tmp_path: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
    path = f"{tmp_path / 'bin'}:/usr/bin:/bin"
    return subprocess.Popen(
        [str(BIN / words[0]), *words[1:]],
        cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={"PATH": path, **environment},
    )  # fmt: skip


def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit status, standard output, standard error."""
    output, errors = process.communicate(timeout=10)
    return process.returncode, output, errors


class TestStartNode:
    @pytest.fixture(autouse=True)
    def programs(self, program: Callable[[str, str], None]) -> None:
        program("shoal-node", 'echo "node $$ $*"')
        program("sleep", 'echo "sleep $1"')

    def test_becomes_the_node_with_its_arguments(self, tmp_path: Path) -> None:
        """The same process, so that signals reach it."""
        process = start(tmp_path, "start-node", "--port", "7000", SHOAL_RESTART_DELAY="10")
        assert finished(process) == (0, f"node {process.pid} --port 7000\n", "")

    @pytest.mark.parametrize("line", [PRIMARY, PLAIN_PRIMARY])
    def test_a_primary_that_comes_back_waits(self, tmp_path: Path, line: str) -> None:
        (tmp_path / "nodes.conf").write_text(OTHER + line + VARS)
        process = start(tmp_path, "start-node", SHOAL_RESTART_DELAY="10")
        status, output, errors = finished(process)
        assert (status, output) == (0, f"sleep 10\nnode {process.pid} \n")
        assert "it starts in 10 s" in errors

    @pytest.mark.parametrize("line", [REPLICA, NEW])
    def test_others_do_not_wait(self, tmp_path: Path, line: str) -> None:
        (tmp_path / "nodes.conf").write_text(OTHER + line + VARS)
        assert "sleep" not in finished(start(tmp_path, "start-node", SHOAL_RESTART_DELAY="10"))[1]

    def test_without_a_delay_nobody_waits(self, tmp_path: Path) -> None:
        (tmp_path / "nodes.conf").write_text(PRIMARY)
        assert "sleep" not in finished(start(tmp_path, "start-node"))[1]

    def test_a_stop_ends_the_wait(self, tmp_path: Path, program: Callable[[str, str], None]) -> None:
        (tmp_path / "nodes.conf").write_text(PRIMARY)
        # Started in the background, with SIGINT ignored by the shell as in all such processes; it says so.
        program("sleep", "echo waiting; exec tail -f /dev/null")
        process = start(tmp_path, "start-node", SHOAL_RESTART_DELAY="10")
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGTERM)
        assert finished(process)[:2] == (0, "")


class TestNodeHealth:
    @pytest.fixture
    def node(self) -> Iterator[tuple[socket.socket, list[bytes]]]:
        """A listening socket, and what it was sent; `answer` serves one connection."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(10)
            yield listener, []

    def ask(
        self, tmp_path: Path, node: tuple[socket.socket, list[bytes]], answer: bytes, **environment: str
    ) -> tuple[int, str, str]:
        listener, received = node

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                received.append(connection.recv(4096))
                for byte in answer:
                    connection.sendall(bytes([byte]))

        server = threading.Thread(target=serve)
        server.start()
        variables = {"SHOAL_PORT": str(listener.getsockname()[1]), **environment}
        result = finished(start(tmp_path, "node-health", **variables))
        server.join()
        return result

    def test_a_node_that_answers_is_healthy(
        self, tmp_path: Path, node: tuple[socket.socket, list[bytes]]
    ) -> None:
        assert self.ask(tmp_path, node, b"+PONG\r\n") == (0, "", "")
        assert node[1] == [b"*1\r\n$4\r\nPING\r\n"]

    def test_a_password_is_given_when_there_is_one(
        self, tmp_path: Path, node: tuple[socket.socket, list[bytes]]
    ) -> None:
        assert self.ask(tmp_path, node, b"+OK\r\n+PONG\r\n", SHOAL_PASSWORD="pass word")[0] == 0
        assert node[1] == [b"*2\r\n$4\r\nAUTH\r\n$9\r\npass word\r\n*1\r\n$4\r\nPING\r\n"]

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            (b"-LOADING Shoal is loading the dataset in memory\r\n", "LOADING"),
            (b"-NOAUTH Authentication required.\r\n", "NOAUTH"),
            (b"", "closed"),
            (b"+PO", "closed"),
        ],
    )
    def test_anything_else_is_not(
        self, tmp_path: Path, node: tuple[socket.socket, list[bytes]], answer: bytes, reason: str
    ) -> None:
        status, output, errors = self.ask(tmp_path, node, answer)
        assert (status, output) == (1, "")
        assert reason in errors

    def test_nobody_there(self, tmp_path: Path, free_port: Callable[[], int]) -> None:
        port = free_port()
        process = start(tmp_path, "node-health", str(port))
        assert finished(process) == (1, "", f"port {port}: Connection refused\n")


def test_the_programs_can_run_in_the_image() -> None:
    """Debian's sh is dash: nothing that only bash knows."""
    assert (BIN / "start-node").read_text().startswith("#!/bin/sh\n")
    checked = subprocess.run(["sh", "-n", str(BIN / "start-node")], capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, b"")
    assert os.access(BIN / "node-health", os.X_OK)
