from demo.video import camera_bytes
from simulation.site import SiteConfig


def test_a_camera_s_frames_are_really_encoded():
    config = SiteConfig(seed=1, num_people=2, num_cameras=1, duration_s=2, fps_hz=5, width_px=160, height_px=90)
    longer = config.model_copy(update={"duration_s": 4.0})
    assert 500 < camera_bytes(config, "c1") < camera_bytes(longer, "c1") < 100_000
