import dataclasses
from pathlib import Path

from demo.plan import DemoPlan
from edge.settings import AgentSettings
from edge.sources.simulated import SimulatedSource
from reid.settings import load_settings
from server.settings import ServerSettings
from simulation.site import SimulatedSite, SiteConfig

SITE = SiteConfig(seed=9, num_people=4, num_cameras=2, duration_s=3, fps_hz=4, width_px=128, height_px=72)
PLAN = DemoPlan(site=SITE, release=Path("R"), out=Path("out"), watch_s=3)


def test_the_edges_see_the_site_that_the_truth_is_taken_from():
    frame = SimulatedSource(PLAN.camera_uri("c2"), start_time_us=0).read()
    assert frame is not None
    assert (frame.image == SimulatedSite(SITE).frame("c2", 0).image).all()


def test_each_edge_has_its_own_name_and_spool():
    commands = [PLAN.edge_command(camid, "127.0.0.1:1", starts_at_s=0.0) for camid in PLAN.camids]
    for flag in ("--bundle", "--spool", "--camera"):
        values = [command[command.index(flag) + 1] for command in commands]
        assert len(set(values)) == 2


def test_the_start_is_given_with_its_zone():
    command = PLAN.edge_command("c1", "127.0.0.1:1", starts_at_s=1_767_603_600.0)
    assert command[command.index("--start-time") + 1] == "2026-01-05T09:00:00+00:00"


def test_cameras_play_on_during_a_refresh_and_end_by_themselves_without_one():
    assert PLAN.played.duration_s > 6
    assert "--once" not in PLAN.edge_command("c1", "127.0.0.1:1", starts_at_s=0.0)
    short = dataclasses.replace(PLAN, has_refresh=False)
    assert short.played.duration_s == 3
    assert "--once" in short.edge_command("c1", "127.0.0.1:1", starts_at_s=0.0)


def test_server_and_edges_accept_their_settings(tmp_path):
    plan = dataclasses.replace(PLAN, out=tmp_path)
    plan.write_configs()
    server = load_settings(ServerSettings, path=plan.server_config, env_prefix="DEMO", overrides={"data": tmp_path})
    edge = load_settings(
        AgentSettings,
        path=plan.edge_config,
        env_prefix="DEMO",
        overrides={"cameras": {"c1": "sim:"}, "server": "127.0.0.1:1"},
    )
    assert server.adaptation.method == "refresh"
    assert edge.fleet.status_s == 1
