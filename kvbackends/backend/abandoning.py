"""Gives up a chord: an operator's decision."""

from celery import states
from celery.app.task import Context
from celery.exceptions import ChordError

from kvbackends.backend.chords import NO_INDEX, Chords, new_delivery, part_of
from kvbackends.backend.links import OPERATOR
from kvbackends.contract.records import SIZE_PLACE, Part


def abandon(chords: Chords, group_id: str, stored: bytes, reason: str) -> None:
    """Fail the chord: a run whose header is one failed part takes the place of the present one.

    `stored` is the payload.  If this process is lost, any dispatcher finds the failed part.
    """
    barrier, error = chords._barrier(group_id), ChordError(reason)
    barrier.open(stored)
    request = Context(id=OPERATOR, group_index=NO_INDEX)
    failed = part_of(request, new_delivery())
    chords._backend.encoded_part(
        request, states.FAILURE, error, lambda value: barrier.arrive(failed, value)
    )
    part = Part(SIZE_PLACE, "size", new_delivery())
    chords._chord(group_id, part, None, may_wait=True).settle(barrier.expect(part, 1))
