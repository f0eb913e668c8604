"""ctl.plan.explain: from a key to the node that has it, and what the arguments mean."""

from __future__ import annotations

from typing import Any

import pytest

from ctl.plan.explain import UNREAD, Explanation, KeyCopy, choose, explain_key, explain_slot
from ctl.plan.steps import PlanError
from ctl.survey import Survey
from gossip.slots import key_slot


def texts(explanation: Explanation) -> list[str]:
    return [statement.text for statement in explanation.statements]


def evidence(explanation: Explanation, start: str) -> tuple[str, ...]:
    return next(each.evidence for each in explanation.statements if each.text.startswith(start))


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (b"foo", "The key foo has no hash tag, so all of it is hashed."),
        (b"{user1}:x", "The key {user1}:x has the hash tag user1, and only that is hashed."),
        (b"a{}b", "All of the key a{}b is hashed: its braces make no hash tag."),
        (b"a{b", "All of the key a{b is hashed: its braces make no hash tag."),
        (b"}{x}", "The key }{x} has the hash tag x, and only that is hashed."),
    ],
)
def test_what_of_a_key_is_hashed(clusters: Any, key: bytes, said: str) -> None:
    explanation = explain_key(Survey(clusters.build(*clusters.three_shards())), key, {}, [])
    assert texts(explanation)[:2] == [said, f"That makes slot {key_slot(key)}."]


def test_owner_epoch_replicas_and_who_agrees(clusters: Any) -> None:
    edit = {("z", "c"): {"slots": clusters.slots("10923-12000")}}
    survey = Survey(clusters.build(*clusters.three_shards(), edit=edit))
    explanation = explain_slot(survey, 12182, {clusters.node_id("c"): 4})
    assert texts(explanation) == [
        "Slot 12182 is owned by 10.0.0.3:7002, with configuration epoch 3.",
        "Its replica is 10.0.0.6:7005.",
        "No move of it is under way.",
        "10.0.0.3:7002 holds 4 keys of it.",
    ]
    assert evidence(explanation, "Slot") == (
        "5 of 6 nodes that answer say so (CLUSTER NODES)",
        "10.0.0.6:7005 says nobody",
    )
    assert explanation.facts["keys"] == 4


def test_a_slot_without_an_owner(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[0].slots = "1-5460"
    survey = Survey(clusters.build(*specs, edit={("b", "a"): {"slots": clusters.slots("0-5460")}}))
    explanation = explain_slot(survey, 0, {})
    assert texts(explanation)[0] == "Slot 0 has no owner; commands for its keys are refused."
    assert "10.0.0.2:7001 gives it to 10.0.0.1:7000" in evidence(explanation, "Slot 0")


def test_an_owner_out_of_service(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[0].answers = False
    explanation = explain_slot(Survey(clusters.build(*specs)), 0, {})
    assert evidence(explanation, "Its owner is out of service.")[0] == "connection refused"


def test_an_open_slot_tells_where_its_keys_are(clusters: Any) -> None:
    a, b = clusters.node_id("a"), clusters.node_id("b")
    edit = {("a", "a"): {"migrating": {7: b}}, ("b", "b"): {"importing": {7: a}}}
    survey = Survey(clusters.build(*clusters.three_shards(), edit=edit))
    explanation = explain_slot(survey, 7, {a: 2, b: 1})
    lines = evidence(explanation, "It is open")
    assert lines[:2] == (
        "10.0.0.1:7000: MIGRATING, 2 keys of it there",
        "10.0.0.2:7001: IMPORTING, 1 key of it there",
    )


def test_where_the_key_is_and_what(clusters: Any) -> None:
    survey = Survey(clusters.build(*clusters.three_shards()))
    copies = [
        KeyCopy(clusters.node_id("c"), "string", "embstr", 1500, 72),
        KeyCopy(clusters.node_id("z"), "string"),
        KeyCopy(clusters.node_id("a"), UNREAD),
    ]
    explanation = explain_key(survey, b"foo", {}, copies)
    assert texts(explanation)[-3:] == [
        "The key is on 10.0.0.3:7002: string (embstr), 72 bytes of memory, expires in 1.5 s.",
        "A key of that name is on 10.0.0.1:7000, which does not own its slot and does not let it be read.",
        "10.0.0.6:7005 has a copy.",
    ]
    assert (explanation.facts["type"], explanation.facts["slot"]) == ("string", 12182)


def test_a_key_that_is_nowhere_and_one_that_nobody_tells_of(clusters: Any) -> None:
    survey = Survey(clusters.build(*clusters.three_shards()))
    owner = clusters.node_id("c")
    assert texts(explain_key(survey, b"foo", {}, [KeyCopy(owner)]))[-1] == "The key does not exist."
    refused = explain_key(survey, b"foo", {}, [KeyCopy(owner, refusal="NOPERM no")])
    assert texts(refused)[-1] == "Nobody could be asked for it."
    assert evidence(refused, "Nobody") == ("10.0.0.3:7002: NOPERM no",)


def test_what_an_argument_means(clusters: Any) -> None:
    snapshot = clusters.build(*clusters.three_shards())

    def meant(text: str | None, **options: Any) -> tuple[str, object]:
        chosen = choose(snapshot, text, **{"key": None, "slot": None, "node": None, **options})
        return chosen.kind, chosen.member.name if chosen.member else (chosen.slot, chosen.key)

    assert meant("77") == ("slot", (77, b""))
    assert meant("foo") == ("key", (12182, b"foo"))
    assert meant("16384")[0] == "key"
    assert meant("10.0.0.2:7001") == ("node", "10.0.0.2:7001")
    assert meant(None, key="77") == ("key", (key_slot(b"77"), b"77"))
    assert meant(None, node="7001") == ("node", "10.0.0.2:7001")
    with pytest.raises(PlanError, match="7001 is a slot, and names the node"):
        meant("7001")
    with pytest.raises(PlanError, match="no node 9999 in the cluster"):
        meant(None, node="9999")
