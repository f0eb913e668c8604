"""Users in files: aclfile, which ACL LOAD reads and ACL SAVE writes, and `user` lines of redis.conf.

A file counts as a whole: whatever is wrong in it is told at once, with the numbers of lines, and nothing of
it is taken. Words are separated by spaces, without quotes; there are no comments, which would be lost with
ACL SAVE.

Source: https://redis.io/docs/management/security/acl/, "Use an external ACL file"
"""

from __future__ import annotations

from collections.abc import Iterable

from node.acl.rules import RuleError, Rules, UnknownNameError, UnmatchedError, merged, valid_name
from node.acl.user import User


class AclFileError(Exception):
    """A file cannot be read, or its lines are wrong: the text tells all that is."""


def read_users(path: str, shown: str, rules: Rules) -> dict[bytes, User]:
    """The users of a file by name; `shown` is how messages call it. Raises AclFileError."""
    try:
        with open(path, "rb") as file:
            text = file.read()
    except (OSError, ValueError) as failed:
        reason = getattr(failed, "strerror", None) or str(failed)
        raise AclFileError(f"Error loading ACLs, opening file '{shown}': {reason}") from None
    users: dict[bytes, User] = {}
    wrong: list[str] = []
    for number, line in enumerate(text.split(b"\n"), 1):
        words = [word for word in line.strip(b" \t\r\n").split(b" ") if word]
        if words:
            wrong += _read_line(words, f"{shown}:{number}", number, users, rules)
    if wrong:
        raise AclFileError(
            " ".join(wrong)
            + " WARNING: ACL errors detected, no change to the previously active ACL rules was performed"
        )
    return users


def _read_line(
    words: list[bytes], place: str, number: int, users: dict[bytes, User], rules: Rules
) -> Iterable[str]:
    """Adds the user of a line; tells what is wrong with it."""
    if words[0] != b"user" or len(words) < 2:
        yield f"{place} should start with user keyword followed by the username."
        return
    name = words[1]
    if not valid_name(name):
        yield f"'{place}: username '{_text(name)}' contains invalid characters."
        return
    if name in users:
        yield f"WARNING: Duplicate user '{_text(name)}' found on line {number}."
        return
    user = users[name] = rules.new_user(name)
    try:
        changes = merged(words[2:])
    except UnmatchedError:
        yield f"{place}: Unmatched parenthesis in selector definition."
        return
    told = False
    for rule in changes:
        try:
            rules.apply(user, rule.strip(b"\t\r\n"))
        except UnknownNameError as unknown:
            yield f"{place}: Error in applying operation '{_text(rule)}': {unknown}."
        except RuleError as refused:
            if not told:  # what follows may be wrong because of the first
                yield f"{place}: {refused}."
            told = True


def _text(word: bytes) -> str:
    return word.decode("utf-8", "backslashreplace")
