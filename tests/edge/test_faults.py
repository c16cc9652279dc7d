from __future__ import annotations

from structlog.testing import capture_logs

from edge.faults import Faults


def test_faults_are_counted_by_kind_and_logged_once_a_minute():
    now_s = [0.0]
    faults = Faults("cam1", clock=lambda: now_s[0])
    with capture_logs() as logs:
        for now_s[0] in (0.0, 1.0, 59.0, 61.0):
            faults.note("box", ValueError("empty"))
        faults.note("frame", ValueError("grey"), number=3)
    assert faults.counts == {"box": 4, "frame": 3}
    assert [(log["kind"], log["so_far"]) for log in logs] == [("box", 1), ("box", 4), ("frame", 3)]
