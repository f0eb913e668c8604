"""What a node says of itself to whoever asks: HELLO, INFO, the log's lines."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

from node.config.config import Config
from node.config.table import CLUSTER_ENABLED


class Identity:
    """`run_id` is new with every start. `is_replica` is handed in by replication, once there is some."""

    def __init__(self, config: Config) -> None:
        self.mode = "cluster" if config[CLUSTER_ENABLED] else "standalone"
        self.run_id = secrets.token_hex(20)
        self.started_s = time.time()
        self.is_replica: Callable[[], bool] = lambda: False
