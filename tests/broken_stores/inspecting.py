"""Stores that show operators what is not so."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from kvbackends.contract import BarrierState, Fact
from tests.broken_stores.reference import ReferenceBarrier, ReferenceStore
from tests.broken_stores.registry import caught_by


@caught_by("inspecting.names_open_barriers")
class NamesOtherBarriers(ReferenceStore):
    """Barriers are named that do not begin with the prefix."""

    def barriers(self, prefix: str) -> Iterator[str]:
        return super().barriers(prefix[:-1])


@caught_by("inspecting.names_open_barriers")
class NamesTheSized(ReferenceStore):
    """A barrier is listed by the record of its size, which may not be there yet."""

    def barriers(self, prefix: str) -> Iterator[str]:
        with self.world() as world:
            names = list(super().barriers(prefix))
            return iter([name for name in names if world.barriers[name].size is not None])


@caught_by("inspecting.names_open_barriers")
class NamesKeys(ReferenceStore):
    """Plain keys are taken for barriers."""

    def barriers(self, prefix: str) -> Iterator[str]:
        yield from super().barriers(prefix)
        yield from self.scan(prefix)


@caught_by("inspecting.tells_what_has_arrived")
class TellsCountsOnly(ReferenceStore):
    """Of the parts only those with the latest place are told."""

    class barrier_type(ReferenceBarrier):  # noqa: N801 - the name that the store asks for
        def state(self) -> BarrierState | None:
            state = super().state()
            return state and state._replace(arrived=frozenset(sorted(state.arrived)[-1:]))


@caught_by("inspecting.tells_what_was_added")
class HidesAdded(ReferenceStore):
    """Parts that a running task has added are not told."""

    class barrier_type(ReferenceBarrier):  # noqa: N801 - the name that the store asks for
        def state(self) -> BarrierState | None:
            state = super().state()
            return state and state._replace(slots={})


@caught_by("inspecting.tells_the_holder")
class HidesTheHolder(ReferenceStore):
    """It is not told which delivery holds the claim."""

    class barrier_type(ReferenceBarrier):  # noqa: N801 - the name that the store asks for
        def state(self) -> BarrierState | None:
            state = super().state()
            return state and state._replace(holder=None)


@caught_by("inspecting.open_barriers_only")
class ShowsTombstones(ReferenceStore):
    """A closed barrier is shown as an empty one."""

    class barrier_type(ReferenceBarrier):  # noqa: N801 - the name that the store asks for
        def state(self) -> BarrierState | None:
            with self.store.world() as world:
                state = world.barrier(self.name)
                return state and state.shown()


@caught_by("inspecting.tells_about_the_server")
class TellsAll(ReferenceStore):
    """The server's whole status is one fact, of many lines."""

    def about(self) -> Iterable[Fact]:
        return [Fact("status", "version: 7\nuptime: 3")]


@caught_by("inspecting.tells_lifetimes")
class LifetimesInMilliseconds(ReferenceStore):
    """The time that is left is told in milliseconds (PTTL)."""

    def lifetimes(self, keys: Collection[str]) -> Mapping[str, float | None]:
        return {key: left and left * 1000 for key, left in super().lifetimes(keys).items()}


@caught_by("inspecting.tells_lifetimes")
class NoTtlIsZero(ReferenceStore):
    """A key that lives for ever is told to have no time left."""

    def lifetimes(self, keys: Collection[str]) -> Mapping[str, float | None]:
        return {key: left or 0 for key, left in super().lifetimes(keys).items()}
