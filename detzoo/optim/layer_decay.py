"""Layer-wise learning rate decay from the output of a backbone to its input."""

from __future__ import annotations

import re
from typing import Literal

from torch import Tensor, nn

from detzoo.backbones.convnext import ConvNeXt
from detzoo.config import PositiveInt, PositiveUnitFloat, config
from detzoo.errors import ConfigError

_PART = re.compile(r"^backbone\.(downsample_layers|stages)\.(\d)\.(\d+)\.")


@config
class LayerDecay:
    """Multiplies the learning rate of ConvNeXt by ``rate`` once per layer below the heads, without
    weight decay of biases and other vectors, as in the paper (https://arxiv.org/abs/2201.03545).

    Args:
        rate: Factor of the learning rate from each layer to the previous one.
        by: Unit of a layer: three blocks of the third stage or one of the other stages ("layer"),
            or each stage ("stage").
        num_layers: Number of layers of the backbone: 6 of ConvNeXt-T and 12 of the larger ones.
    """

    rate: PositiveUnitFloat
    by: Literal["layer", "stage"] = "layer"
    num_layers: PositiveInt = 6

    def require(self, model: nn.Module) -> None:
        """Raises :class:`ConfigError` if the layers of ``model`` are unknown."""
        backbone = getattr(model, "backbone", None)
        if not isinstance(backbone, ConvNeXt):
            raise ConfigError(
                "optimizer.layer_decay: only supports ConvNeXt; the backbone is "
                f"{type(backbone).__name__}. Turn it off: --set optimizer.layer_decay=null"
            )

    def lr_scale(self, name: str) -> float:
        """Factor of the learning rate of the parameter with this full name."""
        return self.rate ** (self.num_layers + 1 - self._layer(name))

    def decays(self, name: str, parameter: Tensor) -> bool:
        """Whether the parameter has weight decay."""
        return parameter.ndim > 1 and not name.endswith(".bias")

    def _layer(self, name: str) -> int:
        """The layer of a parameter: 0 for the stem, and the highest for everything after the
        backbone.
        """
        part = _PART.match(name)
        if part is None:
            return self.num_layers + 1
        downsamples, stage, block = part[1] == "downsample_layers", int(part[2]), int(part[3])
        if self.by == "stage":
            return 0 if downsamples else stage + 1
        if downsamples:
            return (0, 2, 3, self.num_layers)[stage]
        return (1, 2, 3 + block // 3, self.num_layers)[stage]
