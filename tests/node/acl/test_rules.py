"""Rules → users; the texts of errors are compared with redis-server's in tests/compat/test_acl.py."""

from __future__ import annotations

from typing import Any

import pytest

from node.acl.rules import RuleError, UnknownNameError, UnmatchedError, merged
from node.acl.user import User, password_hash


def made(node: Any, *rules: str) -> User:
    user = node.acl.rules.new_user(b"u")
    for rule in rules:
        node.acl.rules.apply(user, rule.encode())
    return user


def commands(user: User) -> str:
    return user.own.describe_commands().decode()


def test_a_new_user_is_off_and_may_do_nothing(node: Any) -> None:
    assert made(node).describe() == b"off sanitize-payload resetchannels -@all"


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ("+get +set", "-@all +get +set"),
        ("+get +get", "-@all +get"),
        ("+get -get", "-@all -get"),
        ("+@all -get", "+@all -get"),
        ("+get +@all", "+@all"),
        ("allcommands -@read +get", "+@all -@read +get"),
        ("+@read -@read", "-@all -@read"),
        ("+config|get +config|set -config", "-@all -config"),
        ("+GeT +@ReAd +CONFIG|Get", "-@all +get +@read +config|get"),
        ("+select|0 +select|0 +select|A", "-@all +select|0 +select|a"),
        ("+select|0 +select", "-@all +select"),
    ],
)
def test_rules_on_commands_stay_as_said_less_what_was_overruled(node: Any, rules: str, told: str) -> None:
    user = made(node, *rules.split())
    assert commands(user) == told
    assert commands(made(node, *told.split())) == told, "a description makes the same user"


def test_patterns_are_kept_once_with_all_that_was_allowed(node: Any) -> None:
    user = made(node, "%R~a", "~b", "%W~a", "%r~c", "%wR~d", "&x", "&x", "&y")
    assert user.own.describe_keys() == [b"~a", b"~b", b"%R~c", b"~d"]
    assert user.own.describe_channels() == [b"&x", b"&y"]


def test_reset_undoes_everything_but_the_name(node: Any) -> None:
    user = made(
        node, "on", ">x", "nopass", "~a", "allchannels", "+@all", "(+get)", "skip-sanitize-payload", "reset"
    )
    assert user.describe() == made(node).describe()


def test_passwords_are_kept_as_hashes_and_once(node: Any) -> None:
    user = made(node, "on", ">x", ">y", "#" + password_hash(b"x").decode(), "<y")
    assert user.passwords == [password_hash(b"x")]
    assert user.knows(b"x")
    assert not user.knows(b"y")
    node.acl.rules.apply(user, b"off")
    assert not user.knows(b"x")


def test_any_password_does_with_nopass_until_one_is_set(node: Any) -> None:
    user = made(node, "on", ">x", "nopass")
    assert user.knows(b"anything")
    assert user.passwords == []
    node.acl.rules.apply(user, b">x")
    assert not user.knows(b"anything")


@pytest.mark.parametrize(
    "rule", ["%~a", "%RW", "%X~a", "%RR~a", "~a b", "&a b", "?", "on off", "+get|", "(+nosuch)"]
)
def test_a_wrong_rule_changes_nothing(node: Any, rule: str) -> None:
    user = made(node, "~x", "+get")
    before = user.describe()
    with pytest.raises(RuleError):
        node.acl.rules.apply(user, rule.encode())
    assert user.describe() == before


@pytest.mark.parametrize(
    "rule", ["+nosuch", "-nosuch", "+@nosuch", "+config|nosuch", "-get|x", "+nosuch|x", "-select|0"]
)
def test_unknown_names_are_told_as_such(node: Any, rule: str) -> None:
    with pytest.raises(UnknownNameError):
        made(node, rule)


def test_a_selector_may_be_spread_over_words() -> None:
    words = b"on (~a +get) ( +set ~b ) >x".split()
    assert merged(words) == [b"on", b"(~a +get)", b"( +set ~b )", b">x"]
    with pytest.raises(UnmatchedError) as caught:
        merged([b"on", b"(~a", b"+get"])
    assert caught.value.word == b"(~a"


def test_a_description_makes_the_same_user(node: Any) -> None:
    rules = [
        "on",
        ">x",
        "~a*",
        "%R~b",
        "&c",
        "+@all",
        "-@dangerous",
        "+keys",
        "(%W~z +set)",
        "(allkeys +@read -get)",
    ]
    user = made(node, *rules)
    again = made(node, *(word.decode() for word in merged(user.describe().split(b" "))))
    assert again.describe() == user.describe()
    assert len(again.selectors) == 3


def test_more_commands_are_in_the_categories_that_rules_name(node: Any) -> None:
    """A module brings commands later: see Acl.bind."""
    table, users = node.table, node.acl.users
    get = table.commands.pop(b"GET")
    node.acl.bind(table)
    users[b"u"] = made(node, "+@read")
    users[b"all"] = made(node, "+@all", "allkeys", "allchannels")
    users[b"none"] = made(node, "+set")
    table.commands[b"GET"] = get
    node.acl.bind(table)
    for name, denied in ((b"u", False), (b"all", False), (b"none", True)):
        users[name].own.all_keys = True
        assert (node.acl.denial_of(users[name], get, [b"GET", b"k"]) is not None) == denied
    assert not users[b"all"].is_restricted
