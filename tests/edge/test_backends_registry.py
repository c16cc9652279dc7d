from __future__ import annotations

import pytest
from releases import tiny_int8_model, with_graphs

import edge.backends.registry
from edge.backends.registry import BACKENDS
from reid.embedder import check_golden


@pytest.mark.parametrize(
    ("processor", "precisions"),
    [("x86_64", ("fp32",)), ("aarch64", ("fp32", "int8")), ("arm64", ("fp32", "int8"))],
)
def test_onnxruntime_offers_int8_where_it_may_be_faster(tiny_release, monkeypatch, processor, precisions):
    monkeypatch.setattr(edge.backends.registry, "machine", lambda: processor)
    backend = BACKENDS["onnxruntime"]
    assert backend.precisions(tiny_release) == ("fp32",)
    assert backend.precisions(with_graphs(tiny_release, int8=tiny_int8_model())) == precisions


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_onnxruntime_opens_the_graph_of_the_precision_asked_for(tiny_release, precision):
    release = with_graphs(tiny_release, int8=tiny_int8_model())
    embedder = BACKENDS["onnxruntime"].open(release, precision, 1)
    assert embedder.precision == precision
    assert check_golden(embedder, release) >= release.manifest.golden_cosine[precision]
