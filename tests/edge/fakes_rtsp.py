"""An RTSP camera on the loopback: H.264 over RTP inside the RTSP connection (RFC 2326, RFC 6184), one frame a read."""

from __future__ import annotations

import base64
import socket
import struct
import threading
import time

from fakes_video import encode_h264

_SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=fake\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"


class RtspCamera:
    """Serves `num_frames` frames to each client, then hangs up.

    Attributes:
        num_clients: Clients that have begun to play.
    """

    def __init__(self, *, num_frames: int, login: str = "", is_silent: bool = False) -> None:
        self.num_clients = 0
        self._frames = encode_h264(num_frames)
        self._login = base64.b64encode(login.encode()).decode()
        self._is_silent = is_silent
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as requests:
            try:
                while (line := requests.readline().decode()) and not self._is_silent:
                    headers = {}
                    while (header := requests.readline().decode().strip()) != "":
                        key, _, text = header.partition(": ")
                        headers[key.lower()] = text
                    if self._answer(client, line.split()[0], headers):
                        self._play(client)
                        return
                time.sleep(1.0 if self._is_silent else 0.0)
            except OSError:
                return

    def _answer(self, client: socket.socket, method: str, headers: dict[str, str]) -> bool:
        """Answer a request; True if the client wants to play."""
        extra, body, status = "", "", "200 OK"
        if self._login and headers.get("authorization") != f"Basic {self._login}":
            status, extra = "401 Unauthorized", 'WWW-Authenticate: Basic realm="fake"\r\n'
        elif method == "DESCRIBE":
            body, extra = _SDP, f"Content-Type: application/sdp\r\nContent-Length: {len(_SDP)}\r\n"
        elif method == "SETUP":
            extra = "Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
        elif method == "PLAY":
            extra = "Session: 1\r\n"
        client.sendall(f"RTSP/1.0 {status}\r\nCSeq: {headers['cseq']}\r\n{extra}\r\n{body}".encode())
        return method == "PLAY" and status == "200 OK"

    def _play(self, client: socket.socket) -> None:
        self.num_clients += 1
        number = 0
        for index, units in enumerate(self._frames):
            for unit in units:
                is_last = unit is units[-1]
                header = struct.pack("!BBHII", 0x80, 96 | (0x80 if is_last else 0), number & 0xFFFF, index * 9000, 7)
                client.sendall(struct.pack("!cBH", b"$", 0, 12 + len(unit)) + header + unit)
                number += 1
