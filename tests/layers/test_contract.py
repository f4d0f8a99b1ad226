"""The contract holds behind layers that change bytes: the same checks, on the stores of here."""

from tests.contract.test_barriers import (
    TestAdding,
    TestArriving,
    TestClaiming,
    TestClosing,
    TestFinishing,
    TestMembers,
    TestReopening,
)
from tests.contract.test_concurrency import TestThreads
from tests.contract.test_five_methods import TestCompareAndSet, TestFiveMethods, TestTimeToLive
from tests.contract.test_housekeeping import TestIncrement, TestScan
from tests.contract.test_ranks import TestOffer
from tests.contract.test_subscriptions import TestSubscription, subscription

__all__ = [
    "TestAdding",
    "TestArriving",
    "TestClaiming",
    "TestClosing",
    "TestCompareAndSet",
    "TestFinishing",
    "TestFiveMethods",
    "TestIncrement",
    "TestMembers",
    "TestOffer",
    "TestReopening",
    "TestScan",
    "TestSubscription",
    "TestThreads",
    "TestTimeToLive",
    "subscription",
]
