"""A job queue on a stream: every job is done at least once, also when a worker dies with it.

A consumer group hands each job to one worker and remembers it until it is acknowledged. Jobs that a worker
holds for longer than `idle_ms` go to whoever asks next; one that was handed out `max_deliveries` times in
vain goes to a second stream for a person to look at. A job may be done twice (its worker died after the
work and before the acknowledgement), so work must not mind.
"""

from __future__ import annotations

from dataclasses import dataclass

from redis.cluster import RedisCluster
from redis.exceptions import ResponseError

_GROUP = "workers"


@dataclass(frozen=True)
class Job:
    job_id: bytes
    payload: bytes


class JobQueue:
    def __init__(
        self,
        redis: RedisCluster,
        name: str,
        idle_ms: int = 30_000,
        max_deliveries: int = 5,
        max_length: int = 100_000,
    ) -> None:
        self._redis = redis
        self._stream, self._dead = f"jobs:{{{name}}}", f"jobs:{{{name}}}:dead"
        self._idle_ms = idle_ms
        self._max_deliveries = max_deliveries
        self._max_length = max_length
        try:
            redis.xgroup_create(self._stream, _GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    def put(self, payload: bytes) -> bytes:
        """Adds a job and returns its id; refuses when the queue is full (better than losing old jobs to
        MAXLEN).
        """
        if self._redis.xlen(self._stream) >= self._max_length:
            raise OverflowError(f"{self._stream} holds {self._max_length} jobs")
        return self._redis.xadd(self._stream, {"payload": payload})

    def take(self, worker: str, wait_ms: int = 5000) -> Job | None:
        """A job for this worker: one that another left, or a new one, for which it waits."""
        return self._abandoned(worker) or self._new(worker, wait_ms)

    def done(self, job: Job) -> None:
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.xack(self._stream, _GROUP, job.job_id)
        pipeline.xdel(self._stream, job.job_id)
        pipeline.execute()

    def dead(self) -> list[Job]:
        return [Job(job_id, fields[b"payload"]) for job_id, fields in self._redis.xrange(self._dead)]

    def _new(self, worker: str, wait_ms: int) -> Job | None:
        found = self._redis.xreadgroup(_GROUP, worker, {self._stream: ">"}, count=1, block=wait_ms)
        if not found:
            return None
        job_id, fields = found[0][1][0]
        return Job(job_id, fields[b"payload"])

    def _abandoned(self, worker: str) -> Job | None:
        while True:
            entries = self._redis.xautoclaim(
                self._stream, _GROUP, worker, min_idle_time=self._idle_ms, count=1
            )[1]
            if not entries:
                return None
            job = Job(entries[0][0], entries[0][1][b"payload"])
            if self._deliveries(job) <= self._max_deliveries:
                return job
            self._bury(job)

    def _deliveries(self, job: Job) -> int:
        (pending,) = self._redis.xpending_range(self._stream, _GROUP, job.job_id, job.job_id, 1)
        return int(pending["times_delivered"])

    def _bury(self, job: Job) -> None:
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.xadd(self._dead, {"payload": job.payload}, maxlen=self._max_length)
        pipeline.xack(self._stream, _GROUP, job.job_id)
        pipeline.xdel(self._stream, job.job_id)
        pipeline.execute()


def main() -> None:
    queue = JobQueue(RedisCluster(host="127.0.0.1", port=7000), "mail")
    queue.put(b"welcome ada")
    job = queue.take("worker-1")
    assert job is not None
    print("doing:", job.payload)
    queue.done(job)
    print("left:", queue.take("worker-1", wait_ms=10))


if __name__ == "__main__":
    main()
