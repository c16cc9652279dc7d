"""When the network is adapted, with what, and within which limits."""

from __future__ import annotations

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from reid.settings import Settings
from server.adaptation.command import check_command, has_place
from server.adaptation.hours import DaySpan, read_spans
from server.adaptation.source import SourceSettings

DEFAULT_COMMAND = (
    "{python} -m train adapt --data snapshot --data-root {snapshot} --init {init} --method {method} "
    "--epochs {epochs} --version {version} --out {out} --cache {out}/cache {source} {resume}"
)


class DriftSettings(Settings):
    """When matching is no longer what it was after the release came."""

    similarity_shift: float = Field(default=0.2, ge=0, le=1)
    """Largest difference of the shares below any similarity, then and now, in one camera; 0 switches it off."""
    border_rise: float = Field(default=0.1, ge=0, le=1)
    """The share of a camera's tracklets near the match threshold may rise by so much; 0 switches it off."""
    border: float = Field(default=0.05, gt=0, lt=1)
    """So near: a cosine this far above or below the threshold."""
    least_tracklets: int = Field(default=200, ge=10)
    """Tracklets of one camera, then and now, below which nothing is said of it."""
    window_h: float = Field(default=24.0, gt=0)
    """What was seen within this time is compared."""
    max_persons: int = Field(default=2000, ge=10)
    """Persons of the window looked at; of more, some are drawn."""


class TriggerSettings(Settings):
    """What sets a run off. An operator may at any time, whatever these say."""

    automatic: bool = False
    """Runs begin by themselves, for the reasons below. Off: only an operator begins one."""
    new_tracklets: int = Field(default=2000, ge=0)
    """So many tracklets came since the last run began; 0 for never."""
    every_days: float = Field(default=7.0, ge=0)
    """So long since the last run began; 0 for never."""
    drift: DriftSettings = DriftSettings()
    """Matching changed."""
    least_days_between: float = Field(default=1.0, ge=0)
    """No run begins by itself sooner after the last one began."""
    quiet_hours: str = ""
    """No run begins by itself within these, such as `07:00-12:30, 22:00-06:00`."""
    pause_in_quiet_hours: bool = False
    """A training under way is interrupted there, and goes on afterwards from its last finished epoch."""
    time_zone: str = "UTC"
    """Of the quiet hours, such as Europe/Berlin."""
    check_s: float = Field(default=300.0, gt=0)
    """How often to look whether one of these holds."""

    @property
    def spans(self) -> tuple[DaySpan, ...]:
        """The quiet hours."""
        return read_spans(self.quiet_hours)

    @property
    def zone(self) -> ZoneInfo:
        """Of the quiet hours."""
        return ZoneInfo(self.time_zone)

    @field_validator("quiet_hours")
    @classmethod
    def _check_hours(cls, text: str) -> str:
        read_spans(text)
        return text

    @field_validator("time_zone")
    @classmethod
    def _check_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("wanted a time zone such as UTC or Europe/Berlin") from None
        return name


class JobSettings(Settings):
    """Limits of the processes that a run starts: training, gate and embedding."""

    nice: int = Field(default=10, ge=0, le=19)
    """Added to the priority number: higher leaves more to others."""
    memory_mib: int = Field(default=0, ge=0)
    """Address space of one process; torch takes several GiB of it before it begins. 0 for no limit."""
    cpus: int = Field(default=0, ge=0)
    """Processors that they may use; 0 for all."""
    limit_h: float = Field(default=24.0, gt=0)
    """One that runs longer is ended, and the run fails."""
    grace_s: float = Field(default=30.0, gt=0)
    """What it has to end by itself before it is killed."""
    poll_s: float = Field(default=1.0, gt=0)
    """How often it is looked at."""


class AdaptationSettings(Settings):
    """The whole of a run."""

    triggers: TriggerSettings = TriggerSettings()
    """When one begins."""
    least_crops: int = Field(default=200, ge=2)
    """With fewer a run fails, and says so."""
    window_days: float = Field(default=7.0, gt=0)
    """Only tracklets seen within this time; edges keep crops for so long at most."""
    collect_h: float = Field(default=6.0, gt=0)
    """How long to wait for edges that are not connected; then what came is used."""
    command: str = DEFAULT_COMMAND
    """Makes a release of a snapshot: words as a shell reads them, with {python}, {snapshot}, {init}, {out}, {version},
    {epochs}, {method}, {source} and {resume} filled in. No shell runs it."""
    method: str = "refresh"
    """Recipe of `osprey-train adapt`, where there is no source."""
    source: SourceSettings = SourceSettings()
    """A labelled data set to learn from as well."""
    epochs: int = Field(default=8, ge=1)
    """Epochs of the training."""
    job: JobSettings = JobSettings()
    """Limits of processes."""
    roll_out: bool = True
    """Edges get what the gate accepts at once; else an operator brings it with `osprey-server rollout start`."""
    keep_snapshots: bool = False
    """Crops and checkpoints of ended runs stay in the data folder."""

    @field_validator("command")
    @classmethod
    def _check_command(cls, command: str) -> str:
        check_command(command)
        return command

    @model_validator(mode="after")
    def _check_source_is_passed_on(self) -> AdaptationSettings:
        if self.source.is_given and not has_place(self.command, "source"):
            raise ValueError("command lacks {source}, so that the training would know nothing of the source")
        return self

    @property
    def recipe(self) -> str:
        """What trains: the source's method if there is one."""
        return self.source.method if self.source.is_given else self.method
