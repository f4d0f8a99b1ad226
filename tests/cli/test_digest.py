"""The shown parts of a failure: its message without noise, and Hypothesis's example."""

import pytest

from kvbackends.cli.digest import Failure
from kvbackends.testing import Result, checks

CHECK = next(check for check in checks() if check.name == "model.agrees")
EXAMPLE = "state = OneStore()\nstate.begin()\nstate.get(name='a', s=0)\nstate.teardown()"
ADVICE = "\n\nYou can reproduce this test case by temporarily adding @reproduce_failure(...)"
GROUP = "ExceptionGroup: Hypothesis found 3 distinct failures. (3 sub-exceptions)"


def failure(*told):
    """A failure of as many runs, each with a message and details."""
    runs = [
        Result("x://h", CHECK.name, "native", "native", "failed", message, details, 0.1)
        for message, details in told
    ]
    return Failure(CHECK, "x://u:**@h", tuple(runs), len(runs))


@pytest.mark.parametrize(
    "begins", ["Falsifying example:\n", "Failing test case: <state machine>\n"]
)
def test_example_in_the_message(begins):
    """As older and newer versions of Hypothesis say it; the advice for pytest is left out."""
    told = failure((f"AssertionError: assert 1 == 2\n{begins}{EXAMPLE}{ADVICE}", ""))
    assert told.example == EXAMPLE
    assert told.message == "AssertionError: assert 1 == 2"


def test_example_in_a_group():
    """Several failures at once are a group, whose lines are framed; one alone is preferred."""
    framed = "\n".join(
        f"E       | {line}" for line in f"Failing test case: \n{EXAMPLE}".split("\n")
    )
    grouped = (GROUP, framed + ADVICE.replace("\n", "\nE       | "))
    assert failure(grouped).example == EXAMPLE
    assert failure(grouped, ("KeyError: 'a'", "")).message == "KeyError: 'a'"


def test_noise_is_left_out():
    """The message leaves out pytest's details of the parts of an expression."""
    message = "AssertionError: absent\nassert None is not None\n +  where None = get('a')"
    assert failure((message, "")).message == "AssertionError: absent"


def test_reproduce_is_for_a_shell():
    """The command can be pasted; a masked secret has to be put back."""
    command = "kvbackends conformance 'x://u:**@h' --plugin m --check model.agrees"
    assert failure(("x", "")).reproduce(["m"]) == command
