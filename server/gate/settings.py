"""Bounds of the gate. Each says why it lies where it does; `docs/gate.md` has the measurements behind them."""

from __future__ import annotations

from pydantic import Field

from reid.settings import Settings


class GoldenCosines(Settings):
    """Least cosine of each graph to the golden embeddings."""

    fp32: float = Field(default=0.9999, ge=-1, le=1)
    fp16: float = Field(default=0.999, ge=-1, le=1)
    int8: float = Field(default=0.98, ge=-1, le=1)


class PrecisionCosines(Settings):
    """Least mean cosine of each further graph to the one in fp32, on people."""

    fp16: float = Field(default=0.999, ge=-1, le=1)
    int8: float = Field(default=0.95, ge=-1, le=1)


class GateSettings(Settings):
    """What a candidate release has to reach. Shares and differences of shares are of 1, not of 100."""

    max_crops: int = Field(default=1500, ge=50)
    """Held-out crops that are embedded at most: whole tracklets are drawn, evenly over the cameras. More cost time and
    tell little more: the interval of a gain shrinks with their root."""
    max_crops_per_tracklet: int = Field(default=6, ge=2)
    """Crops of one tracklet, spread along it, both ends included: the rest are nearly the same pictures."""
    min_tracklets: int = Field(default=20, ge=3)
    """Held-out tracklets of two crops or more. With fewer, luck decides, and nothing is released by luck."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Of the interval of the gain, found by drawing tracklets anew."""
    num_draws: int = Field(default=1000, ge=100)
    """How often they are drawn; the ends of the interval then hold to about a hundredth of its length."""
    seed: int = 0
    """Of all draws, so that a verdict can be had again."""
    least_gain: float = Field(default=0.0, ge=0)
    """The low end of the gain in crossing must lie above this, in standard deviations; on a site of one camera that of
    the gain in separation. The one check that asks for *better*: the others only forbid worse."""
    separation_margin: float = Field(default=0.5, ge=0)
    """By how much separation within a camera may fall, in standard deviations: between good releases it falls by up to
    0.45, and the broken ones lose 0.6 and more."""
    retrieval_margin: float = Field(default=0.02, ge=0)
    """By how much tracklet mAP may fall; more passes only where it may be chance, as for the margins below. Near its
    top it tells good releases apart badly, and broken ones well."""
    agreement_margin: float = Field(default=0.04, ge=0)
    """By how much the agreement of head and tail on other cameras may fall: a network that learnt cameras or single
    tracklets gains within a camera and loses here."""
    round_trip_margin: float = Field(default=0.03, ge=0)
    """By how much the score of the way to another camera and back may fall, for the same reason."""
    num_neighbours: int = Field(default=3, ge=1)
    """Nearest tracklets of other cameras on which head and tail should agree: about as many as a person has there."""
    recall: float = Field(default=0.95, gt=0, lt=1)
    """Share of tracklets whose ends match, at which false matches are counted."""
    false_match_margin: float = Field(default=0.05, ge=0)
    """By how much the share of false matches at that recall may rise. Wide, as there are few such pairs."""
    cross_margin: float = Field(default=0.10, ge=0)
    """By how much tracklet mAP may be lower when new heads search the parent's aligned tails than when the parent's own
    do. Alignment costs up to 0.06 here even where it gains between cameras; a network that left the parent's space
    behind, or was broken, loses 0.1 and more."""
    max_negative_flips: float = Field(default=0.05, ge=0, le=1)
    """Share of tracklets that the parent finds and the candidate does not; more passes where about as many are newly
    found. Good candidates lose up to 0.05, and find as many where their parent left some; broken ones lose 0.06 and
    more, and find less than half of that."""
    max_similarity_rise: float = Field(default=0.15, ge=0)
    """By how much the mean similarity of two different tracklets may rise: everybody looks alike in a collapse."""
    least_rank_share: float = Field(default=0.5, ge=0, le=1)
    """Effective rank as a share of the parent's; good candidates keep 0.75 and more."""
    max_threshold_false_matches: float = Field(default=0.3, ge=0, le=1)
    """Share of pairs of two people, seen at one moment, that may match at the candidate's own threshold: such pairs
    share light and place, and are harder than others."""
    least_threshold_recall: float = Field(default=0.5, ge=0, le=1)
    """Share of tracklets whose own ends must match at that threshold; as many as at the parent's are enough."""
    golden_cosines: GoldenCosines = GoldenCosines()
    """Golden parity; the bound of the manifest holds too where it is higher."""
    precision_cosines: PrecisionCosines = PrecisionCosines()
    """Parity on held-out crops: people reach ranges that golden crops do not."""
    num_precision_crops: int = Field(default=64, ge=1)
    """Held-out crops on which graphs are compared."""
    num_range_crops: int = Field(default=8, ge=1)
    """Held-out crops on which the numbers inside the network are looked at; every layer's output is kept for them."""
    half_headroom: float = Field(default=4.0, ge=1)
    """How many times larger numbers a half must still hold: other pictures may reach higher than these. The networks
    measured never pass the 255 of their input, so this refuses only what is sick."""
    requires_precisions_of_parent: bool = True
    """Refuse a candidate without a graph that its parent has: edges that run it could not take the candidate."""
    num_colour_tracklets: int = Field(default=200, ge=3)
    """Tracklets that are also embedded with red and blue exchanged: if the candidate likes them better so, its channels
    are in the wrong order."""
    max_slowdown: float = Field(default=1.25, gt=0)
    """Processor time for a batch, in parts of the parent's, both measured in turn in one process."""
    num_timed_batches: int = Field(default=10, ge=1)
    """How often each is timed; the least counts, since other processes only ever add."""
    timed_batch_crops: int = Field(default=8, ge=1)
    """Crops in a timed batch, about the people in a busy frame."""
