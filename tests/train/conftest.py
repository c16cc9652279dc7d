"""Tests of training share cores with everything else: one thread each, so that none waits for another."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
