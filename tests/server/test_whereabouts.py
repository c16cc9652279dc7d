from __future__ import annotations

from fakes_crop_edges import observe, put, store_of
from fakes_stream import ServerParts

from server.crops.snapshot import crop_name_of
from server.crops.whereabouts import read_whereabouts
from server.types import Actor, CropName

ANN = Actor("ann", "operator")
ONE, FOUR = CropName(1, 1), CropName(1, 4)


def site_with_crops(parts: ServerParts) -> ServerParts:
    """Tracklet 1 has observations 1 to 3, tracklet 2 has 4 to 6; a crop of each is here."""
    observe(parts, [[1, 2, 3], [4, 5, 6]])
    put(store_of(parts), 1, 1)
    put(store_of(parts), 2, 4)
    return parts


def test_a_crop_is_known_by_camera_time_and_person(parts: ServerParts) -> None:
    found = read_whereabouts(site_with_crops(parts).engine, [ONE, FOUR, CropName(1, 2), CropName(9, 9)])
    assert set(found) == {ONE, FOUR}
    assert (found[ONE].tracklet_key, found[FOUR].tracklet_key) == (1, 2)
    assert all(seen.edge_id and seen.camid and seen.time_us and seen.person_id for seen in found.values())


def test_crops_of_an_erased_person_are_nowhere(parts: ServerParts) -> None:
    site = site_with_crops(parts)
    before = read_whereabouts(site.engine, [ONE])
    site.records.erase_person(before[ONE].person_id, ANN, 5, spaces=site.ingest.spaces)
    assert ONE not in read_whereabouts(site.engine, [ONE, FOUR])


def test_no_names_are_no_crops(parts: ServerParts) -> None:
    assert read_whereabouts(parts.engine, []) == {}


def test_a_file_of_a_snapshot_names_its_crop() -> None:
    assert crop_name_of("crops/12-3-45.jpg") == CropName(3, 45)
