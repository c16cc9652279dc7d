"""The running mean of a network's weights over training steps, which is often better than the last of them."""

from __future__ import annotations

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from train.network import Network


class WeightMean:
    """Exponential running mean of weights and of the running figures of norms.

    Args:
        network: Its current weights are the first mean.
        decay: Share of the mean that stays at each step, in (0, 1).
    """

    def __init__(self, network: Network, decay: float) -> None:
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        self._model = AveragedModel(network, multi_avg_fn=average, use_buffers=True)

    @property
    def network(self) -> Network:
        """A network with the mean weights."""
        network: nn.Module = self._model.module
        assert isinstance(network, Network)
        return network

    def update(self, network: Network) -> None:
        """Take in the weights of one more step."""
        self._model.update_parameters(network)

    def state(self) -> dict[str, object]:
        """Everything to go on from, as tensors by name."""
        return dict(self._model.state_dict())

    def restore(self, state: dict[str, object]) -> None:
        """Go on from what `state` gave.

        Raises:
            RuntimeError: It belongs to another network.
        """
        self._model.load_state_dict(state)
