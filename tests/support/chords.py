"""Parts, publishers and ranked values, as the tests name them."""

import itertools

from kvbackends import SIZE_PLACE, Offer, Part, Rank

_deliveries = itertools.count(1)


def delivery() -> str:
    """A fresh id of a delivery."""
    return f"d{next(_deliveries)}"


def part(barrier: str, place: int, member: str = "", run: str = "") -> Part:
    """The part at `place`, brought by a delivery of its own unless `run` names one."""
    return Part(barrier, place, member or f"task-{place}", run or delivery())


def publisher(barrier: str, run: str = "") -> Part:
    """Who tells the size."""
    return part(barrier, SIZE_PLACE, "size", run)


def rank_of(value: bytes) -> Rank:
    """Ranked values of the tests begin with the digit of their rank."""
    return Rank(int(value[:1]))


def offer(key: str, rank: Rank, text: str = "", ttl: float | None = None) -> Offer:
    """A ranked write whose bytes `rank_of` understands."""
    return Offer(key, b"%d%s" % (rank, text.encode()), rank, ttl)
