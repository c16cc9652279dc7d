from contextlib import closing

import grpc
import pytest

from benchmarks.instruments.counting_server import CountingServer
from protos.ingest_pb2 import Hello, Observation, ObservationBatch, StreamObservationsRequest
from protos.ingest_pb2_grpc import IngestServiceStub

HELLO = StreamObservationsRequest(hello=Hello(protocol_version=1, edge_id="e", spool_id="s", camids=["c1"]))


def batch(*seqs: int) -> StreamObservationsRequest:
    observations = [Observation(seq=seq, embedding=b"\0" * 1024) for seq in seqs]
    return StreamObservationsRequest(batch=ObservationBatch(space="x", dim=512, observations=observations))


@pytest.fixture
def server():
    with closing(CountingServer()) as server:
        yield server


def test_every_serialised_byte_is_counted_and_everything_acknowledged(server):
    messages = [HELLO, batch(1, 2), batch(5)]
    with grpc.insecure_channel(server.address) as channel:
        answers = list(IngestServiceStub(channel).StreamObservations(iter(messages), timeout=20))
    assert answers[0].welcome.protocol_version == 1
    assert [answer.acknowledgement.acked_seq for answer in answers[1:]] == [2, 5]
    assert server.num_bytes == sum(message.ByteSize() for message in messages)
    assert server.num_observations == 3
