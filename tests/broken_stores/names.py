"""Barriers whose parts or names are taken for others."""

from dataclasses import dataclass

from kvbackends.contract import Offer, Part, RankOf
from tests.broken_stores.reference import ReferenceBarrier, ReferenceStore
from tests.broken_stores.registry import caught_by
from tests.broken_stores.world import Identity, State


@caught_by("parts.far_places")
class PlaceIsShort(ReferenceStore):
    """The place of a part has 16 bits."""

    @dataclass
    class state_type(State):  # noqa: N801 - the name that the store asks for
        def identity(self, part: Part) -> Identity:
            return part.place % 65_536, part.member


@caught_by("parts.far_places")
class PlaceAndMemberJoined(ReferenceStore):
    """A part's key is its place and its member, with nothing between."""

    @dataclass
    class state_type(State):  # noqa: N801
        def record(self, part: Part, value: bytes) -> None:
            if f"{part.place}{part.member}" not in {f"{place}{name}" for place, name in self.parts}:
                super().record(part, value)


@caught_by("parts.closing_one_leaves_others")
class ClosesByPrefix(ReferenceStore):
    """Closing a barrier removes whatever has a name that begins with its name."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def close(self, part: Part, offer: Offer | None, rank_of: RankOf) -> None:
            super().close(part, offer, rank_of)
            with self.store.world() as world:
                for name in [name for name in world.barriers if name != self.name]:
                    if name.startswith(self.name):
                        del world.barriers[name]
