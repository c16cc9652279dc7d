"""Errors of training.

OspreyError
├── CheckpointError     weights that cannot be read, or do not fit the architecture
├── DatasetError        a data set that is empty, incomplete or damaged
├── QuantisationError   a graph in fewer bits that cannot be made, or that finds people worse than it may
├── StyleError          crops in the style of other cameras that are missing, damaged, or of another site
└── TrainingError       a run that cannot go on (loss not finite, nothing to train on)
"""

from reid.errors import OspreyError


class CheckpointError(OspreyError):
    """A checkpoint is unreadable, or its keys or shapes do not fit the architecture asked for."""


class DatasetError(OspreyError):
    """A data set is empty, incomplete or damaged; the first offending file is named."""


class QuantisationError(OspreyError):
    """A graph in fewer bits cannot be made, or falls behind the one in fp32 by more than is allowed."""


class StyleError(OspreyError):
    """Crops in the style of other cameras are missing, damaged, or were made of other crops."""


class TrainingError(OspreyError):
    """A training run cannot go on; the last good checkpoint is kept."""
