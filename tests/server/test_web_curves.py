from __future__ import annotations

from server.web.curves import Curve, panels_of

EPOCHS = [
    (1, {"loss": 3.0, "num_clusters": 9.0, "noise_share": 0.25, "invariance": 0.5, "eps": 0.5}),
    (2, {"loss": 2.0, "num_clusters": 8.0, "noise_share": 0.125, "invariance": 0.4, "mAP": 0.5, "duration_s": 9.0}),
]


def test_figures_of_one_unit_share_a_panel_and_shares_are_told_in_percent() -> None:
    panels = {panel.name: panel for panel in panels_of(EPOCHS)}
    assert panels["loss"].curves == (Curve("loss", (3.0, 2.0)),)
    assert (panels["shares"].unit, panels["shares"].curves[0].values) == ("%", (25.0, 12.5))


def test_an_epoch_without_a_figure_leaves_a_gap() -> None:
    panels = {panel.name: panel for panel in panels_of(EPOCHS)}
    assert panels["scores"].curves == (Curve("mAP", (None, 50.0)),)


def test_a_figure_that_nobody_foresaw_has_a_panel_all_the_same() -> None:
    further = panels_of(EPOCHS)[-1]
    assert (further.name, further.curves) == ("further", (Curve("invariance", (0.5, 0.4)),))


def test_before_the_first_epoch_there_are_no_panels() -> None:
    assert panels_of([]) == ()
