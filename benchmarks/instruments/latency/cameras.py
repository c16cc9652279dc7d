"""Network cameras on this machine: each shows a recording over HTTP as MJPEG, at its frame rate, whoever watches."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from benchmarks.instruments.latency.scene import Recording

_HEAD_START_S = 0.3
"""From a camera's opening to its first frame."""
_BOUNDARY = b"--frame\r\n"


class CameraServer:
    """Cameras at `http://…/NAME`, for any name. A context manager.

    Frames are sent by the clock, those of the cameras evenly spread over the time between two. FFmpeg keeps the first
    picture of such a stream for itself, so frame 0 is sent twice.

    Args:
        recording: What all of them show.
        num_cameras: Named c1, c2, …
    """

    def __init__(self, recording: Recording, num_cameras: int) -> None:
        self._recording = recording
        self._stopped = threading.Event()
        self._sent_us: defaultdict[str, list[int]] = defaultdict(list)
        self.camids = [f"c{number + 1}" for number in range(num_cameras)]
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="cameras", daemon=True)

    def __enter__(self) -> CameraServer:
        """Switch them on."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Switch them off."""
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def url(self, camid: str) -> str:
        """Where a camera is."""
        return f"http://127.0.0.1:{self._server.server_port}/{camid}"

    def sent_us(self, camid: str) -> list[int]:
        """When each frame left a camera, since it was opened last; microseconds since the Unix epoch."""
        return list(self._sent_us[camid])

    def show(self, camid: str, write: Any) -> None:
        """Send frames until nobody watches."""
        self._sent_us[camid].clear()
        write(_BOUNDARY + self._part(0))
        period_s = 1 / self._recording.rate_hz
        share = self.camids.index(camid) / len(self.camids)
        start_s = time.monotonic() + _HEAD_START_S + share * period_s
        index = 0
        while not self._stopped.wait(max(0.0, start_s + index * period_s - time.monotonic())):
            self._sent_us[camid].append(time.time_ns() // 1000)
            write(self._part(index))
            index += 1

    def _part(self, index: int) -> bytes:
        picture = self._recording.pictures[self._recording.position(index)]
        head = b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture)
        return head + picture + b"\r\n" + _BOUNDARY


def _handler_of(cameras: CameraServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            camid = self.path.strip("/")
            if camid not in cameras.camids:
                self.send_error(404, f"no camera {camid}")
                return
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            try:
                cameras.show(camid, self.wfile.write)
            except OSError:  # whoever watched has gone
                return

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    return Handler
