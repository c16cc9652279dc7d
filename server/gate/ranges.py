"""How large numbers grow inside a model graph.

A graph in half precision overflows where a layer's output passes 65,504. On a CPU that is never seen: ONNX Runtime
computes such a graph in float32 and leaves the rounding out. So every layer's output of the graph in fp32 is looked at.

An ONNX file is a protobuf message, and of two messages one after the other the lists are joined. Outputs are therefore
added by appending a model that has nothing but them; their types are inferred.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime as ort
from google.protobuf.empty_pb2 import Empty
from google.protobuf.unknown_fields import UnknownFieldSet
from google.protobuf.wrappers_pb2 import BytesValue, StringValue

from reid.errors import ReleaseError
from reid.types import UInt8Array

LARGEST_HALF = 65504.0
_GRAPH_OF_MODEL = 7
_NODE_OF_GRAPH = 1
_OUTPUT_OF_GRAPH = 12
_OUTPUT_OF_NODE = 2
_LENGTH_DELIMITED = 2


def largest_activation(model_path: Path, crops: UInt8Array, *, num_threads: int) -> float:
    """The largest absolute number that any layer puts out for some crops; infinite where one is not finite.

    Args:
        model_path: A model graph in fp32.
        crops: uint8 (N, 256, 128, 3), at least one; all are in memory at once with every layer's output.
        num_threads: Of ONNX Runtime.

    Raises:
        ReleaseError: The file is no model, or ONNX Runtime cannot run it.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.log_severity_level = 3
    try:
        model = with_all_outputs(model_path.read_bytes())
        session = ort.InferenceSession(model, sess_options=options, providers=["CPUExecutionProvider"])
        outputs = session.run(None, {"crops": crops})
    except Exception as error:  # ONNX Runtime raises a dozen unrelated types for a broken file
        raise ReleaseError(f"{model_path}: its layers cannot be looked at: {error}") from None
    largest = max(float(np.abs(output).max()) for output in outputs if output.dtype == np.float32 and output.size)
    return largest if np.isfinite(largest) else float("inf")


def with_all_outputs(model: bytes) -> bytes:
    """The same model, with the outputs of all layers among its own.

    Raises:
        DecodeError: It is no protobuf message (`google.protobuf.message`).
    """
    graphs = list(_messages(model, _GRAPH_OF_MODEL))
    known = {name for graph in graphs for value in _messages(graph, _OUTPUT_OF_GRAPH) for name in _messages(value, 1)}
    nodes = (node for graph in graphs for node in _messages(graph, _NODE_OF_GRAPH))
    names = [name for node in nodes for name in _messages(node, _OUTPUT_OF_NODE) if name and name not in known]
    values = [StringValue(value=name.decode()).SerializeToString() for name in names]
    added = b"".join(_field(_OUTPUT_OF_GRAPH, value) for value in values)
    return model + _field(_GRAPH_OF_MODEL, added) if added else model


def _messages(message: bytes, number: int) -> Iterator[bytes]:
    """Content of the fields of one number that hold bytes: messages or strings."""
    fields = UnknownFieldSet(Empty.FromString(message))
    for field in (fields[place] for place in range(len(fields))):
        if field.field_number == number and field.wire_type == _LENGTH_DELIMITED:
            yield field.data


def _field(number: int, content: bytes) -> bytes:
    """One field that holds bytes, as it is written."""
    key = number << 3 | _LENGTH_DELIMITED
    # The first byte is the key of field 1 of the wrapper; length and content follow.
    return bytes([key]) + BytesValue(value=content).SerializeToString()[1:]
