"""MaskFormer: queries that predict masks (https://arxiv.org/abs/2107.06278)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from detzoo.assigners.hungarian import ProbabilityCost
from detzoo.assigners.mask_hungarian import MaskHungarianAssigner
from detzoo.config import NonNegativeInt, config
from detzoo.heads.query.detr import Decoder, TransformerConfig
from detzoo.heads.query.mask_base import MaskQueryHead, MaskQueryHeadConfig
from detzoo.heads.query.mask_set_loss import MaskQueryPredictions, MaskSetLoss
from detzoo.heads.query.pixel_decoder import PixelDecoder, TransformerPixelDecoder
from detzoo.layers.norm import GroupNormConfig, NormConfig
from detzoo.layers.positional_encoding import ValidCells
from detzoo.losses.classification import SoftmaxCrossEntropy
from detzoo.losses.masks import MaskDiceLoss, MaskFocalLoss
from detzoo.postprocess.query_panoptic import QueryFusion
from detzoo.structures import ImageBatch


@config
class MaskFormerHeadConfig(MaskQueryHeadConfig):
    """MaskFormer: DETR's transformer on the last map, and masks on the finest.

    Args:
        transformer: The transformer. Without encoder layers, queries attend to the last map as it
            is.
        norm: Norm after each convolution.
    """

    transformer: TransformerConfig = TransformerConfig()
    norm: NormConfig = GroupNormConfig(groups=32)
    loss: MaskSetLoss = MaskSetLoss(
        assigner=MaskHungarianAssigner(
            class_cost=ProbabilityCost(),
            mask_cost=MaskFocalLoss(weight=20.0),
            dice_cost=MaskDiceLoss(),
        ),
        classification_loss=SoftmaxCrossEntropy(),
        mask_loss=MaskFocalLoss(weight=20.0),
        dice_loss=MaskDiceLoss(),
        points=None,
    )
    max_detections: NonNegativeInt = 0
    fusion: QueryFusion | None = QueryFusion(inside_only=False)

    def build(self, in_channels: Sequence[int], num_things: int, num_stuff: int) -> MaskFormerHead:
        return MaskFormerHead(self, in_channels, num_things, num_stuff)


class MaskFormerHead(MaskQueryHead):
    """Children ``pixel_decoder``, ``transformer_decoder`` and, without an encoder,
    ``decoder_input_proj``."""

    config: MaskFormerHeadConfig

    def __init__(
        self,
        config: MaskFormerHeadConfig,
        in_channels: Sequence[int],
        num_things: int,
        num_stuff: int,
    ) -> None:
        channels = config.transformer.channels
        super().__init__(config, channels, num_things, num_stuff)
        self.pixel_decoder: PixelDecoder
        self.decoder_input_proj: nn.Module
        if config.transformer.encoder_layers:
            self.pixel_decoder = TransformerPixelDecoder(
                config.transformer, in_channels, config.norm
            )
            self.decoder_input_proj = nn.Identity()
        else:
            self.pixel_decoder = PixelDecoder(in_channels, channels, config.norm)
            projection = nn.Conv2d(in_channels[-1], channels, 1)
            nn.init.kaiming_uniform_(projection.weight, a=1)
            assert projection.bias is not None
            nn.init.zeros_(projection.bias)
            self.decoder_input_proj = projection
        self.transformer_decoder = Decoder(config.transformer)
        for parameter in self.transformer_decoder.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, features: Sequence[Tensor], images: ImageBatch) -> MaskQueryPredictions:
        last = features[-1]
        size = (images.pixels.shape[2], images.pixels.shape[3])
        valid = ValidCells.of(images.infos, size, (last.shape[2], last.shape[3]), last.device)
        positions = self.config.positions(valid, self.config.transformer.channels).to(last.dtype)
        key_mask = None if valid.complete else valid.mask()
        mask_features, memory = self.pixel_decoder(features, positions, key_mask)
        memory = self.decoder_input_proj(memory).flatten(2).transpose(1, 2)
        queries = self.query_embed.weight.expand(len(memory), -1, -1)
        x = self.transformer_decoder(queries, memory, memory + positions, key_mask)
        logits, masks = self.predict(x, mask_features)
        return MaskQueryPredictions(logits, masks.unbind(), size)
