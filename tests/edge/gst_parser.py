"""GStreamer's own parser of pipelines, through its C library; nothing is started."""

from __future__ import annotations

import ctypes
import ctypes.util

import pytest


class GstParser:
    """Parses as OpenCV has it done. Skips the test where GStreamer or its RTSP plugin is not installed."""

    def __init__(self) -> None:
        names = [ctypes.util.find_library(name) for name in ("gstreamer-1.0", "gobject-2.0")]
        if None in names:
            pytest.skip("GStreamer is not installed")
        self._gst, self._gobject = (ctypes.CDLL(name) for name in names)
        for function in ("gst_parse_launch", "gst_bin_get_by_name", "gst_element_factory_find"):
            getattr(self._gst, function).restype = ctypes.c_void_p
        self._gst.gst_init(None, None)
        if not self._gst.gst_element_factory_find(b"rtspsrc"):
            pytest.skip("GStreamer's good plugins are not installed")

    def location(self, description: str) -> str:
        """The location of the element `rtspsrc0` in a pipeline."""
        error = ctypes.c_void_p()
        self._gst.gst_parse_launch.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
        parsed = self._gst.gst_parse_launch(description.encode(), ctypes.byref(error))
        assert not error.value, f"GStreamer refuses {description}"
        source = self._gst.gst_bin_get_by_name(ctypes.c_void_p(parsed), b"camera")
        value = ctypes.c_char_p()
        self._gobject.g_object_get(ctypes.c_void_p(source), b"location", ctypes.byref(value), None)
        return (value.value or b"").decode()
