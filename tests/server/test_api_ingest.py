from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from fakes_running import TalkingEdge, running_server
from fakes_stream import DIM, batch_message, hello, observation

from protos import ingest_pb2
from reid.release import Release
from server.client import SearchClient
from server.settings import StreamSettings


@pytest.fixture
def address(tmp_path: Path, tiny_release: Release) -> Iterator[str]:
    streams = StreamSettings(window_batches=4, max_batch_observations=8)
    with running_server(tmp_path / "data", tiny_release, streams=streams) as listening:
        yield listening


def test_a_stream_is_welcomed_and_acknowledged(address: str) -> None:
    with TalkingEdge(address) as edge:
        welcome = edge.welcome()
        assert (welcome.acked_seq, welcome.window_batches, welcome.max_batch_observations) == (0, 4, 8)
        edge.send(batch_message(1, observation(), observation(time_s=1)))
        assert edge.acknowledgement().acked_seq == 2
        edge.finish()
        assert edge.ending() == (grpc.StatusCode.OK, "")


def test_a_closed_stream_still_gets_all_its_acknowledgements(address: str) -> None:
    with TalkingEdge(address) as edge:
        edge.welcome()
        for seq in (1, 2, 3):
            edge.send(batch_message(seq, observation(time_s=seq)))
        edge.finish()
        while edge.acknowledgement().acked_seq < 3:
            pass
        assert edge.ending()[0] is grpc.StatusCode.OK


def test_a_reconnecting_edge_is_told_where_to_go_on(address: str) -> None:
    with TalkingEdge(address) as edge:
        edge.welcome()
        edge.send(batch_message(1, observation(), observation(time_s=1)))
        edge.acknowledgement()
    with TalkingEdge(address) as edge:
        assert edge.welcome().acked_seq == 2
        edge.send(batch_message(2, observation(time_s=1), observation(time_s=2)))
        assert edge.acknowledgement().acked_seq == 3
    with SearchClient(address) as client:
        status = client.status()
    assert (status.totals.num_observations, status.num_duplicates) == (3, 1)


def test_bad_observations_are_counted_and_the_others_stored(address: str) -> None:
    message = batch_message(1, observation(), observation(time_s=1), observation(time_s=2))
    message.observations[1].embedding = np.full(DIM, np.nan, dtype="<f2").tobytes()
    with TalkingEdge(address) as edge:
        edge.welcome()
        edge.send(message)
        answer = edge.acknowledgement()
        assert (answer.acked_seq, answer.rejected) == (3, 1)
        assert "observation 2" in answer.rejected_reason
    with SearchClient(address) as client:
        status = client.status()
    assert (status.totals.num_observations, status.num_rejected) == (2, 1)


def test_another_protocol_version_is_refused_with_both_versions(address: str) -> None:
    said = hello()
    said.protocol_version = 99
    with TalkingEdge(address, said) as edge:
        code, details = edge.ending()
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "version 99, this server speaks version 1" in details


def test_another_space_is_refused_with_both_spaces(address: str) -> None:
    said = hello()
    said.release.space = "mars"
    with TalkingEdge(address, said) as edge:
        code, details = edge.ending()
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "'mars'" in details
    assert "'tiny-1-0'" in details


def test_a_batch_before_the_hello_is_refused(address: str) -> None:
    with TalkingEdge(address, greet=False) as edge:
        edge.send(batch_message(1, observation()))
        assert edge.ending() == (grpc.StatusCode.INVALID_ARGUMENT, "a stream must begin with a hello")


def test_a_stream_that_says_nothing_is_ended(tmp_path: Path, tiny_release: Release) -> None:
    impatient = StreamSettings(hello_timeout_s=0.1)
    with (
        running_server(tmp_path / "data", tiny_release, streams=impatient) as listening,
        TalkingEdge(listening, greet=False) as edge,
    ):
        assert edge.ending() == (grpc.StatusCode.INVALID_ARGUMENT, "a stream must begin with a hello within 0.1 s")


def test_a_hello_too_long_to_be_quoted_is_refused_with_its_own_reason(address: str) -> None:
    with TalkingEdge(address, hello("x" * 100_000)) as edge:
        code, details = edge.ending()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details.startswith("edge_id 'xxx")


def test_a_second_hello_is_refused(address: str) -> None:
    with TalkingEdge(address) as edge:
        edge.say(ingest_pb2.StreamObservationsRequest(hello=hello()))
        assert edge.ending()[0] is grpc.StatusCode.INVALID_ARGUMENT


def test_what_came_before_a_malformed_batch_is_stored_and_acknowledged(address: str) -> None:
    with TalkingEdge(address) as edge:
        edge.welcome()
        edge.send(batch_message(1, observation()))
        edge.send(batch_message(1, observation()))
        assert edge.acknowledgement().acked_seq == 1
        code, details = edge.ending()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "seq 1 after 1" in details


def test_a_newer_stream_of_an_edge_ends_the_older(address: str) -> None:
    with TalkingEdge(address) as old:
        old.welcome()
        with TalkingEdge(address) as new:
            new.welcome()
            code, details = old.ending()
            assert code is grpc.StatusCode.ABORTED
            assert "edge1 opened a newer stream" in details
            new.send(batch_message(1, observation()))
            assert new.acknowledgement().acked_seq == 1


def test_an_edge_that_ignores_the_window_is_ended_and_others_go_on(address: str) -> None:
    with TalkingEdge(address) as greedy, TalkingEdge(address, hello("edge2")) as polite:
        polite.welcome()
        greedy.welcome()
        for seq in range(1, 500):
            greedy.send(batch_message(seq, observation(time_s=seq)))
        code, details = greedy.ending()
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "the welcome allows 4" in details
        polite.send(batch_message(1, observation(1)))
        assert polite.acknowledgement().acked_seq == 1


def test_stopping_acknowledges_what_was_taken_and_the_next_start_knows_it(
    tmp_path: Path, tiny_release: Release
) -> None:
    with running_server(tmp_path / "data", tiny_release) as listening:
        edge = TalkingEdge(listening)
        edge.welcome()
        edge.send(batch_message(1, observation()))
        assert edge.acknowledgement().acked_seq == 1
    assert edge.ending()[0] is grpc.StatusCode.UNAVAILABLE
    with running_server(tmp_path / "data", tiny_release) as listening, TalkingEdge(listening) as edge:
        assert edge.welcome().acked_seq == 1
