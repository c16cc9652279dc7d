"""How large the messages are with which an edge sends the crops that it keeps."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from edge.ring import CropRing, KeptCrop, RingSettings
from edge.ring_key import secret_beside
from edge.spool import Spool
from protos.crops_pb2 import CROP_STATUS_OK, CropAnswer
from reid.wire import box_to_proto

_REQUEST_ID = "0123456789abcdef"


def mean_answer_bytes(spool_path: Path) -> float:
    """Mean over all crops in the ring of an edge that has ended; 0 without any.

    Args:
        spool_path: The spool, beside which the ring lies.
    """
    path = RingSettings().path_beside(spool_path)
    with closing(Spool(spool_path, limit_bytes=1 << 30)) as spool:
        secret = path.with_name(f"{path.name}.key")
        ring = CropRing(path, spool_id=spool.spool_id, secret=lambda: secret_beside(secret), settings=RingSettings())
        with closing(ring):
            found = [ring.find(seq) for seq in range(1, spool.acked_seq + 1)]
    sizes = [_answer_bytes(kept) for kept in found if isinstance(kept, KeptCrop)]
    return sum(sizes) / len(sizes) if sizes else 0.0


def _answer_bytes(kept: KeptCrop) -> int:
    answer = CropAnswer(
        request_id=_REQUEST_ID,
        status=CROP_STATUS_OK,
        jpeg=kept.jpeg,
        time_us=kept.time_us,
        box=box_to_proto(kept.box),
        seq=kept.seq,
    )
    return answer.ByteSize()
