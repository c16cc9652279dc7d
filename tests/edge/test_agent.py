from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from fakes_server import FakeServer
from fakes_source import LONG_S, Hang
from makers import make_observation
from releases import write_tiny_release
from sequences import write_sequence

from edge.agent import Agent
from edge.errors import InstallError, SpoolError
from edge.releases.store import ReleaseStore
from edge.ring import KeptCrop, NumberedCrop
from edge.settings import AgentSettings
from reid.credentials import Credentials, write_credentials
from reid.errors import DetectorError, ReleaseMismatchError
from reid.release import MODEL_FILE


@pytest.fixture
def server():
    server = FakeServer()
    yield server
    server.stop()


@pytest.fixture
def make_settings(tmp_path, tiny_release, server):
    def make(**changes):
        values = {
            "edge_id": "edge1",
            "cameras": {"cam1": str(write_sequence(tmp_path / "walk"))},
            "server": server.address,
            "release": tiny_release.folder,
            "detector": "truth",
            "spool": {"path": tmp_path / "edge.spool"},
            "once": True,
            "drain_timeout_s": 20,
            "num_threads": 1,
        }
        return AgentSettings.model_validate({**values, **changes})

    return make


def run(settings, stop=None):
    agent = Agent(settings)
    try:
        agent.run(stop or threading.Event())
        return agent.report()
    finally:
        agent.close()


def write_bundle(path, key):
    facts = {"kind": "edge", "name": "edge1", "server": "127.0.0.1:1", "ends_at_s": 1 << 40, "camids": ("cam1",)}
    write_credentials(path, Credentials(**facts, ca_pem="", certificate_pem="", key_pem=key))


def test_every_frame_of_a_file_ends_as_acknowledged_observations(server, make_settings):
    report = run(make_settings())
    camera = report.cameras["cam1"]
    assert (camera.frames, camera.dropped, camera.faults, camera.tracks) == (30, 0, {}, 2)
    assert camera.selected == report.spooled == report.acknowledged == server.num_stored > 4
    assert (report.remaining, report.lost, report.rejected) == (0, 0, 0)


def test_each_tracklet_ends_once(server, make_settings):
    run(make_settings())
    (rows,) = server.stored.values()
    last = [observation.tracklet_id for observation in rows.values() if observation.is_last]
    assert sorted(last) == sorted({observation.tracklet_id for observation in rows.values()})


def test_two_cameras_share_engine_spool_and_stream(tmp_path, server, make_settings):
    sequences = {camid: str(write_sequence(tmp_path / camid)) for camid in ("a", "b")}
    report = run(make_settings(cameras=sequences))
    assert {camid: camera.frames for camid, camera in report.cameras.items()} == {"a": 30, "b": 30}
    assert len(server.hellos) == 1
    (rows,) = server.stored.values()
    assert {observation.camera_index for observation in rows.values()} == {0, 1}


def test_server_down_for_the_whole_run_leaves_everything_in_the_spool(server, make_settings):
    server.stop()
    report = run(make_settings(drain_timeout_s=0))
    assert report.remaining == report.spooled > 0
    assert report.problem
    server.start()
    assert run(make_settings(cameras={"cam1": "no/such/video.mp4"})).acknowledged == report.spooled


def test_two_starts_never_share_a_tracklet_id(tmp_path, server, make_settings):
    run(make_settings())
    run(make_settings(cameras={"cam1": str(write_sequence(tmp_path / "again"))}))
    (rows,) = server.stored.values()
    assert len({observation.tracklet_id for observation in rows.values()}) == 4


def test_missing_video_is_a_failure_of_its_camera_only(tmp_path, make_settings):
    cameras = {"a": str(tmp_path / "none.mp4"), "b": str(write_sequence(tmp_path / "b"))}
    report = run(make_settings(cameras=cameras))
    assert "none.mp4" in report.cameras["a"].failure
    assert report.cameras["b"].frames == 30


def test_stopped_agent_ends_its_tracks_and_leaves(server, make_settings):
    stop = threading.Event()
    stop.set()
    report = run(make_settings(once=False), stop)
    assert report.remaining == 0
    assert report.uplink == "closed"


def test_crops_are_kept_when_asked_for(tmp_path, make_settings):
    run(make_settings(crops={"folder": tmp_path / "crops"}))
    assert len(list((tmp_path / "crops" / "cam1").glob("*.jpg"))) == 2


def test_crops_of_what_was_sent_are_kept_for_the_server(tmp_path, server, make_settings):
    report = run(make_settings())
    assert report.crops.kept == report.acknowledged
    assert (report.crops.lost, report.crops.faults) == (0, {})
    assert (tmp_path / "edge.spool.crops.key").stat().st_mode & 0o077 == 0
    (rows,) = server.stored.values()
    agent = Agent(make_settings(cameras={"cam1": "none.mp4"}))
    assert {seq: agent._ring.find(seq).time_us for seq in rows} == {seq: row.time_us for seq, row in rows.items()}
    agent.close()


@pytest.mark.parametrize(("later_key", "num_kept"), [("mine", 1), ("renewed", 0)])
def test_a_renewed_bundle_makes_older_crops_unreadable(tmp_path, make_settings, later_key, num_kept):
    settings = make_settings(bundle=tmp_path / "bundle", ring={"keep_days": 1}, cameras={"cam1": "none.mp4"})
    for key in ("mine", later_key):
        write_bundle(settings.bundle, key)
        agent = Agent(settings)
        found = agent._ring.find(1)
        agent._ring.keep([NumberedCrop(1, make_observation(1), np.zeros((256, 128, 3), np.uint8))])
        agent.close()
    assert isinstance(found, KeptCrop) == bool(num_kept)
    assert not (tmp_path / "edge.spool.crops.key").exists()


def test_no_crops_are_kept_where_the_operator_wants_none(tmp_path, make_settings):
    report = run(make_settings(ring={"enabled": False}))
    assert (report.crops.kept, report.crops.exchange) == (0, "off")
    assert not list(tmp_path.glob("*.crops*"))


def test_a_ring_that_cannot_be_opened_costs_no_observation(tmp_path, make_settings):
    (tmp_path / "edge.spool.crops").mkdir()
    report = run(make_settings())
    assert (report.lost, report.remaining, report.crops.kept) == (0, 0, 0)
    assert report.crops.lost == report.acknowledged > 4


@pytest.mark.parametrize(
    "part",
    [
        "edge.camera.CameraWorker",
        "edge.spool_writer.SpoolWriter",
        "edge.uplink.Uplink",
        "edge.crop_answers.CropAnswers",
    ],
)
def test_unforeseen_end_of_a_thread_ends_the_agent_with_its_reason(monkeypatch, make_settings, part):
    def fail(self, stop):
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(f"{part}.run", fail)
    with pytest.raises(ZeroDivisionError, match="a fault of ours"):
        run(make_settings(once=False))


def test_altered_release_is_refused_at_start(tiny_release, make_settings):
    with (tiny_release.folder / MODEL_FILE).open("ab") as file:
        file.write(b"x")
    with pytest.raises(ReleaseMismatchError, match="altered"):
        Agent(make_settings())


def test_two_agents_do_not_share_their_releases(tmp_path, make_settings):
    releases = {"folder": tmp_path / "releases"}
    first = Agent(make_settings(releases=releases))
    with pytest.raises(InstallError, match=r"in use by another agent: give each its own releases\.folder"):
        Agent(make_settings(releases=releases, spool={"path": tmp_path / "other.spool"}))
    first.close()
    Agent(make_settings(releases=releases)).close()


def test_an_installed_release_runs_after_a_start_and_names_its_embeddings(tmp_path, server, make_settings):
    newer = write_tiny_release(tmp_path / "newer", seed=1, version="2")
    store = ReleaseStore(tmp_path / "edge.spool.releases")
    request, _ = store.ask_to_install(newer.folder)
    store.write_state(store.read_state().begin(request).confirm())
    assert run(make_settings()).release == str(newer.ref)
    assert {batch.space for batch in server.batches} == {server.hellos[0].release.space} == {newer.ref.space}


def test_unknown_detector_is_refused_at_start_and_the_spool_is_free_again(make_settings):
    with pytest.raises(DetectorError, match="no detector 'magic'"):
        Agent(make_settings(detector="magic"))
    Agent(make_settings(cameras={"cam1": "x.mp4"})).close()


def test_second_agent_on_the_same_spool_is_refused(make_settings):
    agent = Agent(make_settings())
    with pytest.raises(SpoolError, match="in use"):
        Agent(make_settings(cameras={"cam1": "x.mp4"}))
    agent.close()


def test_a_detector_that_hangs_is_seen_as_silence_and_a_working_agent_is_not(monkeypatch, make_settings):
    hang, stop = Hang(), threading.Event()
    monkeypatch.setattr("edge.detectors.TruthDetector.detect", lambda self, frame: hang())
    agent = Agent(make_settings())
    thread = threading.Thread(target=agent.run, args=(stop,))
    thread.start()
    assert hang.begun.wait(LONG_S)
    time.sleep(1.0)
    assert agent.silent_s >= 1.0
    hang.released.set()
    thread.join(LONG_S)
    assert agent.silent_s == 0.0
    agent.close()
