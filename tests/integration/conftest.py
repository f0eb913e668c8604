"""Shoal nodes as real processes, and a client that sends and receives raw bytes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hiredis
import pytest

DEADLINE_S = 60.0  # a machine may be shared by many
ROOT = Path(__file__).parents[2]


class RawClient:
    """One connection. `send` takes bytes as they are, `reply` gives the next reply as a value."""

    def __init__(self, address: tuple[str, int] | str) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(DEADLINE_S)
        try:
            self.socket.connect(address)
        except OSError:
            self.socket.close()
            raise
        self._reader = hiredis.Reader()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reply(self) -> Any:
        """Errors come as hiredis.ReplyError values. Raises EOFError when the server has closed."""
        while (value := self._reader.gets()) is False:
            try:
                data = self.socket.recv(1 << 20)
            except ConnectionResetError:
                data = b""
            if not data:
                raise EOFError
            self._reader.feed(data)
        return value

    def call(self, *words: bytes | str | int) -> Any:
        self.send(hiredis.pack_command(tuple(words)))
        return self.reply()

    def lines(self, data: bytes) -> list[Any]:
        """Sends, and gives the replies up to the end of the connection."""
        self.send(data)
        replies = []
        while True:
            try:
                value = self.reply()
            except EOFError:
                return replies
            replies.append(str(value) if isinstance(value, hiredis.ReplyError) else value)

    def is_closed(self) -> bool:
        """Waits for the server to close; what it still sends is dropped."""
        try:
            while self.socket.recv(1 << 20):
                pass
        except ConnectionResetError:
            return True
        return True

    def close(self) -> None:
        self.socket.close()


@dataclass
class NodeProcess:
    """A node that was started; `log` is the file of its standard output and error."""

    port: int
    directory: Path
    log: Path
    process: subprocess.Popen[bytes]
    clients: list[RawClient]

    def connect(self, address: str | None = None) -> RawClient:
        client = RawClient(address or ("127.0.0.1", self.port))
        self.clients.append(client)
        return client

    def connect_when_up(self) -> RawClient:
        """For nodes whose log does not tell that they are ready."""
        deadline_s = time.monotonic() + DEADLINE_S
        while True:
            try:
                return self.connect()
            except ConnectionRefusedError:
                if self.process.poll() is not None or time.monotonic() > deadline_s:
                    pytest.fail(f"the node does not answer:\n{self.logged()}")
            time.sleep(0.02)

    def logged(self) -> str:
        return self.log.read_text()

    def wait_for_log(self, text: str) -> str:
        """The log, once `text` is in it."""
        deadline_s = time.monotonic() + DEADLINE_S
        while text not in self.logged():
            if time.monotonic() > deadline_s:
                pytest.fail(f"not logged: {text!r}\n{self.logged()}")
            time.sleep(0.01)
        return self.logged()

    def exit_status(self) -> int:
        return self.process.wait(DEADLINE_S)


class Starter:
    """Starts nodes, each in a directory of its own below `directory`."""

    def __init__(self, free_port: Callable[[], int], directory: Path) -> None:
        self._free_port = free_port
        self._directory = directory
        self._started: list[NodeProcess] = []

    def start(self, *arguments: str, port: int | None = None, limit: int | None = None) -> NodeProcess:
        """Starts a node with these arguments before the usual options, and does not wait for it.

        `limit` is a soft and hard limit on open files.
        """
        port = self._free_port() if port is None else port
        directory = self._directory / f"node-{port}-{len(self._started)}"
        directory.mkdir()
        command = [sys.executable, "-m", "node", *arguments]
        for option, value in (("--port", str(port)), ("--dir", str(directory)), ("--bind", "127.0.0.1")):
            if option not in arguments:
                command += [option, value]
        if limit is not None:
            command = ["sh", "-c", f'ulimit -n {limit}; exec "$@"', "sh", *command]
        log = directory / "output.log"
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, cwd=directory)
        node = NodeProcess(port, directory, log, process, [])
        self._started.append(node)
        return node

    def start_ready(self, *arguments: str, **options: int) -> NodeProcess:
        """The same, and waits until the node is ready to accept connections."""
        node = self.start(*arguments, **options)
        deadline_s = time.monotonic() + DEADLINE_S
        while "Ready to accept connections" not in node.logged():
            if node.process.poll() is not None or time.monotonic() > deadline_s:
                pytest.fail(f"the node did not start:\n{node.logged()}")
            time.sleep(0.01)
        return node

    def stop(self) -> None:
        for node in self._started:
            for client in node.clients:
                client.close()
            node.process.kill()
            node.process.wait()


@pytest.fixture
def starter(free_port: Callable[[], int], tmp_path: Path) -> Iterator[Starter]:
    starter = Starter(free_port, tmp_path)
    yield starter
    starter.stop()


@pytest.fixture
def start_node(starter: Starter) -> Callable[..., NodeProcess]:
    return starter.start


@pytest.fixture
def shoal_node(starter: Starter) -> Callable[..., NodeProcess]:
    return starter.start_ready


@pytest.fixture(scope="module")
def module_starter(
    free_port: Callable[[], int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Starter]:
    """For nodes that a module's tests share."""
    starter = Starter(free_port, tmp_path_factory.mktemp("shared"))
    yield starter
    starter.stop()


@pytest.fixture(scope="module")
def shared_node(module_starter: Starter) -> NodeProcess:
    """One node with default settings for a module's tests; they clean up behind themselves."""
    return module_starter.start_ready()


@pytest.fixture(scope="module")
def shared_tls_node(
    free_port: Callable[[], int], tls_arguments: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[NodeProcess, int]]:
    """One with a TLS port too, which comes with it."""
    starter = Starter(free_port, tmp_path_factory.mktemp("shared"))
    tls_port = free_port()
    yield starter.start_ready(*tls_arguments, "--tls-port", str(tls_port)), tls_port
    starter.stop()
