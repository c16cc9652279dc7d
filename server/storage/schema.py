"""The tables, as the code queries them; `migrations/` makes them. A test holds the two equal.

spools        one per spool of an edge: how far it is stored
cameras       one per camera of an edge
persons       one per identity ever made; a folded one names its successor, an erased one stays as an empty row, so
              that no person_id is used twice
tracklets     pooled; carries the space of all its observations
observations  (spool, seq) is the primary key: a repeat cannot be stored twice; an empty embedding has aged out
lease         one row: which server owns these records; each new owner takes the next token
audit         who did what, when, and how it ended

identity_events   one per change of identities that did not come from a stream
identity_moves    the tracklets that an event moved, and from whom to whom
identity_persons  the persons that an event made, folded, revived or named
links             what an event says of two tracklets: the same person, or two; holds while the event is not undone

crops            crops that the server has, by the observation that they show; the file is named after it
crop_traffic     what each edge was asked to send, by day
crop_erasures    crops of erased persons that an edge may still have, until it says that they are gone
tracklet_means   tracklets embedded again from their crops by a later release; takes the place of the mapped mean there
adaptation_runs  one per run: `document` is the state of the run as JSON
releases         one per release that this site ever judged: `document` is what the manifest and the gate say
rollouts         one per roll-out: `document` is the state of the roll-out as JSON
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
    true,
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
    Column("num_deleted", BigInteger, nullable=False, server_default="0"),  # of num_observations
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
    Column("name", Text, nullable=True),
    Column("erased_us", BigInteger, nullable=True),
    Column("confirmed_us", BigInteger, nullable=True),  # provisional until then
    Index("ix_persons_folded_into", "folded_into"),
)
_IS_NAMED = persons.c.name.is_not(None)
Index("ix_persons_name", persons.c.name, sqlite_where=_IS_NAMED, postgresql_where=_IS_NAMED)  # few have one

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
    Column("has_views", Boolean, nullable=False, server_default=true()),  # its observations still have embeddings
    UniqueConstraint("camera_key", "tracklet_id", "space"),
    # All that lists and searches ask of a person's tracklets: their rows, with the sums, lie each on a page of its own.
    Index(
        "ix_tracklets_person_id",
        *("person_id", "camera_key", "start_us", "end_us", "num_observations", "has_views", "space"),
    ),
    Index("ix_tracklets_start_us", "start_us"),
    Index("ix_tracklets_camera_key_end_us", "camera_key", "end_us"),
    Index("ix_tracklets_has_views_updated_us", "has_views", "updated_us"),
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

identity_events = Table(
    "identity_events",
    metadata,
    Column("event_key", _Key, primary_key=True, autoincrement=True),
    Column("time_us", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("undone_by", BigInteger, ForeignKey("identity_events.event_key"), nullable=True),
)

identity_moves = Table(
    "identity_moves",
    metadata,
    Column("event_key", BigInteger, ForeignKey("identity_events.event_key"), primary_key=True, autoincrement=False),
    Column("tracklet_key", BigInteger, ForeignKey("tracklets.tracklet_key"), primary_key=True, autoincrement=False),
    Column("from_person", BigInteger, nullable=False),
    Column("to_person", BigInteger, nullable=False),
    Index("ix_identity_moves_tracklet_key", "tracklet_key"),
    Index("ix_identity_moves_from_person", "from_person"),
    Index("ix_identity_moves_to_person", "to_person"),
)

identity_persons = Table(
    "identity_persons",
    metadata,
    Column("event_key", BigInteger, ForeignKey("identity_events.event_key"), primary_key=True, autoincrement=False),
    Column("person_id", BigInteger, ForeignKey("persons.person_id"), primary_key=True, autoincrement=False),
    Column("change", Text, primary_key=True),  # made, folded, revived or named
    Column("other_person", BigInteger, nullable=True),  # folded: into whom; revived: out of whom
    Column("old_name", Text, nullable=True),
    Column("new_name", Text, nullable=True),
    Index("ix_identity_persons_person_id", "person_id"),
)

links = Table(
    "links",
    metadata,
    Column("link_key", _Key, primary_key=True, autoincrement=True),
    Column("event_key", BigInteger, ForeignKey("identity_events.event_key"), nullable=False),
    Column("one_tracklet_key", BigInteger, ForeignKey("tracklets.tracklet_key"), nullable=False),
    Column("other_tracklet_key", BigInteger, ForeignKey("tracklets.tracklet_key"), nullable=False),
    Column("kind", Text, nullable=False),  # must or cannot
    Index("ix_links_event_key", "event_key"),
    Index("ix_links_one_tracklet_key", "one_tracklet_key"),
    Index("ix_links_other_tracklet_key", "other_tracklet_key"),
)

crops = Table(
    "crops",
    metadata,
    Column("spool_key", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("tracklet_key", BigInteger, ForeignKey("tracklets.tracklet_key"), nullable=False),
    Column("time_us", BigInteger, nullable=False),
    Column("num_bytes", BigInteger, nullable=False),
    Column("received_us", BigInteger, nullable=False),
    Index("ix_crops_tracklet_key", "tracklet_key"),
    Index("ix_crops_received_us", "received_us"),
)

crop_traffic = Table(
    "crop_traffic",
    metadata,
    Column("edge_id", Text, primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),  # since the Unix epoch, UTC
    Column("num_crops", BigInteger, nullable=False),
    Column("num_bytes", BigInteger, nullable=False),
)

crop_erasures = Table(
    "crop_erasures",
    metadata,
    Column("spool_key", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("erased_us", BigInteger, nullable=False),
)

tracklet_means = Table(
    "tracklet_means",
    metadata,
    Column("tracklet_key", BigInteger, ForeignKey("tracklets.tracklet_key"), primary_key=True, autoincrement=False),
    Column("space", Text, primary_key=True),
    Column("embedding", LargeBinary, nullable=False),  # D little-endian float32, unit norm
)

adaptation_runs = Table(
    "adaptation_runs",
    metadata,
    Column("run_key", _Key, primary_key=True, autoincrement=True),
    Column("state", Text, nullable=False),
    Column("started_us", BigInteger, nullable=False),
    Column("changed_us", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
)

releases = Table(
    "releases",
    metadata,
    Column("space", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("parent", Text, nullable=True),
    Column("state", Text, nullable=False),  # refused, released or withdrawn
    Column("is_served", Boolean, nullable=False),
    Column("registered_us", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
)

rollouts = Table(
    "rollouts",
    metadata,
    Column("rollout_key", _Key, primary_key=True, autoincrement=True),
    Column("space", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("started_us", BigInteger, nullable=False),
    Column("changed_us", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("entry_key", _Key, primary_key=True, autoincrement=True),
    Column("time_us", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Index("ix_audit_time_us", "time_us"),
)

lease = Table(
    "lease",
    metadata,
    Column("lease_key", Integer, primary_key=True, autoincrement=False),
    Column("holder", Text, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
)
