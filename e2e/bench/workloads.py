"""The workloads: which server, which data, which requests, and the ratio to the yardstick that Reckon should reach."""

import dataclasses

DEMO_USERS = 4703


@dataclasses.dataclass(frozen=True)
class Workload:
    """One row of the table."""

    name: str
    target: float  # least ratio of its rate to the yardstick's
    connections: int = 50
    users: tuple = (1, DEMO_USERS)
    batch: int = 1
    data: str = "demo"  # the database: demo, large or large_original
    memory: bool = True  # whether the memory cache is on
    redis: bool = False
    algorithm: str = "NextBasket"
    quick: bool = True  # whether the quick run has it
    p99_at_most: float | None = None  # milliseconds


def uncached(name, target, **others):
    return Workload(name, target, memory=False, **others)


LARGE_USERS = 100_000
LARGE = {"data": "large", "users": (1, LARGE_USERS)}

ALL = [
    Workload("memory hit, one user", 0.80, users=(1, 1)),
    Workload("memory hit, random users", 0.80),
    Workload("memory hit, 1,000 connections", 0.65, connections=1000, p99_at_most=25),
    Workload("Redis hit", 0.45, memory=False, redis=True),
    Workload("Redis hit, 1,000 connections", 0.40, connections=1000, memory=False, redis=True, quick=False),
    Workload("batch of 20, memory hits", 0.45, batch=20),
    Workload("batch of 50, memory hits", 0.30, batch=50, quick=False),
    uncached("uncached, demo, Classic", 0.13, algorithm="Classic"),
    uncached("uncached, demo", 0.13),
    uncached("uncached, 100,000 users, Classic", 0.13, algorithm="Classic", quick=False, **LARGE),
    uncached("uncached, 100,000 users", 0.13, quick=False, **LARGE),
    uncached("uncached, 100,000 users, no covering index, Classic", 0.05, algorithm="Classic", quick=False,
             data="large_original", users=(1, LARGE_USERS)),
    uncached("uncached, 100,000 users, no covering index", 0.05, quick=False, data="large_original", users=(1, LARGE_USERS)),
    uncached("uncached, 1,000 connections, Classic", 0.12, algorithm="Classic", connections=1000, p99_at_most=120, quick=False,
             **LARGE),
    uncached("uncached batch of 20, Classic", 0.013, algorithm="Classic", batch=20, quick=False, **LARGE),
    uncached("uncached batch of 20", 0.013, batch=20, quick=False, **LARGE),
]

# Measured also at half of its greatest rate.
WITH_PAUSES = ALL[1]
