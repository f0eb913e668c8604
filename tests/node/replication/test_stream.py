"""The stream: names of histories, offsets, and the database that commands are for."""

from __future__ import annotations

from node.replication.stream import NO_REPLID, Stream

SELECT_0 = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n"
SELECT_3 = b"*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n"
PING = b"*1\r\n$4\r\nPING\r\n"


def test_offset_counts_what_was_fed_before_it_is_taken() -> None:
    stream = Stream()
    stream.open_backlog(1000)
    stream.feed_bare([b"PING"])
    assert stream.offset == len(PING)
    assert stream.take() == PING
    assert stream.take() == b""


def test_select_precedes_a_command_for_another_database() -> None:
    stream = Stream()
    stream.open_backlog(1000)
    for db_index in (0, 0, 3, 0):
        stream.feed(db_index, [b"PING"])
    assert stream.take() == SELECT_0 + PING + PING + SELECT_3 + PING + SELECT_0 + PING
    stream.select_again()
    stream.feed(0, [b"PING"])
    assert stream.take() == SELECT_0 + PING


def test_promotion_keeps_the_old_id_up_to_where_the_branch_begins() -> None:
    """PSYNC2: a sibling at an offset that both histories share may continue; one ahead of it may not."""
    stream = Stream()
    stream.adopt(b"a" * 40, 500, 1000)
    stream.branch()
    assert stream.replid2 == b"a" * 40
    assert stream.second_offset == 501
    assert stream.names(b"a" * 40, 501)
    assert not stream.names(b"a" * 40, 502)
    assert stream.names(stream.replid, 10**9)
    stream.feed(0, [b"PING"])
    assert stream.take().startswith(SELECT_0)


def test_a_full_synchronisation_takes_over_id_and_offset() -> None:
    stream = Stream()
    stream.open_backlog(1000)
    stream.feed_bare([b"PING"])
    stream.adopt(b"b" * 40, 77, 1000)
    assert (stream.replid, stream.replid2, stream.offset, stream.second_offset) == (
        b"b" * 40,
        NO_REPLID,
        77,
        -1,
    )
    assert stream.take() == b""
    assert stream.backlog is not None
    assert stream.backlog.first == 78


def test_a_history_that_is_not_held_any_more_has_no_name() -> None:
    """Changes without a backlog are not counted, so the id that replicas know must go."""
    stream = Stream()
    stream.open_backlog(1000)
    before = stream.replid
    stream.close_backlog()
    assert not stream.names(before, 1)
    assert stream.replid2 == NO_REPLID
