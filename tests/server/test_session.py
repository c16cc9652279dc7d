from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from fakes_spaces import FAMILY, NEW, OLD, STRANGE
from fakes_stream import DIM, SPACES, batch_message, hello, observation

from protos import ingest_pb2
from reid.errors import ConfigError, OspreyError
from server.api.session import Session
from server.errors import ProtocolError, SpaceError, VersionError
from server.settings import StreamSettings
from server.spaces import Spaces


def session() -> Session:
    return Session(hello(), spaces=lambda: SPACES, settings=StreamSettings(max_batch_observations=3))


def test_a_batch_is_decoded() -> None:
    batch = session().read(batch_message(4, observation(1, camid="cam2"), observation(2, time_s=3)))
    assert [(item.seq, item.observation.camid) for item in batch.observations] == [(4, "cam2"), (5, "cam1")]
    assert np.allclose(batch.observations[1].observation.embedding, observation(2).embedding)
    assert (batch.last_seq, batch.rejected_seqs) == (5, [])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda h: setattr(h, "protocol_version", 7), VersionError, "version 7, this server speaks version 1"),
        (lambda h: setattr(h.release, "space", "other"), SpaceError, "'other' of dim 8.*'tiny-1-0' of dim 8"),
        (lambda h: setattr(h, "dim", 512), SpaceError, "of dim 512.*of dim 8"),
        (lambda h: setattr(h, "edge_id", "../x"), ConfigError, "edge_id '../x'"),
        (lambda h: setattr(h, "spool_id", ""), ConfigError, "spool_id"),
        (lambda h: h.camids.append("a/b"), ConfigError, "camera of edge edge1 'a/b'"),
        (lambda h: h.camids.append("cam1"), ProtocolError, "cameras cam1 twice"),
        (lambda h: h.ClearField("camids"), ProtocolError, "announces 0 cameras, wanted 1 to 256"),
        (lambda h: h.camids.extend(["?"] * 10_000), ProtocolError, "announces 10002 cameras, wanted 1 to 256"),
    ],
    ids=["version", "space", "dim", "edge", "spool", "camera", "twice", "none", "many"],
)
def test_a_hello_that_does_not_fit_is_refused(
    change: Callable[[ingest_pb2.Hello], None], error: type[OspreyError], message: str
) -> None:
    said = hello()
    change(said)
    with pytest.raises(error, match=message):
        Session(said, spaces=lambda: SPACES, settings=StreamSettings())


def test_bad_observations_are_refused_alone_and_the_latest_reason_is_kept() -> None:
    message = batch_message(1, observation(), observation(), observation())
    message.observations[0].embedding = np.full(DIM, np.nan, dtype="<f2").tobytes()
    message.observations[1].embedding = b"short"
    open_session = session()
    batch = open_session.read(message)
    assert [item.seq for item in batch.observations] == [3]
    assert (batch.rejected_seqs, batch.last_seq, open_session.num_rejected) == ([1, 2], 3, 2)
    assert "observation 2: embedding has 5 bytes, wanted 16" in open_session.rejected_reason


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda b: b.ClearField("observations"), ProtocolError, "batch of 0 observations, wanted 1 to 3"),
        (lambda b: b.observations.extend([b.observations[0]] * 2), ProtocolError, "batch of 4"),
        (lambda b: setattr(b, "dim", 16), ProtocolError, "batch of dim 16, said 8"),
        (lambda b: setattr(b, "space", "other"), SpaceError, "'other'.*'tiny-1-0'"),
        (lambda b: setattr(b.observations[1], "seq", 1), ProtocolError, "seq 1 after 1"),
        (lambda b: setattr(b.observations[0], "seq", 0), ProtocolError, "seq 0 after 0"),
        (lambda b: setattr(b.observations[1], "seq", 2**63), ProtocolError, "within 63 bits"),
    ],
    ids=["empty", "large", "dim", "space", "repeat", "zero", "huge"],
)
def test_a_malformed_batch_is_refused_whole(
    change: Callable[[ingest_pb2.ObservationBatch], None], error: type[OspreyError], message: str
) -> None:
    sent = batch_message(1, observation(), observation())
    change(sent)
    with pytest.raises(error, match=message):
        session().read(sent)


def test_sequence_numbers_rise_from_batch_to_batch_and_may_have_gaps() -> None:
    open_session = session()
    open_session.read(batch_message(1, observation()))
    assert open_session.read(batch_message(9, observation())).last_seq == 9
    with pytest.raises(ProtocolError, match="seq 9 after 9"):
        open_session.read(batch_message(9, observation()))


def turned(message: ingest_pb2.ObservationBatch, space: str) -> ingest_pb2.ObservationBatch:
    message.space = space
    return message


def test_an_edge_may_change_to_a_known_release_and_back_in_one_stream() -> None:
    spaces = Spaces(OLD, FAMILY)
    open_session = Session(hello(), spaces=lambda: spaces, settings=StreamSettings())
    messages = [batch_message(seq, observation()) for seq in (1, 2, 3)]
    batches = [open_session.read(turned(m, s.space)) for m, s in zip(messages, (OLD, NEW, OLD), strict=True)]
    assert [batch.space for batch in batches] == [OLD.space, NEW.space, OLD.space]
    with pytest.raises(SpaceError, match=r"'strange'.*no alignment joins them"):
        open_session.read(turned(batch_message(4, observation()), STRANGE.space))


def test_a_release_that_becomes_known_is_taken_from_then_on() -> None:
    known = [Spaces(OLD)]
    open_session = Session(hello(), spaces=lambda: known[-1], settings=StreamSettings())
    with pytest.raises(SpaceError):
        open_session.read(turned(batch_message(1, observation()), NEW.space))
    known.append(Spaces(OLD, FAMILY))
    assert open_session.read(turned(batch_message(1, observation()), NEW.space)).space == NEW.space
