"""How often, and after how long, a failed node is tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from workflows.engine.retry import RETRY_SCHEMA, RetryPolicy


def delays(count: int = 6, **config: object) -> list[float]:
    policy = RetryPolicy.from_config({"jitter": 0, **config})
    return [policy.delay_before(attempt, key="k") for attempt in range(1, count + 1)]


def test_the_first_attempt_waits_for_nothing() -> None:
    assert RetryPolicy().delay_before(1, key="k") == 0


def test_exponential_waits_grow_up_to_the_most() -> None:
    assert delays() == [0, 1, 2, 4, 8, 16]
    assert delays(initial_seconds=5, factor=3, max_seconds=40) == [0, 5, 15, 40, 40, 40]


def test_fixed_waits_stay() -> None:
    assert delays(backoff="fixed", initial_seconds=7) == [0, 7, 7, 7, 7, 7]
    assert delays(backoff="fixed", initial_seconds=90) == [0, 60, 60, 60, 60, 60]


def test_a_factor_that_overflows_is_the_longest_wait() -> None:
    policy = RetryPolicy.from_config({"factor": 100, "jitter": 0, "max_attempts": 100})
    assert policy.delay_before(5_000, key="k") == 60


def test_the_same_key_waits_as_long_and_another_does_not() -> None:
    policy = RetryPolicy(jitter=0.5)
    assert policy.delay_before(4, key="a") == policy.delay_before(4, key="a")
    waits = {policy.delay_before(4, key=str(n)) for n in range(50)}
    assert len(waits) == 50
    assert all(2 < wait <= 4 for wait in waits)
    assert max(waits) - min(waits) > 1


@pytest.mark.parametrize(("given", "expected"), [(True, 0.2), (False, 0), (0.7, 0.7)])
def test_jitter_may_be_a_share_or_yes_or_no(given: object, expected: float) -> None:
    assert RetryPolicy.from_config({"jitter": given}).jitter == expected


def test_without_on_the_node_says_what_may_be_tried_again() -> None:
    policy = RetryPolicy.from_config({"max_attempts": 3})
    assert policy.allows(1, "http_status", True)
    assert policy.allows(2, "http_status", True)
    assert not policy.allows(3, "http_status", True)
    assert not policy.allows(1, "http_status", False)


def test_on_names_the_errors_that_are_tried_again() -> None:
    policy = RetryPolicy.from_config({"on": ["timeout"]})
    assert policy.allows(1, "timeout", False)
    assert not policy.allows(1, "http_status", True)
    assert RetryPolicy.from_config({"on": ["any"]}).allows(1, "whatever", False)


def test_one_attempt_is_no_retry() -> None:
    assert not RetryPolicy.from_config({"max_attempts": 1}).allows(1, "timeout", True)


def test_the_schema_describes_the_defaults() -> None:
    Draft202012Validator.check_schema(RETRY_SCHEMA)
    defaults = {
        name: described["default"]
        for name, described in RETRY_SCHEMA["properties"].items()
        if "default" in described
    }
    assert RetryPolicy.from_config(defaults) == RetryPolicy()


@given(
    st.builds(
        RetryPolicy,
        backoff=st.sampled_from(["fixed", "exponential"]),
        initial_seconds=st.floats(0, 86_400),
        factor=st.floats(1, 100),
        max_seconds=st.floats(0, 86_400),
        jitter=st.floats(0, 1),
    ),
    st.integers(1, 10_000),
    st.text(),
)
def test_no_wait_is_negative_or_longer_than_the_most(
    policy: RetryPolicy, attempt: int, key: str
) -> None:
    assert 0 <= policy.delay_before(attempt, key=key) <= policy.max_seconds
