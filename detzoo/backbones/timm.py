"""Any timm model that extracts features (https://github.com/huggingface/pytorch-image-models).

timm is optional (``pip install timm``) and imported only when such a backbone is built.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from detzoo.backbones.base import Backbone, BackboneConfig
from detzoo.config import NonNegativeInt, config
from detzoo.errors import CheckpointError, ConfigError
from detzoo.structures.pixels import Pixels
from detzoo.weights.files import reason
from detzoo.weights.places import SUFFIXES, weight_directories

# Prefix of timm's weights: ``timm://resnet50.a1_in1k``.
SCHEME = "timm://"
# Finer maps are not returned by default.
FINEST_STRIDE = 4
# Arguments with which a model accepts images of any size; most models need none.
_ANY_SIZE: tuple[dict[str, bool], ...] = (
    {},
    {"strict_img_size": False},
    {"dynamic_img_size": True},
)
_PROBE = (1, 3, 128, 192)


@config
class TimmConfig(BackboneConfig):
    """A timm model. ``pretrained`` "timm://{architecture}" loads the weights of that name, and
    normalizes pixels as timm specifies for them.

    Args:
        model: Name of the model in timm.
        out_stages: Indices of the maps to return; None: all maps from stride 4 on.
        fixed_statistics: Keep batch norms in evaluation mode during training.
    """

    model: str = "resnet50"
    out_stages: tuple[NonNegativeInt, ...] | None = None
    fixed_statistics: bool = True

    @property
    def architecture(self) -> str:
        return self.model

    def build(self) -> TimmBackbone:
        return TimmBackbone(self)

    def from_scratch(self) -> TimmConfig:
        return dataclasses.replace(self, pretrained=None, fixed_statistics=False)


class TimmBackbone(Backbone):
    """Child ``body``, the model of timm."""

    body: Any

    def __init__(self, config: TimmConfig) -> None:
        super().__init__()
        self.config = config
        self.body, maps = _build(config)
        info = self.body.feature_info
        channels, strides = info.channels(), info.reduction()
        self.chosen = tuple(
            i
            for i, stride in enumerate(strides)
            if config.out_stages is not None or stride >= FINEST_STRIDE
        )
        self.out_channels = tuple(channels[i] for i in self.chosen)
        self.out_strides = tuple(strides[i] for i in self.chosen)
        # Some models return channels-last maps.
        self.channels_last = tuple(
            map_.shape[1] != width and map_.shape[3] == width for map_, width in zip(maps, channels)
        )

    def own_weights(self, name: str) -> Mapping[str, Tensor] | None:
        return timm_weights(name, self) if name.startswith(SCHEME) else None

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        maps = self.body(x)
        return tuple(
            maps[i].permute(0, 3, 1, 2) if self.channels_last[i] else maps[i] for i in self.chosen
        )

    def frozen_modules(self) -> list[nn.Module]:
        norms = nn.modules.batchnorm._BatchNorm
        return [m for m in self.modules() if isinstance(m, norms) and self.config.fixed_statistics]


def _build(config: TimmConfig) -> tuple[Any, list[Tensor]]:
    """Builds the timm model, and runs it on an image of an unusual size."""
    timm = _timm()
    if not timm.is_model(config.model.split(".")[0]):
        near = timm.list_models(f"*{config.model.split('.')[0][:6]}*")[:5]
        hint = f"; similar names: {', '.join(near)}" if near else ""
        raise ConfigError(f"model.backbone.model: timm has no model {config.model!r}{hint}")
    options: dict[str, Any] = {"features_only": True}
    if config.out_stages is not None:
        options["out_indices"] = config.out_stages
    failure: Exception | None = None
    for any_size in _ANY_SIZE:
        # timm models accept different arguments, and raise errors of many types.
        try:
            body = timm.create_model(config.model, **options, **any_size)
            with torch.no_grad():
                maps = body.eval()(torch.zeros(_PROBE))
            return body.train(), maps
        except Exception as error:
            failure = failure or error
    raise ConfigError(
        f"model.backbone.model: {config.model!r} cannot extract features from images of any size "
        f"({type(failure).__name__}: {str(failure)[:150]}). Choose another timm model."
    )


def timm_pixels(name: str) -> Pixels:
    """The pixel normalization that timm specifies for the weights called ``timm://...``."""
    declared = _declared(name)
    # Rounded to the usual decimals: 123.675 instead of 123.67499999999998.
    mean, std = ([round(255 * v, 6) for v in values] for values in (declared.mean, declared.std))
    return Pixels(mean=(mean[0], mean[1], mean[2]), std=(std[0], std[1], std[2]))


def timm_weights(name: str, backbone: TimmBackbone) -> Mapping[str, Tensor]:
    """The weights called ``timm://...``, under the parameter names of ``backbone``.

    They are loaded from a file of that name in one of the weight folders, otherwise by timm. Raises
    :class:`CheckpointError`.
    """
    timm = _timm()
    model = name.removeprefix(SCHEME)
    overlay = {}
    file = _local_file(model)
    if file is not None:
        overlay = {"file": str(file)}
    stages = backbone.body.feature_info.out_indices
    # Each of timm's sources raises its own errors.
    try:
        made = timm.create_model(
            model,
            pretrained=True,
            features_only=True,
            out_indices=stages,
            pretrained_cfg_overlay=overlay,
        )
    except Exception as error:
        raise CheckpointError(
            f"{name}: timm cannot load these weights ({type(error).__name__}: {str(error)[:150]}). "
            f"Put {model}.safetensors or {model}.pth into a folder of DETZOO_WEIGHTS, or train "
            "without pretrained weights: --from-scratch."
        ) from error
    return {f"body.{name}": value for name, value in made.state_dict().items()}


def timm_place(name: str) -> str:
    """Describes where timm loads the weights called ``timm://...`` from."""
    declared = _declared(name)
    return f"hf://{declared.hf_hub_id}" if declared.hf_hub_id else str(declared.url or "nowhere")


def get_timm_weights(name: str) -> None:
    """Loads the weights called ``timm://...`` with timm, so that they are in its cache.

    Raises :class:`CheckpointError` if this fails.
    """
    _declared(name)
    model = name.removeprefix(SCHEME)
    try:
        _timm().create_model(model, pretrained=True)
    except Exception as error:
        raise CheckpointError(
            f"{name}: timm cannot load these weights ({reason(error)})."
        ) from error


def _declared(name: str) -> Any:
    """timm's metadata of the weights called ``timm://...``."""
    declared = _timm().get_pretrained_cfg(name.removeprefix(SCHEME), allow_unregistered=True)
    if declared is None:
        raise ConfigError(f"model.backbone.pretrained: timm has no weights called {name!r}")
    return declared


def _local_file(model: str) -> Path | None:
    paths = (place / f"{model}{suffix}" for place in weight_directories() for suffix in SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


def _timm() -> Any:
    if importlib.util.find_spec("timm") is None:
        raise ConfigError("model.backbone: requires the package timm: pip install timm")
    import timm

    return timm
