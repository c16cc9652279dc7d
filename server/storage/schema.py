"""The tables, as the code queries them; `migrations/` makes them. A test holds the two equal.

spools        one per spool of an edge: how far it is stored
cameras       one per camera of an edge
persons       one per identity ever made; a folded one names its successor, so no person_id is used twice
tracklets     pooled; carries the space of all its observations
observations  (spool, seq) is the primary key: a repeat cannot be stored twice
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

_Key = BigInteger().with_variant(Integer, "sqlite")
"""SQLite makes only INTEGER PRIMARY KEY the row's own number; BIGINT would cost a second index."""

spools = Table(
    "spools",
    metadata,
    Column("spool_key", _Key, primary_key=True, autoincrement=False),
    Column("edge_id", Text, nullable=False),
    Column("spool_id", Text, nullable=False),
    Column("acked_seq", BigInteger, nullable=False),
    Column("num_observations", BigInteger, nullable=False),
    Column("last_seen_us", BigInteger, nullable=False),
    UniqueConstraint("edge_id", "spool_id"),
)

cameras = Table(
    "cameras",
    metadata,
    Column("camera_key", _Key, primary_key=True, autoincrement=False),
    Column("edge_id", Text, nullable=False),
    Column("camid", Text, nullable=False),
    UniqueConstraint("edge_id", "camid"),
)

persons = Table(
    "persons",
    metadata,
    Column("person_id", _Key, primary_key=True, autoincrement=False),
    Column("created_us", BigInteger, nullable=False),
    Column("folded_into", BigInteger, ForeignKey("persons.person_id"), nullable=True),
)

tracklets = Table(
    "tracklets",
    metadata,
    Column("tracklet_key", _Key, primary_key=True, autoincrement=False),
    Column("camera_key", BigInteger, ForeignKey("cameras.camera_key"), nullable=False),
    Column("tracklet_id", BigInteger, nullable=False),
    Column("space", Text, nullable=False),
    Column("person_id", BigInteger, ForeignKey("persons.person_id"), nullable=False),
    Column("start_us", BigInteger, nullable=False),
    Column("end_us", BigInteger, nullable=False),
    Column("num_observations", BigInteger, nullable=False),
    Column("weight", Float, nullable=False),
    Column("embedding_sum", LargeBinary, nullable=False),  # D little-endian float32
    Column("is_closed", Boolean, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    UniqueConstraint("camera_key", "tracklet_id", "space"),
    Index("ix_tracklets_person_id", "person_id"),
    Index("ix_tracklets_start_us", "start_us"),
    Index("ix_tracklets_camera_key_end_us", "camera_key", "end_us"),
)

observations = Table(
    "observations",
    metadata,
    Column("spool_key", BigInteger, ForeignKey("spools.spool_key"), primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("tracklet_key", BigInteger, ForeignKey("tracklets.tracklet_key"), nullable=False),
    Column("time_us", BigInteger, nullable=False),
    Column("x1", Float, nullable=False),
    Column("y1", Float, nullable=False),
    Column("x2", Float, nullable=False),
    Column("y2", Float, nullable=False),
    Column("quality", Float, nullable=False),
    Column("embedding", LargeBinary, nullable=False),  # D little-endian halves
    Index("ix_observations_tracklet_key", "tracklet_key"),
)
