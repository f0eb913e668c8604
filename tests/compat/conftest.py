"""The differential harness: the same requests to a redis-server and a node, replies compared byte for byte.

A script is text, a request a line, words quoted as in a shell; a word in single quotes may hold escapes such
as '\\x00'. A mark before a request says how far the replies may differ:

    (none)  not at all
    ~       integers in it may differ by up to two seconds or 2000 ms (each server has its own clock)
    *       the order of an array does not count
    =       doubles are equal, however they are written: with 17 digits by Redis 7.0, with as many as are
            needed by 7.2 and here
    -       not compared: the reply is random, or differs by design (say why in a comment)

`#` begins a comment. Every script starts with an empty keyspace, in the protocol version under test.

What has been sent to both is counted by command; the run's last lines tell it, with `-v` for each command.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

START_DEADLINE_S = 20.0
REPLY_DEADLINE_S = 20.0
CLOCKS_APART = 2000
MARKS = "~*=-"

Request = tuple[str, list[bytes]]
"""A mark ("" when there is none) and the words."""

_REFERENCE = Path(__file__).parents[1] / "fixtures" / "reference" / "commands.json"


class Counts:
    """How often each command of the reference has been sent to both servers, by lower-case name; a
    subcommand's is `container|subcommand`.
    """

    def __init__(self) -> None:
        reference = json.loads(_REFERENCE.read_text())
        self._containers = {command["name"] for command in reference if command.get("subcommands")}
        self._names = {command["name"] for command in reference}
        self._names |= {sub["name"] for command in reference for sub in command.get("subcommands", ())}
        self.by_name: Counter[str] = Counter()

    def add(self, words: list[bytes]) -> None:
        name = words[0].decode("latin-1").lower()
        if name in self._containers and len(words) > 1:
            name += "|" + words[1].decode("latin-1").lower()
        if name in self._names:
            self.by_name[name] += 1


_COUNTS = Counts()


@pytest.fixture(scope="session")
def counts() -> Counts:
    """Those of this run so far."""
    return _COUNTS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What looks at the counts comes behind all that is counted."""
    items.sort(key=lambda item: item.path == Path(__file__).with_name("test_coverage.py"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    by_name = _COUNTS.by_name
    if not by_name:
        return
    write = terminalreporter.write_line
    write(f"{by_name.total():,} commands of {len(by_name)} names compared with redis-server")
    if terminalreporter.config.get_verbosity() >= 0:
        cells = [f"{name} {count:,}" for name, count in sorted(by_name.items())]
        width = max(map(len, cells)) + 2
        columns = max(shutil.get_terminal_size().columns // width, 1)
        for start in range(0, len(cells), columns):
            write("".join(cell.ljust(width) for cell in cells[start : start + columns]).rstrip())


def encode_request(words: Iterable[bytes]) -> bytes:
    words = list(words)
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def reply_end(data: bytes, start: int) -> int | None:
    """Where the reply that begins at `start` ends; None when it is not complete."""
    line_end = data.find(b"\r\n", start)
    if line_end < 0:
        return None
    kind, rest, at = data[start : start + 1], data[start + 1 : line_end], line_end + 2
    if kind in b"$=!":
        end = at if rest == b"-1" else at + int(rest) + 2
        return end if end <= len(data) else None
    count = max(int(rest), 0) * (2 if kind == b"%" else 1) if kind in b"*%~>" else 0
    end: int | None = at
    for _ in range(count):
        end = reply_end(data, end)
        if end is None:
            return None
    return end


class Wire:
    """A client that keeps replies as they came."""

    def __init__(self, port: int, log: Path, counts: Counts | None) -> None:
        self._port = port
        self._log = log
        self._counts = counts
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=REPLY_DEADLINE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = b""

    def again(self) -> Wire:
        """Another client of the same server; the caller closes its socket."""
        return Wire(self._port, self._log, self._counts)

    def send(self, requests: Iterable[list[bytes]]) -> None:
        if self._counts is not None:
            requests = list(requests)
            for words in requests:
                self._counts.add(words)
        self.socket.sendall(b"".join(map(encode_request, requests)))

    def receive(self) -> bytes:
        """The next reply."""
        while (end := reply_end(self._data, 0) if self._data else None) is None:
            data = self.socket.recv(1 << 20)
            if not data:
                pytest.fail(f"the server closed the connection, sent {self._data!r}\n{self._log.read_text()}")
            self._data += data
        reply, self._data = self._data[:end], self._data[end:]
        return reply

    def call(self, *words: bytes) -> bytes:
        self.send([list(words)])
        return self.receive()


def parse_script(text: str) -> list[Request]:
    requests = []
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        mark = ""
        if words[0] in MARKS:
            mark, *words = words
        requests.append((mark, [word.encode().decode("unicode_escape").encode("latin-1") for word in words]))
    return requests


def agree(mark: str, ours: bytes, theirs: bytes) -> bool:
    """Whether two replies are the same as far as the mark demands it."""
    if ours == theirs or mark == "-":
        return True
    if mark == "*":
        return sorted(ours.split(b"\r\n")) == sorted(theirs.split(b"\r\n"))
    if mark == "~":
        numbers = re.compile(rb"(?<=:)-?\d+")
        pairs = zip(numbers.findall(ours), numbers.findall(theirs), strict=False)
        close = all(abs(int(a) - int(b)) <= CLOCKS_APART for a, b in pairs)
        return close and numbers.sub(b"", ours) == numbers.sub(b"", theirs)
    return mark == "=" and _with_doubles(ours) == _with_doubles(theirs)


def _with_doubles(reply: bytes) -> list[bytes | float]:
    """The lines of a reply, doubles as such; without the lengths of strings, which go with their digits."""
    double = re.compile(rb",?(-?\d+\.\d+(e[+-]?\d+)?)")
    lines = [line for line in reply.split(b"\r\n") if not re.fullmatch(rb"\$\d+", line)]
    return [float(match[1]) if (match := double.fullmatch(line)) else line for line in lines]


@dataclass
class Pair:
    """A node and a redis-server, a connection to each."""

    ours: Wire
    theirs: Wire

    def start(self, protocol: int) -> None:
        """Empties both keyspaces and sets the protocol version."""
        for wire in (self.ours, self.theirs):
            wire.send([[b"HELLO", b"%d" % protocol], [b"SELECT", b"0"], [b"FLUSHALL"]])
            replies = [wire.receive() for _ in range(3)]
            assert replies[1:] == [b"+OK\r\n", b"+OK\r\n"], replies

    def run(self, requests: list[Request]) -> None:
        """Sends each request to both servers and compares; a failure shows what led to it."""
        for done, (mark, words) in enumerate(requests):
            self.ours.send([words])
            self.theirs.send([words])
            ours, theirs = self.ours.receive(), self.theirs.receive()
            if not agree(mark, ours, theirs):
                pytest.fail(_report(requests[: done + 1], ours, theirs), pytrace=False)

    def run_script(self, text: str, protocol: int) -> None:
        self.start(protocol)
        self.run(parse_script(text))

    def run_at_once(self, requests: list[Request], protocol: int) -> str | None:
        """The same as one pipeline to each server, which is quicker; returns the first difference."""
        self.start(protocol)
        sent = [words for _, words in requests]
        self.ours.send(sent)
        self.theirs.send(sent)
        replies = [(self.ours.receive(), self.theirs.receive()) for _ in sent]
        for done, (ours, theirs) in enumerate(replies):
            if not agree(requests[done][0], ours, theirs):
                return _report(requests[: done + 1], ours, theirs)
        return None

    def check_sequences(self, make: Callable[[int], list[Request]], seeds: Iterable[int]) -> None:
        """Runs the sequence of each seed in both; one that tells them apart is cut down and shown."""
        for seed in seeds:
            protocol = 2 + seed % 2

            def differs(requests: list[Request], protocol: int = protocol) -> str | None:
                return self.run_at_once(requests, protocol)

            requests = make(seed)
            if (first := differs(requests)) is not None:
                shown = differs(shortest(requests, differs)) or f"{first}\n(it did not come again)"
                pytest.fail(f"seed {seed}, RESP{protocol}:\n{shown}", pytrace=False)


def shortest(requests: list[Request], differs: Callable[[list[Request]], str | None]) -> list[Request]:
    """The requests without those that the difference does not need."""
    chunk = len(requests)
    while chunk:
        start = 0
        while start < len(requests):
            fewer = requests[:start] + requests[start + chunk :]
            if differs(fewer) is not None:
                requests = fewer
            else:
                start += chunk
        chunk //= 2
    return requests


def _report(requests: list[Request], ours: bytes, theirs: bytes) -> str:
    lines = [b" ".join(map(_shown, words)).decode() for _, words in requests[-12:]]
    return "\n".join([*lines, f"  ours:   {ours!r}", f"  theirs: {theirs!r}"])


def _shown(word: bytes) -> bytes:
    return word if re.fullmatch(rb"[!-~]+", word) else repr(word).encode()


def _wait_accepting(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_DEADLINE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{process.args!r} did not start:\n{log.read_text()}")
            time.sleep(0.02)


@dataclass(frozen=True)
class Servers:
    """Ports and logs, ours first."""

    ports: list[int]
    logs: list[Path]


@pytest.fixture(scope="session")
def servers(
    redis_server_path: str, free_port: Callable[[], int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Servers]:
    """One node and one redis-server for all tests of this directory."""
    directory = tmp_path_factory.mktemp("compat")
    started = Servers([], [])
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for name, command in (("node", [sys.executable, "-m", "node"]), ("redis", [redis_server_path])):
            port, log = free_port(), directory / f"{name}.log"
            options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(directory)]
            with log.open("wb") as output:
                processes.append(subprocess.Popen([*command, *options], stdout=output, stderr=output))
            _wait_accepting(port, processes[-1], log)
            started.ports.append(port)
            started.logs.append(log)
        yield started
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(START_DEADLINE_S)


@pytest.fixture
def pair(servers: Servers) -> Iterator[Pair]:
    """Connections to both; requests to ours are counted."""
    counts = [_COUNTS, None]
    wires = [Wire(*server) for server in zip(servers.ports, servers.logs, counts, strict=True)]
    yield Pair(*wires)
    for wire in wires:
        wire.socket.close()


@pytest.fixture
def run_script(pair: Pair) -> Callable[[str, int], None]:
    return pair.run_script


SETTLED = b"settled"


class Side:
    """The clients of one server. After each request all ask for an echo, so what came before is known."""

    def __init__(self, wire: Wire, protocols: list[int]) -> None:
        self.clients = [wire.again() for _ in protocols]
        wire.call(b"FLUSHALL")
        self._ids = [client.call(b"CLIENT", b"ID")[1:-2] for client in self.clients]
        for client, protocol in zip(self.clients, protocols, strict=True):
            client.call(b"HELLO", b"%d" % protocol)

    def step(self, number: int, *requests: list[bytes]) -> list[list[bytes]]:
        """Sends requests, in which `ID0` is the number of the first client; what it got for that, and what
        each client got because of it.
        """
        for nth, id in enumerate(self._ids):
            requests = tuple([id if word == b"ID%d" % nth else word for word in each] for each in requests)
        self.clients[number].send(requests)
        received = []
        for client in [self.clients[number], *self.clients]:
            client.send([[b"PING", SETTLED]])
            got = []
            while SETTLED not in (reply := client.receive()):
                got.append(reply)
            received.append(got)
        return [received[0] + received[1 + number], *received[1:]]

    def close(self) -> None:
        for client in self.clients:
            client.socket.close()


@pytest.fixture
def sides(pair: Pair) -> Iterator[Callable[[list[int]], tuple[Side, Side]]]:
    """Several clients of each server, by their versions of the protocol."""
    made: list[Side] = []

    def make(protocols: list[int]) -> tuple[Side, Side]:
        made.extend(Side(wire, protocols) for wire in (pair.ours, pair.theirs))
        return made[0], made[1]

    yield make
    for side in made:
        side.close()


@pytest.fixture
def changing_commands() -> list[str]:
    """Requests that change keys in every way, and some that only read; each rests on those before."""
    return Path(__file__).with_name("changing_commands.txt").read_text().splitlines()
