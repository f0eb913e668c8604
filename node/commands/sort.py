"""SORT and SORT_RO: the elements of a list, set or sorted set in order, by themselves or by what other keys
hold, returned or stored as a list.

A pattern (of BY and GET) makes of an element the name of a key, `weight_*`, or of a hash and a field in it,
`object_*->name`. A BY pattern without `*` means: leave the order as it is.

Text is compared byte by byte, as C does in the locale "C"; numbers are read as C's strtod does.

Source: the page of SORT; sort.c of Redis 7.2 for what happens to equal and missing weights.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from node.acl.service import Acl
from node.command.args import SYNTAX, WRONG_TYPE, integer
from node.command.call import Call
from node.command.keyspec import KeyFlag, key, unknown_keys
from node.command.spec import ACCESS, DENYOOM, OW, READONLY, RO, UPDATE, WRITE, command
from node.commands.access import read_hash_at, store
from node.config.config import Config
from node.config.table import CLUSTER_ENABLED
from node.errors import CommandError
from node.keyspace.changes import EventClass
from node.resp import encode
from node.resp.encode import array
from node.values.hashes import Hash
from node.values.lists import List
from node.values.sets import Set
from node.values.strings import TYPES, as_bytes
from node.values.zsets import Zset

_COMPLEXITY = (
    "O(N+M*log(M)) where N is the number of elements in the list or set to sort, and M the number of "
    "returned elements. When the elements are not sorted, complexity is O(N)."
)
_PATTERN_NOTES = (
    "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the content "
    "of the key we sort"
)
_STORE_NOTES = (
    "For the optional STORE keyword. It is marked 'unknown' because the keyword can appear anywhere in the "
    "argument array"
)
_CATEGORIES = ("set", "sortedset", "list", "dangerous")
_DENIED = b"ERR %b option of SORT denied due to insufficient ACL permissions."
_VALUES_BEHIND = {b"LIMIT": 2, b"BY": 1, b"GET": 1}


class Pattern:
    """What BY and GET name. A C string: what follows a zero byte does not count."""

    __slots__ = ("field", "is_element", "is_fixed", "prefix", "suffix")

    def __init__(self, text: bytes) -> None:
        visible = text.partition(b"\0")[0]
        star = visible.find(b"*")
        arrow = visible.find(b"->", star + 1)
        self.is_element = visible == b"#"
        self.is_fixed = star < 0
        self.prefix = text[:star]
        self.field: bytes | None = None
        self.suffix = text[star + 1 :]
        if 0 <= arrow < len(visible) - 2:
            self.suffix = text[star + 1 : arrow]
            self.field = text[arrow + 2 :]

    def look_up(self, call: Call, element: bytes) -> bytes | None:
        """What the pattern stands for with this element, None when there is no such thing."""
        if self.is_element:
            return element
        if self.is_fixed:
            return None
        name = self.prefix + element + self.suffix
        value = call.read(name)
        if self.field is None:
            return as_bytes(value) if value is not None and type(value) in TYPES else None
        if type(value) is not Hash:
            return None
        there = read_hash_at(call, name)  # again, for the fields whose time is over
        return None if there is None else there.get(self.field, call.db.fields_ms(call.now_ms))


class _Options:
    """What stands behind the key."""

    __slots__ = ("alpha", "as_it_is", "by", "count", "descending", "get", "start", "target")

    def __init__(
        self, argv: list[bytes], with_store: bool, in_cluster: bool, reads_all: Callable[[], bool]
    ) -> None:
        """`reads_all`: whether the client may read every key. Raises CommandError."""
        self.alpha = self.descending = False
        self.as_it_is = False  # some BY has a pattern without `*`
        self.by: Pattern | None = None
        self.get: list[Pattern] = []
        self.start, self.count = 0, -1
        self.target: bytes | None = None
        at = 2
        while at < len(argv):
            word, left = argv[at].upper(), len(argv) - at - 1
            if word in (b"ASC", b"DESC"):
                self.descending = word == b"DESC"
            elif word == b"ALPHA":
                self.alpha = True
            elif word == b"LIMIT" and left >= 2:
                self.start, self.count = integer(argv[at + 1]), integer(argv[at + 2])
            elif word == b"STORE" and with_store and left:
                self.target = argv[at + 1]
                at += 1
            elif word == b"BY" and left:
                self.by = Pattern(argv[at + 1])
                self.as_it_is |= self.by.is_fixed
                if in_cluster and not self.by.is_fixed:
                    raise CommandError(b"ERR BY option of SORT denied in Cluster mode.")
                if not self.by.is_fixed and not reads_all():
                    raise CommandError(_DENIED % b"BY")
            elif word == b"GET" and left:
                if in_cluster:
                    raise CommandError(b"ERR GET option of SORT denied in Cluster mode.")
                if not reads_all():
                    raise CommandError(_DENIED % b"GET")
                self.get.append(Pattern(argv[at + 1]))
            else:
                raise CommandError(SYNTAX)
            at += 1 + _VALUES_BEHIND.get(word, 0)

    def span(self, size: int) -> tuple[int, int]:
        """The places that LIMIT chooses of `size`, from the first to before the second."""
        start = min(max(self.start, 0), size)
        return start, size if self.count < 0 else min(start + self.count, size)


def _keys(argv: list[bytes]) -> list[tuple[int, KeyFlag]]:
    """The key to sort, and the last one that STORE names."""
    found = [(1, RO | ACCESS)]
    at = 2
    while at < len(argv):
        word = argv[at].upper()
        if word == b"STORE" and at + 1 < len(argv):
            found[1:] = [(at + 1, OW | UPDATE)]
        at += 1 + _VALUES_BEHIND.get(word, 0)
    return found


@command(
    b"SORT", arity=-2, group="generic", since="1.0.0", flags=WRITE | DENYOOM, needs=(Config, Acl),
    keys=[
        key(1, RO | ACCESS), unknown_keys(RO | ACCESS, _PATTERN_NOTES),
        unknown_keys(OW | UPDATE, _STORE_NOTES),
    ],
    find_keys=_keys, complexity=_COMPLEXITY, categories=_CATEGORIES,
)  # fmt: skip
def sort(config: Config, acl: Acl, call: Call, argv: list[bytes]) -> bytes:
    """Returns the elements of a list, set or sorted set in order, or stores them."""
    options = _Options(
        argv,
        with_store=True,
        in_cluster=config[CLUSTER_ENABLED],
        reads_all=lambda: acl.reads_every_key(call.session, b"SORT", argv),
    )
    elements = _sorted(call, argv[1], options)
    if options.target is None:
        return _reply(call, elements, options.get)
    if options.get:
        elements = [pattern.look_up(call, one) or b"" for one in elements for pattern in options.get]
    value = List.from_items(elements, call.db.limits)
    return encode.integer(store(call, options.target, value, EventClass.LIST, b"sortstore"))


@command(
    b"SORT_RO", arity=-2, group="generic", since="7.0.0", flags=READONLY, needs=(Config, Acl),
    keys=[key(1, RO | ACCESS), unknown_keys(RO | ACCESS, _PATTERN_NOTES)], complexity=_COMPLEXITY,
    categories=_CATEGORIES,
)  # fmt: skip
def sort_ro(config: Config, acl: Acl, call: Call, argv: list[bytes]) -> bytes:
    """Returns the elements of a list, set or sorted set in order."""
    options = _Options(
        argv,
        with_store=False,
        in_cluster=config[CLUSTER_ENABLED],
        reads_all=lambda: acl.reads_every_key(call.session, b"SORT_RO", argv),
    )
    return _reply(call, _sorted(call, argv[1], options), options.get)


def _reply(call: Call, elements: Sequence[bytes], get: list[Pattern]) -> bytes:
    if not get:
        return encode.bulks(elements)
    optional = call.reply.optional
    return array([optional(pattern.look_up(call, one)) for one in elements for pattern in get])


def _sorted(call: Call, name: bytes, options: _Options) -> Sequence[bytes]:
    """The elements chosen, in order. Raises CommandError."""
    value = call.read(name)
    if value is None:
        return []
    if not isinstance(value, (List, Set, Zset)):
        raise CommandError(WRONG_TYPE)
    start, stop = options.span(len(value))
    if options.as_it_is and not isinstance(value, Set):
        return _in_their_order(value, start, stop, options.descending)
    elements, by = _elements(value), options.by
    if by is not None and isinstance(value, Set) and options.target is not None:
        # A set has no order, but what is stored must be the same at every replica.
        elements.sort(reverse=options.as_it_is and options.descending)
    if options.as_it_is:
        return elements[start:stop]
    weights: Sequence[bytes | None] = elements
    if by is not None:
        weights = [by.look_up(call, one) for one in elements]
    order = _text_order if options.alpha else _number_order
    return order(elements, weights, options.descending)[start:stop]


def _elements(value: List | Set | Zset) -> list[bytes]:
    if isinstance(value, Zset):
        return [member for _, member in value]
    return list(value)


def _in_their_order(value: List | Zset, start: int, stop: int, descending: bool) -> Sequence[bytes]:
    if start >= stop:
        return []
    if descending:
        start, stop = len(value) - stop, len(value) - start
    if isinstance(value, Zset):
        return [member for _, member in value.slice(start, stop, reverse=descending)]
    found = value.range(start, stop - 1)
    return found[::-1] if descending else found


def _text_order(elements: list[bytes], weights: Sequence[bytes | None], descending: bool) -> Sequence[bytes]:
    """By weight as text; one without comes first, those with equal ones stay as they are."""
    if weights is elements:
        return sorted(elements, reverse=descending)
    places = sorted(
        range(len(elements)),
        key=lambda at: (weights[at] is not None, weights[at] or b""),
        reverse=descending,
    )
    return [elements[at] for at in places]


def _number_order(
    elements: list[bytes], weights: Sequence[bytes | None], descending: bool
) -> Sequence[bytes]:
    """By weight as a number, 0 without one; those with equal ones as text. Raises CommandError."""
    pairs = [
        (0.0 if weight is None else _number(weight), one)
        for weight, one in zip(weights, elements, strict=True)
    ]
    pairs.sort(reverse=descending)
    return [one for _, one in pairs]


_DECIMAL = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_HEXADECIMAL = re.compile(rb"[+-]?0[xX]([0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)([pP][+-]?\d+)?")
_INFINITY = re.compile(rb"[+-]?inf(inity)?", re.IGNORECASE)
_NO_NUMBER = b"ERR One or more scores can't be converted into double"
_SMALLEST_NORMAL = 2.2250738585072014e-308


def _number(text: bytes) -> float:
    """What C's strtod makes of the whole of a string. Raises CommandError."""
    if text.isdigit() and len(text) < 300:
        return float(text)
    visible = text.partition(b"\0")[0]
    if not visible:
        return 0.0
    text = visible.lstrip(b" \t\n\v\f\r")
    try:
        if _DECIMAL.fullmatch(text):
            value = float(text)
            vanished = abs(value) < _SMALLEST_NORMAL and re.search(rb"[1-9]", re.split(rb"[eE]", text)[0])
        elif _HEXADECIMAL.fullmatch(text):
            value = float.fromhex(text.decode())
            vanished = value == 0 and re.search(rb"[1-9a-fA-F]", re.split(rb"[pP]", text[2:])[0])
        elif _INFINITY.fullmatch(text):
            return float(text)
        else:
            raise CommandError(_NO_NUMBER)
    except OverflowError:
        raise CommandError(_NO_NUMBER) from None
    if vanished or value in (float("inf"), float("-inf")):
        raise CommandError(_NO_NUMBER)  # out of range
    return value
