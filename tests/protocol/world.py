"""A simulation of workers, a broker, a store and a clock, all driven by one sequence of decisions.

Every delivery of a message runs in a greenlet of its own and stops before each call to the store,
before a publish and in each sleep.  `World.run` decides which one moves, which crashes, whose write
fails and what comes twice; the same decisions give the same history.  What the world does to a
delivery is what brokers, networks and operating systems do; what it never does is forget a message
that was not acknowledged.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, TypeVar

from greenlet import greenlet

from kvbackends.contract import SIZE_PLACE, Arrival, Offer, Part, Rank, Store
from kvbackends.contract.control import Control
from kvbackends.contract.options import CoreOptions
from kvbackends.layers.retry import Retry
from kvbackends.protocol.chord import Chord, Gathered, Terms
from tests.support.chords import rank_of
from tests.support.dict_store import DictStore
from tests.support.layers import Broken, Wrapped

T = TypeVar("T")

BARRIER = "b"
CONTROL = f"{BARRIER}.c"
TERMS = Terms(ttl=1e6, tombstone=1e6, lease=0.01)
PATIENT = CoreOptions(retry_timeout=1e9)
RARITY = 12
"""A disturbance comes once in so many moves, so that it meets every stage of a history."""
STEPS = 3_000
"""More than any history needs: a history that has not ended by then never will."""


class Killed(BaseException):
    """The process was killed."""


class SoftLimit(Exception):
    """A soft time limit interrupts the task."""


class Violated(AssertionError):
    """A property of the protocol does not hold."""


@dataclass(frozen=True)
class Plan:
    """The most that the world may do in one history."""

    parts: int = 2
    workers: int = 3
    crashes: int = 0
    faults: int = 0
    duplicates: int = 0
    soft_limits: int = 0
    adds: int = 0
    """How many parts the first header task adds."""
    fails: bool = False
    """The last header task fails."""
    client_holds: bool = True
    shared_ack: bool = True
    """An acknowledgement by one delivery ends all of the message (Redis, SQS), or only its own."""
    trusts_success: bool = True
    """Once its SUCCESS can be read a task is not run again, and a lost child's message is acked."""


@dataclass
class Message:
    """A message of the broker."""

    name: str
    body: Callable[["Delivery", Store], None]
    result: str = ""
    acked: bool = False
    sent: int = 0
    owed: int = 1


class Publish(NamedTuple):
    by: str
    values: dict[tuple[int, str], bytes]
    missing: int


@dataclass(eq=False)
class Delivery:
    """A message at work in a process."""

    message: Message
    name: str
    work: greenlet = field(repr=False)
    at: str = ""
    key: str = ""
    wakes: float = 0.0
    published: bool = False
    settling: bool = False


class Switching(Wrapped):
    """Stops before each call and does what the world decides."""

    def __init__(self, inner: Store, world: "World") -> None:
        self._world = world
        super().__init__(inner)
        self.transient_errors = (Broken,)

    def call(self, name: str, operation: Callable[[], T], key: str = "") -> T:
        verdict = self._world.stop(name, key)
        if verdict == "late":
            self._world.under_way.append(operation)
        if verdict in {"late", "before"}:
            raise Broken(name)
        answer = operation()
        if verdict == "after":
            raise Broken(name)
        return answer


class Watched(DictStore):
    """Reports the delivery that loses the claim."""

    lost: Callable[[str, str], None] = staticmethod(lambda *_: None)

    def _put(self, key: str, value: bytes, ttl: float | None) -> None:
        if key == CONTROL:
            row = self._row(key)
            old, new = Control.decode(row and row.value).claim, Control.decode(value).claim
            if old and new and old.delivery != new.delivery:
                self.lost(old.delivery, new.delivery)
        super()._put(key, value, ttl)


class Clock:
    """Stands in for the module `time`."""

    world: "World"

    def monotonic(self) -> float:
        return self.world.now

    def sleep(self, seconds: float) -> None:
        self.world.sleep(seconds)


CLOCK = Clock()


class World:
    """See the module."""

    failing = frozenset({"set", "compare_and_set", "delete"})
    """Where a call may fail: reads that fail are only asked again."""
    failures: Sequence[str] = ("before", "after", "late")

    def __init__(self, plan: Plan, pick: Callable[[int], int | None]) -> None:
        self.plan = plan
        self.pick = pick
        self.barrier = BARRIER
        self.results = "result"
        self.now = 0.0
        self.store = Watched(lambda: self.now)
        self.store.lost = self._claim_broken
        self.messages: list[Message] = []
        self.live: list[Delivery] = []
        self.under_way: list[Callable[[], Any]] = []
        self.published: list[Publish] = []
        self.excuses: set[str] = set()
        self.history: list[str] = []
        self.left = {
            "crash": plan.crashes,
            "fault": plan.faults,
            "duplicate": plan.duplicates,
            "soft": plan.soft_limits,
        }
        self.added: set[str] = set()
        self._hub: greenlet | None = None
        self._current: Delivery | None = None

    # -- what the tested code sees ------------------------------------------------------------

    def sleep(self, seconds: float) -> None:
        """Used in place of `time.sleep`."""
        assert self._current is not None
        self._current.wakes = self.now + seconds
        self.stop("sleep")

    def stop(self, where: str, key: str = "") -> str:
        """Wait for the world's decision."""
        assert self._hub is not None
        if self._current is None:
            return "ok"  # the world itself looks at the store
        self._current.at, self._current.key = where, key
        return self._hub.switch()

    # -- the application ----------------------------------------------------------------------

    def begin(self) -> None:
        """Do what the client does before any header task is sent."""
        self.store.barrier(self.barrier, TERMS.ttl).open(b"payload")
        for place in range(self.plan.parts):
            self._send(f"task-{place}", partial(self._header, place))
        self._send("size", self._publisher)

    def _send(self, name: str, body: Callable[[Delivery, Store], None]) -> None:
        if all(each.name != name for each in self.messages):
            result = "" if name == "size" else f"{self.results}-{name}"
            self.messages.append(Message(name, body, result))

    def _header(self, place: int, delivery: Delivery, store: Store) -> None:
        me = Part(place, f"task-{place}", delivery.name)
        for slot in range(self.plan.adds if place == 0 else 0):
            member = f"added-{slot}-{delivery.name}"
            store.barrier(self.barrier, TERMS.ttl).expect_more(me, slot, member)
            self.stop("send")
            self.added.add(member)
            self._send(member, partial(self._finish, place, member))
        self._finish(place, me.member, delivery, store)

    def _finish(self, place: int, member: str, delivery: Delivery, store: Store) -> None:
        fails = self.plan.fails and place == self.plan.parts - 1
        rank = Rank.FAILED if fails else Rank.SUCCEEDED
        value = b"%d %s" % (rank, delivery.name.encode())
        offer = Offer(f"{self.results}-{member}", value, rank)
        me = Part(place, member, delivery.name)
        chord = self._chord(store, me, delivery, offer)
        barrier = store.barrier(self.barrier, TERMS.ttl)
        self._settle(delivery, chord, barrier.finish(me, offer, rank_of))

    def _publisher(self, delivery: Delivery, store: Store) -> None:
        me = Part(SIZE_PLACE, "size", delivery.name)
        chord = self._chord(store, me, delivery, None)
        barrier = store.barrier(self.barrier, TERMS.ttl)
        self._settle(delivery, chord, barrier.expect(me, self.plan.parts))

    def _settle(self, delivery: Delivery, chord: Chord, arrival: Arrival) -> None:
        delivery.settling = True
        while True:
            try:
                chord.settle(arrival)
            except SoftLimit:
                continue
            return

    def _chord(self, store: Store, me: Part, delivery: Delivery, offer: Offer | None) -> Chord:
        return Chord(
            store,
            self.barrier,
            me,
            TERMS,
            partial(self._publish, delivery),
            rank_of=rank_of,
            offer=offer,
            may_wait=offer is not None or self.plan.client_holds,
        )

    def _publish(self, delivery: Delivery, gathered: Gathered) -> None:
        self.stop("publish")
        values = {(place, member): value for place, member, value in gathered.parts}
        if len(values) != len(gathered.parts):
            raise Violated("a part was yielded twice")
        self.published.append(Publish(delivery.name, values, gathered.missing))
        delivery.published = True
        self._judge_publish(self.published[-1])

    # -- the environment ----------------------------------------------------------------------

    def run(self) -> "World":
        """Move until nothing is left to do; the properties hold at every step and in the end."""
        CLOCK.world = self
        self._hub = greenlet.getcurrent()
        self.begin()
        for _ in range(STEPS):
            if not self._move():
                self._judge_end()
                return self
        raise Violated("P3 never ends")

    def _move(self) -> bool:
        moves = self._usual()
        if self.pick(RARITY) == RARITY - 1:
            moves = self._disturbances() or moves
        if not moves:
            return False
        chosen = self.pick(len(moves))
        if chosen is None:  # nothing is left to decide: no more disturbances, each in turn
            self.left = dict.fromkeys(self.left, 0)
            chosen = 0
            if self.live:
                self.live.append(self.live.pop(0))
            moves = self._usual()
        label, move = moves[chosen % len(moves)]
        self.history.append(label)
        move()
        return True

    def _usual(self) -> list[tuple[str, Callable[[], object]]]:
        awake = [each for each in self.live if each.wakes <= self.now]
        moves: list[tuple[str, Callable[[], object]]] = [
            (f"{each.name} {each.at} {each.key}", partial(self._resume, each, "ok"))
            for each in awake
        ]
        if len(self.live) < self.plan.workers:
            waiting = [each for each in self.messages if each.owed]
            moves += [(f"deliver {each.name}", partial(self._deliver, each)) for each in waiting]
        moves += [("late write", partial(self._late, each)) for each in self.under_way]
        if any(each.wakes > self.now for each in self.live):
            moves.append(("time passes", self._time_passes))
        return moves

    def _disturbances(self) -> list[tuple[str, Callable[[], object]]]:
        moves: list[tuple[str, Callable[[], object]]] = []
        awake = [each for each in self.live if each.wakes <= self.now]
        if self.left["crash"]:
            moves += [(f"{e.name} CRASHES at {e.at}", partial(self._crash, e)) for e in self.live]
        writing = [e for e in awake if e.at in self.failing]
        if self.left["fault"]:
            moves += [
                (f"{each.name} {each.at} FAILS {how}", partial(self._fault, each, how))
                for each in writing
                for how in self.failures
            ]
        if self.left["soft"]:
            settling = [e for e in awake if e.settling and e.at not in {"publish", "ack"}]
            moves += [(f"{e.name} SOFT LIMIT", partial(self._soft, e)) for e in settling]
        if self.left["duplicate"] and len(self.live) < self.plan.workers:
            busy = {each.message.name: each.message for each in self.live}
            again = [m for m in busy.values() if not (m.acked and self.plan.shared_ack)]
            moves += [(f"deliver {m.name} AGAIN", partial(self._duplicate, m)) for m in again]
        return moves

    def _deliver(self, message: Message) -> None:
        message.owed -= 1
        message.sent += 1
        name = f"{message.name}.{message.sent}"
        delivery = Delivery(message, name, None)
        store = self._way_of(delivery)
        delivery.work = greenlet(lambda: self._work(delivery, store))
        self.live.append(delivery)
        self._resume(delivery)

    def _way_of(self, delivery: Delivery) -> Store:
        """The store as `delivery` reaches it."""
        return Retry(Switching(self.store, self), PATIENT)

    def _work(self, delivery: Delivery, store: Store) -> None:
        if not self._is_success(delivery.message):
            delivery.message.body(delivery, store)
        self.stop("ack")
        self._ack(delivery.message)

    def _ack(self, message: Message) -> None:
        message.acked = True
        if self.plan.shared_ack:
            message.owed = 0

    def _resume(self, delivery: Delivery, verdict: str = "ok", error: Any = None) -> None:
        self._current = delivery
        try:
            if error is not None:
                delivery.work.throw(error)
            else:
                delivery.work.switch(*([verdict] if delivery.at else []))
        except Killed:
            pass
        finally:
            self._current = None
            if delivery.work.dead:
                self.live.remove(delivery)

    def _crash(self, delivery: Delivery) -> None:
        self.left["crash"] -= 1
        if delivery.published and not self._closed():
            self.excuses.add("C")
        message = delivery.message
        self._resume(delivery, error=Killed())
        if self._is_success(message):
            self._ack(message)
        elif not (message.acked and self.plan.shared_ack):
            message.owed += 1

    def _fault(self, delivery: Delivery, how: str) -> None:
        self.left["fault"] -= 1
        self._resume(delivery, how)

    def _soft(self, delivery: Delivery) -> None:
        self.left["soft"] -= 1
        self._resume(delivery, error=SoftLimit())

    def _duplicate(self, message: Message) -> None:
        self.left["duplicate"] -= 1
        message.owed += 1
        self._deliver(message)

    def _late(self, operation: Callable[[], object]) -> None:
        self.under_way.remove(operation)
        operation()

    def _time_passes(self) -> None:
        self.now = min(each.wakes for each in self.live if each.wakes > self.now)

    def _is_success(self, message: Message) -> bool:
        entry = self.store.get(message.result) if message.result else None
        return self.plan.trusts_success and entry is not None and entry.value[:1] == b"3"

    def _claim_broken(self, old: str, new: str) -> None:
        if any(each.name == old for each in self.live):
            self.excuses.add("P" if old.rpartition(".")[0] == new.rpartition(".")[0] else "L")

    # -- the properties -----------------------------------------------------------------------

    def _judge_publish(self, publish: Publish) -> None:
        header = {(place, f"task-{place}") for place in range(self.plan.parts)}
        extra = publish.values.keys() - header
        if publish.missing or not header <= publish.values.keys():
            raise Violated("P1 published early, or P2 without a part's value")
        if len(extra) != self.plan.adds or len({m.split("-")[1] for _, m in extra}) != len(extra):
            raise Violated(f"P2 published with {sorted(extra)} of {self.plan.adds} added parts")
        for (_, member), value in publish.values.items():
            if not value[2:].decode().startswith(f"{member}."):
                raise Violated("P2 a value of another part")
        if publish.values != self.published[0].values:
            raise Violated("P2 two runs published different values")
        if len(self.published) > 1 and not self.excuses:
            raise Violated("P4 second publish without crash or broken claim")

    def _closed(self) -> bool:
        entry = self.store.get(CONTROL)
        return entry is not None and Control.decode(entry.value).done

    def _judge_end(self) -> None:
        if not self.published:
            raise Violated("P3 never published")
        if not self._closed():
            raise Violated("P5 no tombstone")
        results = {each.result for each in self.messages if each.result}
        if missing := {key for key in results if self.store.get(key) is None}:
            raise Violated(f"results were never stored: {sorted(missing)}")
        left = self._left() - results
        if left and not self._disturbed():
            raise Violated(f"P5 garbage without any fault: {sorted(left)}")

    def _left(self) -> set[str]:
        """Return the stored keys without the tombstone."""
        return self.store.rows.keys() - {CONTROL}

    def _disturbed(self) -> bool:
        words = ("CRASHES", "FAILS", "SOFT")
        return any(word in label for label in self.history for word in words)


def by_bytes(decisions: bytes) -> Callable[[int], int | None]:
    """Decide by bytes; when they are used up, nothing is left to decide."""
    left = list(reversed(decisions))
    return lambda options: left.pop() % options if left else None


def explore(plan: Plan, histories: Sequence[bytes]) -> Violated | None:
    """The first violation in these histories, with what happened."""
    for decisions in histories:
        world = World(plan, by_bytes(decisions))
        try:
            world.run()
        except Violated as violated:
            violated.add_note("\n".join(world.history))
            return violated
    return None
