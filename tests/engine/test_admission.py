from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from freehold.engine import admission as admission_module
from freehold.engine.admission import Admission
from freehold.errors import EngineStopped, InvalidRequest, Overloaded


def test_permits_are_taken_all_or_none() -> None:
    admission = Admission(3)
    with admission.try_acquire(2):
        with pytest.raises(Overloaded, match=r"2 of 3 .* 2 more") as caught:
            admission.try_acquire(2)
        assert 1 <= caught.value.retry_after <= 60
        assert admission.taken == 2
    assert admission.taken == 0


@pytest.mark.parametrize("count", [0, -1, 4, 2**63])
def test_what_can_never_be_granted_is_no_overload(count: int) -> None:
    with pytest.raises(InvalidRequest, match="between 1 and 3"):
        Admission(3).try_acquire(count)


def test_a_handed_over_permit_stays_out_until_its_sequence_ends() -> None:
    admission = Admission(3)
    with admission.try_acquire(2) as permit:
        permit.take()
    assert admission.taken == 1
    admission.finish(started=0.0)
    assert admission.taken == 0


def test_a_permit_covers_no_more_sequences_than_it_was_taken_for() -> None:
    permit = Admission(3).try_acquire()
    permit.take()
    with pytest.raises(InvalidRequest, match="permit"):
        permit.take()


def test_releasing_twice_returns_once() -> None:
    admission = Admission(2)
    first, _ = admission.try_acquire(), admission.try_acquire()
    first.release()
    first.release()
    assert admission.taken == 1


def test_closed_admission_says_so() -> None:
    admission = Admission(1)
    admission.close()
    with pytest.raises(EngineStopped):
        admission.try_acquire()


def test_retry_after_follows_how_long_sequences_take(monkeypatch: pytest.MonkeyPatch) -> None:
    admission = Admission(2)
    monkeypatch.setattr(admission_module, "monotonic", lambda: 100.0)
    for _ in range(50):
        admission.try_acquire().take()
        admission.finish(started=80.0)
    admission.try_acquire(2)
    with pytest.raises(Overloaded) as caught:
        admission.try_acquire()
    assert caught.value.retry_after == pytest.approx(10.0, rel=0.01)


def test_many_threads_never_get_more_than_there_is() -> None:
    admission = Admission(10)

    def grab(_: int) -> bool:
        try:
            admission.try_acquire()
        except Overloaded:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(grab, range(200))) == 10
