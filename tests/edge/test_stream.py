from __future__ import annotations

import queue

import pytest
from fakes_crops import FakeCropServer

from edge.stream import ServerStream, StreamEnd
from protos import crops_pb2, crops_pb2_grpc

LONG_S = 20.0
HELLO = crops_pb2.ExchangeCropsRequest(hello=crops_pb2.CropHello(edge_id="edge1"))


@pytest.fixture
def server():
    server = FakeCropServer()
    yield server
    server.stop()


@pytest.fixture
def inbox():
    return queue.Queue()


@pytest.fixture
def stream(server, inbox):
    stream = ServerStream(
        server.address,
        lambda channel: crops_pb2_grpc.CropServiceStub(channel).ExchangeCrops,
        inbox.put,
        name="test-reader",
        max_response_bytes=1000,
    )
    yield stream
    stream.close()


def test_what_is_sent_is_counted_and_what_comes_is_delivered(server, inbox, stream):
    stream.send(HELLO)
    server.ask([1, 2], spool_id="spool-1")
    assert list(inbox.get(timeout=LONG_S).request.seqs) == [1, 2]
    assert (stream.bytes_sent, stream.num_queued, stream.is_broken) == (HELLO.ByteSize(), 0, False)


def test_a_break_is_delivered_last_and_is_not_fatal(server, inbox, stream):
    stream.send(HELLO)
    server.ask([1], spool_id="spool-1")
    assert inbox.get(timeout=LONG_S).request.seqs
    server.stop()
    end = inbox.get(timeout=LONG_S)
    assert isinstance(end, StreamEnd)
    assert (end.is_fatal, stream.is_broken) == (False, True)


def test_a_message_beyond_the_bound_ends_the_stream(server, inbox, stream):
    stream.send(HELLO)
    server.ask([1 << 60] * 1000, spool_id="spool-1")
    assert "larger than max" in inbox.get(timeout=LONG_S).reason


def test_closing_twice_is_harmless(stream):
    stream.close()
    stream.close()
    assert stream.is_broken
