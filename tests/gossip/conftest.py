from __future__ import annotations

import pytest

from gossip.testing.town import Town


@pytest.fixture
def town() -> Town:
    return Town()
