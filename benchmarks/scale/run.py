"""One engine under load and faults, as rows of the report."""

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from statistics import median
from typing import Any, NamedTuple

from benchmarks.plan import Plan
from benchmarks.rows import Row, at_most, figure
from benchmarks.scale.faults import Fault, Faults
from benchmarks.scale.load import Load, Outcome, slow_queue
from benchmarks.scale.watch import Bound, Lines, Observer, Probe
from tests.e2e.deployment import Deployment
from tests.servers import GROUPS, Group, rabbitmq_server
from tests.servers.network import can_cut
from tests.support.urls import with_options

ENGINES = {
    "mongodb-set": (),
    "cassandra-ring": (),
    "elasticsearch-nodes": (),
    "redis-cluster": ("--appendonly", "yes"),
    "redis-sentinel": ("--appendonly", "yes"),
    "redis-replicas": (),
    "memcached-nodes": (),
}
"""Group -> arguments of its servers."""
PACE = {"cassandra-ring": 4.0, "elasticsearch-nodes": 4.0}
"""How much slower the load is on servers that take most of two cores by themselves."""
LARGE = 1000
"""Parts of the chord that is sent first."""
QUERY = "retry_timeout=120&client_retry_timeout=120"
KEEPS_NOTHING = "memcached-nodes"
"""Its servers lose what they had when they end: what is lost is counted, and no gate."""
ASYNCHRONOUS = {"redis-cluster", "redis-sentinel"}
"""Their servers confirm before a replica has it, unless `wait_replicas` is set."""
OUTAGE = re.compile(r"(WARNING|INFO)/.*(does not answer|answers again)")


class Seen(NamedTuple):
    """All that one run has shown."""

    faults: list[Fault]
    outcome: Outcome
    read: int
    probe: Probe
    lost: int
    bound: Bound
    client: Lines
    worker: list[str]


def scenarios(versions: dict[str, str]) -> dict[str, Callable[[Plan], Iterator[Row]]]:
    """Return the run of each engine by name; when it runs, it adds to `versions`."""
    return {name: functools.partial(_on, name, versions) for name in ENGINES}


def _on(name: str, versions: dict[str, str], plan: Plan) -> Iterator[Row]:
    with ExitStack() as stack:
        group: Group[Any] = GROUPS[name](*ENGINES[name])
        if name != KEEPS_NOTHING and can_cut():  # these servers do not talk with each other
            group.apart(spare=2)
        stack.enter_context(group)
        broker = stack.enter_context(rabbitmq_server())
        versions[name] = group.version
        seen = _run(name, group, broker.url, plan, stack)
    yield from _rows(name, seen)


def _run(name: str, group: Group[Any], broker: str, plan: Plan, stack: ExitStack) -> Seen:
    folder = plan.folder / name
    folder.mkdir()
    url = with_options(f"kv+{group.url}", QUERY)
    deployment = Deployment(folder, broker, url, broker_transport_options={"confirm_publish": 1})
    stack.callback(deployment.close)
    client = stack.enter_context(Lines())
    queues = f"{deployment.settings['task_default_queue']},{slow_queue(deployment)}"
    worker = deployment.worker("-c", "2", "-Q", queues)
    probe, bound = Probe(deployment.app.backend.store), Bound(deployment.app)
    load = Load(deployment, LARGE, PACE.get(name, 1.0))
    observers = [Observer(each) for each in (probe.step, bound.step, load.read_next)]
    faults = Faults(group, plan.faults)
    for thread in (*observers, faults):
        thread.start()
    faults.join()
    for each in observers:
        each.end()
    read, outcome = load.read, load.end()
    if faults.error is not None:
        raise faults.error
    for error in load.errors[:5] + probe.failed[:5]:
        print(f"  {error}")
    return Seen(
        faults.happened, outcome, read, probe, len(probe.lost()), bound, client, _told(worker)
    )


def _told(worker: Any) -> list[str]:
    return [found[1] for found in map(OUTAGE.search, worker.log().splitlines()) if found]


def _rows(name: str, seen: Seen) -> Iterator[Row]:
    row = functools.partial(_row, name)
    outcome, probe, count = seen.outcome, seen.probe, len(seen.faults)
    safe = at_most(0) if name not in {KEEPS_NOTHING, *ASYNCHRONOUS} else None
    kinds = ", ".join(fault.kind for fault in seen.faults)
    tasks = f"of {outcome.sent} results and groups"
    yield row("faults", count, "", None, kinds)
    yield row("confirmed writes lost", seen.lost, "", safe, f"of {len(probe.confirmed)}")
    yield row("confirmed writes not read", probe.back, "", safe, f"in {len(probe.took)} calls")
    yield row("writes and reads failed", len(probe.failed), "", None, "raised after the retries")
    yield row("results got meanwhile", seen.read, "", None, tasks)
    yield row("results that never came", outcome.lost, "", safe, tasks)
    yield row("results read, then gone", outcome.gone, "", safe, tasks)
    yield row("chords lost", outcome.chords_lost, "", safe, f"of {outcome.chords}")
    yield row("bodies with other values", outcome.wrong, "", at_most(0), "early or late")
    yield row("bodies published twice", outcome.published_twice, "", safe, "")
    longest = [_longest(probe, fault) for fault in seen.faults]
    times = " ".join(f"{each:.1f}" for each in longest)
    yield row("longest operation of a fault, median", median(longest), "s", None, times)
    yield row("longest operation of all", max(longest), "s", None, "")
    usual = median(seconds for _, seconds in probe.took)
    yield row("an operation, median", usual * 1000, "ms", None, f"{len(probe.took)} calls")
    over = max(seen.bound.over, default=0.0)
    detail = f"{len(seen.bound.over)} waits of 1 s"
    yield row("a wait's end after its timeout, longest", over, "s", at_most(1), detail)
    for who, levels in (("client", seen.client.levels), ("worker", seen.worker)):
        detail = f"{levels.count('WARNING')} WARNING, {levels.count('INFO')} INFO"
        yield row(f"lines of outages for each fault, {who}", len(levels) / count, "", None, detail)


def _longest(probe: Probe, fault: Fault) -> float:
    """The longest operation that was under way in a fault."""
    met = [took for at, took in probe.took if at + took >= fault.began and at <= fault.ended]
    return max(met, default=0.0)


def _row(name: str, what: str, value: float, unit: str, gate: Any, detail: str) -> Row:
    return figure(what, name, value, unit, gate, detail)
