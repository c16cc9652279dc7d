from __future__ import annotations

from edge.crop_budget import DailyBudget


def test_what_is_charged_is_gone_until_the_next_day():
    budget = DailyBudget(1000).charge(5, 300).charge(5, 400)
    assert (budget.left_bytes(5), budget.left_bytes(6)) == (300, 1000)
    assert budget.charge(6, 100).left_bytes(6) == 900


def test_nothing_is_left_below_zero():
    assert DailyBudget(1000, day=5, spent_bytes=5000).left_bytes(5) == 0
