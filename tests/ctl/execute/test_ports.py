"""ctl.execute.ports"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ctl.errors import CtlError, UsageError
from ctl.execute import ports


@contextmanager
def listening(port: int) -> Iterator[None]:
    with socket.create_server(("127.0.0.1", port)):
        yield


@pytest.mark.parametrize("offset", [0, ports.BUS_OFFSET])
def test_the_default_run_moves_on_when_a_port_or_its_bus_port_is_taken(
    offset: int, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = free_port()
    monkeypatch.setattr(ports, "DEFAULT_BASE_PORT", base - 1)
    with listening(base + offset):
        chosen, in_the_way = ports.choose_base_port("127.0.0.1", None, 2)
    assert base in in_the_way
    assert chosen > base


def test_a_run_asked_for_that_is_taken_is_refused(free_port: Callable[[], int]) -> None:
    base = free_port()
    with listening(base), pytest.raises(CtlError, match=f"in use: {base}"):
        ports.choose_base_port("127.0.0.1", base, 1)
    assert ports.choose_base_port("127.0.0.1", base, 1) == (base, [])


@pytest.mark.parametrize("base", [0, 80, 22_768, 60_000])
def test_bus_ports_stay_below_those_of_outgoing_connections(base: int) -> None:
    with pytest.raises(UsageError, match="out of bounds"):
        ports.choose_base_port("127.0.0.1", base, 1)


@pytest.mark.parametrize("host", ["192.0.2.1", "host.invalid"])
def test_a_host_that_is_not_this_machine(host: str) -> None:
    with pytest.raises(UsageError, match=host.replace(".", r"\.")):
        ports.choose_base_port(host, 20_000, 1)
