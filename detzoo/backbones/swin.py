"""Swin Transformers (https://arxiv.org/abs/2103.14030)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from detzoo.backbones.base import Backbone, BackboneConfig
from detzoo.backbones.staged import check_stages
from detzoo.config import Channels, NonNegativeInt, PositiveFloat, PositiveInt, UnitFloat, config
from detzoo.errors import ConfigError
from detzoo.layers.checkpoint import run_stage
from detzoo.layers.module_list import ModuleList

PATCH_SIZE = 4
# Added to the attention logits of pairs of cells that the shift moved together from opposite
# borders.
MASKED = -100.0
# Names by channels and blocks.
PUBLISHED = {
    (96, (2, 2, 6, 2)): "tiny",
    (96, (2, 2, 18, 2)): "small",
    (128, (2, 2, 18, 2)): "base",
    (192, (2, 2, 18, 2)): "large",
}
# Image size that published weights were trained on, by window size.
TRAINED_ON = {7: 224, 12: 384}


@config
class SwinConfig(BackboneConfig):
    """Swin Transformer.

    Args:
        channels: Channels of the first stage, doubled in each further stage.
        blocks: Number of blocks in each stage; every second one shifts its windows.
        num_heads: Attention heads of each stage.
        window_size: Height and width, in cells, of the windows that attention is limited to.
        hidden_ratio: Ratio of feed-forward width to the channels of its stage.
        qkv_bias: Whether the projections to queries, keys and values have a bias.
        position_embedding: Size, in pixels, of the square images of absolute position embeddings,
            which are interpolated to other sizes. None: no absolute position embeddings.
        dropout: Dropout of the outputs of attention and feed-forward layers.
        attention_dropout: Dropout of attention weights.
        stochastic_depth: Probability of dropping the last block in training; it grows linearly from
            0 at the first.
        out_stages: Stages, counted from 0, whose feature maps are returned.
        frozen_stages: Number of stages kept fixed along with the patch embedding; 0 freezes the
            embedding alone, -1 nothing.
        checkpoint_activations: Recompute activations in the backward pass, to save memory.
    """

    channels: Channels = 96
    blocks: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (2, 2, 6, 2)
    num_heads: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (3, 6, 12, 24)
    window_size: PositiveInt = 7
    hidden_ratio: PositiveFloat = 4.0
    qkv_bias: bool = True
    position_embedding: PositiveInt | None = None
    dropout: UnitFloat = 0.0
    attention_dropout: UnitFloat = 0.0
    stochastic_depth: UnitFloat = 0.1
    out_stages: tuple[NonNegativeInt, ...] = (0, 1, 2, 3)
    frozen_stages: int = -1
    checkpoint_activations: bool = False

    def __post_init__(self) -> None:
        check_stages(self.out_stages, self.frozen_stages, 4)
        if self.stochastic_depth == 1:
            raise ConfigError(f"stochastic_depth: {self.stochastic_depth} is not less than 1")
        for stage, heads in enumerate(self.num_heads):
            width = self.channels * 2**stage
            if width % heads:
                raise ConfigError(
                    f"num_heads: {heads} heads of stage {stage} do not divide its {width} channels"
                )

    @property
    def architecture(self) -> str:
        size = PUBLISHED.get((self.channels, self.blocks))
        trained_on = TRAINED_ON.get(self.window_size)
        if size is None or trained_on is None:
            return "swin"
        return f"swin_{size}_patch{PATCH_SIZE}_window{self.window_size}_{trained_on}"

    def build(self) -> Swin:
        return Swin(self)

    def from_scratch(self) -> SwinConfig:
        return dataclasses.replace(self, pretrained=None, frozen_stages=-1)


class Swin(Backbone):
    """``patch_embed``, then ``stages.i``; a norm ``norm{i}`` follows each stage that is returned.

    Within, maps are channels-last: (B, H, W, C).
    """

    def __init__(self, config: SwinConfig) -> None:
        super().__init__()
        self.config = config
        total = sum(config.blocks)
        rates = [config.stochastic_depth * block / max(total - 1, 1) for block in range(total)]
        widths = [config.channels * 2**stage for stage in range(4)]
        self.patch_embed = PatchEmbedding(widths[0])
        if config.position_embedding is None:
            self.absolute_pos_embed = None
        else:
            cells = config.position_embedding // PATCH_SIZE
            self.absolute_pos_embed = nn.Parameter(torch.zeros(1, widths[0], cells, cells))
        self.dropout = nn.Dropout(config.dropout)
        self.stages = ModuleList[SwinStage]()
        for stage, (width, num_blocks) in enumerate(zip(widths, config.blocks)):
            first = sum(config.blocks[:stage])
            self.stages.append(
                SwinStage(
                    [
                        SwinBlock(
                            width,
                            num_heads=config.num_heads[stage],
                            shift=config.window_size // 2 if block % 2 else 0,
                            drop_rate=rates[first + block],
                            config=config,
                        )
                        for block in range(num_blocks)
                    ],
                    PatchMerging(width) if stage < 3 else None,
                )
            )
        for stage in config.out_stages:
            self.add_module(f"norm{stage}", nn.LayerNorm(widths[stage]))
        self.out_channels = tuple(widths[stage] for stage in config.out_stages)
        self.out_strides = tuple(PATCH_SIZE * 2**stage for stage in config.out_stages)
        _initialize(self)
        self._freeze()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.patch_embed(x)
        if self.absolute_pos_embed is not None:
            embedding = F.interpolate(self.absolute_pos_embed, x.shape[1:3], mode="bicubic")
            x = x + embedding.permute(0, 2, 3, 1)
        x = self.dropout(x)
        outputs = []
        last = max(self.config.out_stages)
        for index in range(last + 1):
            stage = self.stages[index]
            x = run_stage(stage.blocks, x, self.config.checkpoint_activations)
            if index in self.config.out_stages:
                outputs.append(self._norm(index)(x).permute(0, 3, 1, 2))
            if index < last:
                assert stage.downsample is not None
                x = stage.downsample(x)
        return tuple(outputs)

    def frozen_modules(self) -> list[nn.Module]:
        if self.config.frozen_stages < 0:
            return []
        frozen = range(self.config.frozen_stages)
        norms = [self._norm(stage) for stage in frozen if stage in self.config.out_stages]
        return [self.patch_embed, self.dropout, *(self.stages[stage] for stage in frozen), *norms]

    def fit_weights(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Interpolates position biases and embeddings of other window and image sizes."""
        fitted = dict(weights)
        for name, own in self.state_dict().items():
            given = fitted.get(name)
            if given is None or given.shape == own.shape:
                continue
            if name.endswith(".relative_position_index"):
                fitted[name] = own
            elif name.endswith(".relative_position_bias_table"):
                fitted[name] = _resized_table(given, own)
            elif name == "absolute_pos_embed" and given.ndim == 4:
                fitted[name] = F.interpolate(given, own.shape[2:], mode="bicubic")
        return fitted

    def _norm(self, stage: int) -> nn.Module:
        return self.get_submodule(f"norm{stage}")

    def _freeze(self) -> None:
        """Also freezes modules after the last output, which are unused but in checkpoints."""
        last = max(self.config.out_stages)
        unused = [self.stages[last].downsample, *list(self.stages)[last + 1 :]]
        for module in [*self.frozen_modules(), *unused]:
            if module is not None:
                module.requires_grad_(False)
        if self.config.frozen_stages >= 0 and self.absolute_pos_embed is not None:
            self.absolute_pos_embed.requires_grad_(False)


class PatchEmbedding(nn.Module):
    """Turns patches of the image, which is padded to a multiple of their size, into cells."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(3, channels, PATCH_SIZE, PATCH_SIZE)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, ceil(H / 4), ceil(W / 4), C)."""
        height, width = x.shape[2:]
        x = F.pad(x, (0, -width % PATCH_SIZE, 0, -height % PATCH_SIZE))
        return self.norm(self.projection(x).permute(0, 2, 3, 1))


class SwinStage(nn.Module):
    """Children ``blocks`` and ``downsample``, which the next stage starts with."""

    def __init__(self, blocks: list[nn.Module], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.downsample = downsample


class PatchMerging(nn.Module):
    """Halves a map's height and width, rounded up, and doubles its channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * channels)
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H / 2, W / 2, 2C)."""
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        x = F.pixel_unshuffle(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
        return self.reduction(self.norm(x))


class SwinBlock(nn.Module):
    """A pre-norm transformer block: attention and a feed-forward layer, each with a shortcut."""

    def __init__(
        self, channels: int, *, num_heads: int, shift: int, drop_rate: float, config: SwinConfig
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attn = ShiftedWindows(WindowAttention(channels, num_heads, config), shift)
        self.norm2 = nn.LayerNorm(channels)
        self.ffn = FeedForward(channels, int(config.hidden_ratio * channels), config.dropout)
        self.drop = StochasticDepth(drop_rate, "row")

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C)."""
        x = x + self.drop(self.attn(self.norm1(x)))
        return x + self.drop(self.ffn(self.norm2(x)))


class ShiftedWindows(nn.Module):
    """Applies ``w_msa`` to the windows of a map, which are shifted by ``shift`` cells.

    The shift is cyclic. Cells that it moves together from opposite borders do not attend to each
    other.
    """

    def __init__(self, w_msa: WindowAttention, shift: int) -> None:
        super().__init__()
        self.w_msa = w_msa
        self.shift = shift

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C)."""
        size, shift = self.w_msa.window_size, self.shift
        height, width = x.shape[1:3]
        x = F.pad(x, (0, 0, 0, -width % size, 0, -height % size))
        if shift:
            mask = _visible(x.shape[1], x.shape[2], size, shift, x)
            x = torch.roll(x, (-shift, -shift), (1, 2))
            x = torch.roll(self._attend(x, mask), (shift, shift), (1, 2))
        else:
            x = self._attend(x, None)
        return x[:, :height, :width]

    def _attend(self, x: Tensor, mask: Tensor | None) -> Tensor:
        grid = (x.shape[1] // self.w_msa.window_size, x.shape[2] // self.w_msa.window_size)
        return _from_windows(self.w_msa(_to_windows(x, self.w_msa.window_size), mask), grid)


class WindowAttention(nn.Module):
    """Attention within windows, with a learned bias for each offset between two cells."""

    relative_position_index: Tensor

    def __init__(self, channels: int, num_heads: int, config: SwinConfig) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.window_size = config.window_size
        num_offsets = (2 * config.window_size - 1) ** 2
        self.relative_position_bias_table = nn.Parameter(torch.zeros(num_offsets, num_heads))
        self.register_buffer("relative_position_index", _offsets(config.window_size))
        self.qkv = nn.Linear(channels, 3 * channels, bias=config.qkv_bias)
        self.proj = nn.Linear(channels, channels)
        self.attention_dropout = nn.Dropout(config.attention_dropout)  # inside the fused kernel
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, windows: Tensor, mask: Tensor | None) -> Tensor:
        """(B, V, N, C) -> (B, V, N, C) for V windows of N cells; ``mask`` (V, N, N) is added."""
        batch, num_windows = windows.shape[:2]
        qkv = self.qkv(windows.flatten(0, 1)).unflatten(2, (3, self.num_heads, -1))
        queries, keys, values = qkv.permute(2, 0, 3, 1, 4)  # (B * V, heads, N, D) each
        # (N, N, heads) -> (1, heads, N, N), or (V, heads, N, N) with a mask.
        bias = self.relative_position_bias_table[self.relative_position_index]
        bias = bias.permute(2, 0, 1)[None]
        if mask is not None:
            bias = (bias + mask[:, None]).repeat(batch, 1, 1, 1)
        dropout = self.attention_dropout.p if self.training else 0.0
        x = F.scaled_dot_product_attention(queries, keys, values, bias, dropout)
        x = self.dropout(self.proj(x.transpose(1, 2).flatten(2)))
        return x.unflatten(0, (batch, num_windows))


class FeedForward(nn.Module):
    """Children ``layers.0.0`` and ``layers.1``: two linear layers."""

    def __init__(self, channels: int, hidden: int, dropout: float) -> None:
        super().__init__()
        first = nn.Sequential(nn.Linear(channels, hidden), nn.GELU(), nn.Dropout(dropout))
        self.layers = nn.Sequential(first, nn.Linear(hidden, channels), nn.Dropout(dropout))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def _to_windows(x: Tensor, size: int) -> Tensor:
    """(B, H, W, C) -> (B, V, N, C): V windows of N = size * size cells."""
    x = x.unflatten(2, (-1, size)).unflatten(1, (-1, size))
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def _from_windows(windows: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, V, N, C) -> (B, H, W, C) for windows in a ``grid`` of rows and columns."""
    size = round(windows.shape[2] ** 0.5)
    x = windows.unflatten(2, (size, size)).unflatten(1, grid)
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def _visible(height: int, width: int, size: int, shift: int, like: Tensor) -> Tensor:
    """The attention mask (V, N, N): 0 where a cell of a shifted window attends to another,
    ``MASKED`` elsewhere.

    After the shift, the last ``shift`` rows are those from the top, and share a window with the
    rows before them; likewise for columns.
    """
    rows, columns = (
        (cells >= length - size).int() + (cells >= length - shift).int()
        for length in (height, width)
        for cells in [torch.arange(length, device=like.device)]
    )
    regions = 3 * rows[:, None] + columns
    regions = _to_windows(regions[None, :, :, None], size)[0, :, :, 0]  # (V, N)
    differs = regions[:, :, None] != regions[:, None]
    return differs.to(like.dtype) * MASKED


def _offsets(size: int) -> Tensor:
    """The row of the bias table (N, N) for the offset between two cells of a window."""
    cells = torch.arange(size)
    offset = cells[:, None] - cells + size - 1  # (size, size), from 0
    rows, columns = offset[:, None, :, None], offset[None, :, None, :]
    return (rows * (2 * size - 1) + columns).flatten(2).flatten(0, 1)


def _resized_table(table: Tensor, own: Tensor) -> Tensor:
    """Interpolates a bias table (offsets, heads) to the number of offsets of ``own``."""
    sides = [round(number**0.5) for number in (len(table), len(own))]
    if sides[0] ** 2 != len(table):
        return table  # not of a square window: its shape is reported later
    square = table.T.unflatten(1, (sides[0], sides[0]))[None]
    resized = F.interpolate(square.float(), (sides[1], sides[1]), mode="bicubic")
    return resized[0].flatten(1).T.to(table)


def _initialize(backbone: Swin) -> None:
    for module in backbone.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, WindowAttention):
            nn.init.trunc_normal_(module.relative_position_bias_table, std=0.02)
    if backbone.absolute_pos_embed is not None:
        nn.init.trunc_normal_(backbone.absolute_pos_embed, std=0.02)
