from __future__ import annotations

from server.fair_queue import FairQueue, StepLimit


def filled(*items: tuple[str, int]) -> FairQueue[str, tuple[str, int]]:
    queue: FairQueue[str, tuple[str, int]] = FairQueue()
    for item in items:
        queue.put(item[0], item)
    return queue


def take(queue: FairQueue[str, tuple[str, int]], most: int) -> list[tuple[str, int]]:
    return queue.take(most=most, size=lambda _: 1)


def test_lines_are_served_in_turn_and_each_in_order() -> None:
    queue = filled(("a", 1), ("a", 2), ("a", 3), ("b", 1), ("c", 1), ("c", 2))
    assert take(queue, 9) == [("a", 1), ("b", 1), ("c", 1), ("a", 2), ("c", 2), ("a", 3)]


def test_a_flood_does_not_delay_the_batch_of_another_line() -> None:
    queue = filled(*(("flood", number) for number in range(100)))
    take(queue, 3)
    queue.put("polite", ("polite", 1))
    assert ("polite", 1) in take(queue, 2)


def test_the_turn_goes_on_where_it_stopped() -> None:
    queue = filled(("a", 1), ("a", 2), ("b", 1), ("c", 1))
    assert [*take(queue, 2), *take(queue, 2)] == [("a", 1), ("b", 1), ("c", 1), ("a", 2)]


def test_an_item_beyond_the_limit_still_goes_by_itself() -> None:
    queue = filled(("a", 1), ("b", 1))
    assert queue.take(most=10, size=lambda _: 64) == [("a", 1)]
    assert len(queue) == 1


def test_an_empty_queue_gives_nothing() -> None:
    assert take(filled(), 5) == []


def test_long_steps_shrink_the_limit_and_it_never_vanishes() -> None:
    limit = StepLimit(most=4096, target_s=0.1)
    for _ in range(50):
        limit.note(limit.observations, 5.0)
    assert limit.observations == 64


def test_short_full_steps_let_the_limit_grow_to_its_bound() -> None:
    limit = StepLimit(most=4096, target_s=0.1)
    for _ in range(50):
        limit.note(limit.observations, 0.01)
    assert limit.observations == 4096


def test_steps_that_are_not_full_say_nothing_about_the_limit() -> None:
    limit = StepLimit(most=4096, target_s=0.1)
    before = limit.observations
    limit.note(1, 0.001)
    assert limit.observations == before
