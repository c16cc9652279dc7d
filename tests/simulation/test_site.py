import numpy as np
import pytest

from reid.errors import ConfigError
from reid.settings import parse_settings
from simulation.site import SimulatedSite, SiteConfig

SMALL = SiteConfig(seed=3, num_people=6, num_cameras=2, duration_s=20, fps_hz=5, width_px=320, height_px=180)


@pytest.fixture(scope="module")
def site() -> SimulatedSite:
    return SimulatedSite(SMALL)


def test_equal_configurations_give_equal_frames(site):
    other = SimulatedSite(SMALL)
    for index in (0, 40, 99):
        one, two = site.frame("c2", index), other.frame("c2", index)
        assert np.array_equal(one.image, two.image)
        assert one.people == two.people


def test_a_frame_does_not_depend_on_what_was_asked_before(site):
    first = site.frame("c1", 50).image
    for index in (99, 3, 51):
        site.frame("c1", index)
    assert np.array_equal(site.frame("c1", 50).image, first)


def test_frames_are_bgr_bytes_of_the_configured_size(site):
    image = site.frame("c1", 0).image
    assert image.shape == (180, 320, 3)
    assert image.dtype == np.uint8


def test_truth_without_rendering_is_that_of_the_frame(site):
    for index in range(0, 100, 20):
        assert site.people_in("c1", index) == site.frame("c1", index).people


def test_nobody_is_in_two_cameras_at_once(site):
    for index in range(site.num_frames):
        here = {person.pid for person in site.people_in("c1", index)}
        there = {person.pid for person in site.people_in("c2", index)}
        assert not here & there


def test_boxes_lie_inside_the_frame_and_have_area(site):
    people = [person for index in range(0, site.num_frames, 3) for person in site.people_in("c1", index)]
    assert people
    for person in people:
        x1, y1, x2, y2 = person.box
        assert 0 <= x1 < x2 <= SMALL.width_px
        assert 0 <= y1 < y2 <= SMALL.height_px
        assert 0 < person.visible_fraction <= 1


def test_a_person_is_painted_where_the_truth_says(site):
    empty = np.median([site.frame("c1", index).image for index in range(0, 100, 7)], axis=0)
    for index in range(0, 100, 10):
        frame = site.frame("c1", index)
        changed = np.abs(frame.image - empty).max(axis=2) > 45
        covered = np.zeros_like(changed)
        for person in frame.people:
            x1, y1, x2, y2 = (round(side) for side in person.box)
            covered[max(0, y1 - 2) : y2 + 3, max(0, x1 - 2) : x2 + 3] = True
        assert changed[~covered].mean() < 0.003


def test_people_look_the_same_however_many_cameras_there_are():
    few = SimulatedSite(SMALL)
    many = SimulatedSite(SMALL.model_copy(update={"num_cameras": 5, "duration_s": 40.0}))
    assert few.looks == many.looks


def test_most_people_pass_several_cameras():
    site = SimulatedSite(SMALL.model_copy(update={"duration_s": 60.0}))
    seen = [{p.pid for i in range(0, site.num_frames, 5) for p in site.people_in(camid, i)} for camid in site.camids]
    assert len(seen[0] & seen[1]) >= 4


@pytest.mark.parametrize("index", [-1, 100])
def test_a_frame_outside_the_recording_is_refused(site, index):
    with pytest.raises(IndexError, match=f"frame {index} of camera c1: the simulated site has 100"):
        site.frame("c1", index)


def test_an_unknown_camera_is_refused_with_the_known_ones(site):
    with pytest.raises(ConfigError, match="no camera 'c9', only c1, c2"):
        site.people_in("c9", 0)


def test_a_site_without_people_is_refused():
    with pytest.raises(ConfigError, match="num_people"):
        parse_settings(SiteConfig, {"num_people": 0}, source="site")
