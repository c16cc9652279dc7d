from __future__ import annotations

import sys
from enum import IntEnum
from types import ModuleType, SimpleNamespace

import pytest

from edge.backends.tensorrt.module import load_tensorrt, tensorrt_version
from edge.errors import BackendError

Severity = IntEnum("Severity", "INTERNAL_ERROR ERROR WARNING INFO VERBOSE", start=0)


def module(name, version, **networks):
    """An installed TensorRT, as far as it is asked what it is."""
    made = ModuleType(name)
    made.__version__ = version
    made.ILogger = type("ILogger", (), {"Severity": Severity})
    made.NetworkDefinitionCreationFlag = SimpleNamespace(**networks)
    return made


@pytest.fixture
def installed(monkeypatch):
    """Puts modules in the place of those that are installed; None for one that is not."""

    def install(tensorrt=None, tensorrt_rtx=None):
        monkeypatch.setitem(sys.modules, "tensorrt", tensorrt)
        monkeypatch.setitem(sys.modules, "tensorrt_rtx", tensorrt_rtx)

    return install


def test_tensorrt_goes_before_tensorrt_rtx(installed):
    installed(module("tensorrt", "10.3.0", STRONGLY_TYPED=1), module("tensorrt_rtx", "1.7.1.116"))
    loaded = load_tensorrt()
    assert (loaded.flavour, loaded.version, loaded.is_strongly_typed) == ("tensorrt", "10.3.0", True)


def test_tensorrt_rtx_does_where_it_is_the_only_one(installed):
    installed(None, module("tensorrt_rtx", "1.7.1.116", STRONGLY_TYPED=1))
    assert load_tensorrt().flavour == "tensorrt_rtx"


def test_the_oldest_tensorrt_has_no_strong_types(installed):
    installed(module("tensorrt", "8.6.2", EXPLICIT_BATCH=0))
    assert not load_tensorrt().is_strongly_typed


def test_an_older_one_is_refused(installed):
    installed(module("tensorrt", "8.5.2.2", EXPLICIT_BATCH=0))
    with pytest.raises(BackendError, match=r"TensorRT 8\.5\.2\.2 is too old, wanted 8\.6 or later"):
        load_tensorrt()


def test_nothing_installed_names_both_and_the_way_out(installed):
    installed(None, None)
    with pytest.raises(BackendError, match=r"tensorrt: .*tensorrt_rtx: .*JetPack.*osprey-reid\[tensorrt-rtx\]"):
        load_tensorrt()


def test_errors_are_gathered_and_handed_out_once(installed):
    installed(module("tensorrt", "10.3.0"))
    loaded = load_tensorrt()
    for level, text in ((Severity.ERROR, "no kernel"), (Severity.INFO, "chatter"), (Severity.ERROR, "no kernel")):
        loaded.logger.log(level, text)
    loaded.logger.log(Severity.INTERNAL_ERROR, "no driver")
    assert loaded.messages.take() == "no kernel; no driver"
    assert loaded.messages.take() == "TensorRT gives no reason"


def test_the_version_is_found_without_loading(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("tensorrt")]:
        monkeypatch.delitem(sys.modules, name)
    assert tensorrt_version() == "none" or tensorrt_version().startswith("tensorrt")
    assert not any(name.startswith("tensorrt") for name in sys.modules)
