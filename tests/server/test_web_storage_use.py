from __future__ import annotations

from pathlib import Path

from server.storage.database import StorageSettings, open_database
from server.web.storage_use import storage_use


def test_what_lies_in_the_data_folder_is_added_up(tmp_path: Path) -> None:
    engine = open_database(StorageSettings(), data=tmp_path)
    for name, length in (("crops/1/2.jpg", 5), ("crops/3.jpg", 7), ("releases/r/model.onnx", 11)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * length)
    use = storage_use(tmp_path, engine)
    engine.dispose()
    assert use.folders == {"crops": 12, "adaptation": 0, "releases": 11}
    assert use.database > 0
    assert use.free > 0
