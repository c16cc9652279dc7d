from pathlib import Path

from demo.plan import START, DemoPlan
from edge.sources.simulated import SimulatedSource
from simulation.site import SimulatedSite, SiteConfig

SITE = SiteConfig(seed=9, num_people=4, num_cameras=2, duration_s=3, fps_hz=4, width_px=128, height_px=72)
PLAN = DemoPlan(site=SITE, release=Path("R"), out=Path("out"))


def test_the_edges_see_the_site_that_the_truth_is_taken_from():
    frame = SimulatedSource(PLAN.camera_uri("c2"), start_time_us=0).read()
    assert frame is not None
    assert (frame.image == SimulatedSite(SITE).frame("c2", 0).image).all()


def test_each_edge_has_its_own_name_and_spool():
    commands = [PLAN.edge_command(camid, "127.0.0.1:1") for camid in PLAN.camids]
    for flag in ("--bundle", "--spool", "--camera"):
        values = [command[command.index(flag) + 1] for command in commands]
        assert len(set(values)) == 2


def test_frames_of_all_cameras_are_expected():
    assert PLAN.num_frames == 2 * 12


def test_the_start_is_given_with_its_zone():
    command = PLAN.edge_command("c1", "127.0.0.1:1")
    assert command[command.index("--start-time") + 1] == START.isoformat() == "2026-01-05T09:00:00+00:00"
