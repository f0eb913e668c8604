"""ctl.commands.common: how a verb ends that Ctrl-C stops."""

from __future__ import annotations

import os
import signal

import pytest
import trio

from ctl.commands import common


def test_ctrl_c_is_heard_at_once_and_says_so_while_something_is_finished(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common, "STOPPING_NOTED_S", 0.01)

    async def work() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        said = ""
        with trio.CancelScope(shield=True), trio.fail_after(20):
            while "ctl: stopping; what is under way" not in said:
                await trio.sleep(0.01)
                said += capsys.readouterr().err
        await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        common.run(work)


def test_ctrl_c_that_has_nothing_to_wait_for_ends_in_silence(capsys: pytest.CaptureFixture[str]) -> None:
    async def work() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        common.run(work)
    assert capsys.readouterr().err == ""
