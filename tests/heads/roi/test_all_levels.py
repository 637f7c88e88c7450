from __future__ import annotations

import torch
from torchvision.ops import roi_align

from detzoo.heads.roi.all_levels import AllLevelsPooling, AllLevelsPoolingConfig
from tests.heads.roi.test_standard import features

CHANNELS, STRIDES = (24, 24, 24), (4, 8, 16)


def build() -> AllLevelsPooling:
    torch.manual_seed(0)
    pooling = AllLevelsPoolingConfig(output_size=4, num_levels=2).build(CHANNELS, STRIDES)
    torch.nn.init.ones_(pooling.post_module.gamma)
    return pooling


def maps() -> list[torch.Tensor]:
    return [level.repeat(1, 6, 1, 1) for level in features(2)]


def test_every_region_sees_the_first_levels() -> None:
    pooling = build()
    rois = torch.tensor([[0.0, 4, 4, 24, 24], [1, 0, 0, 60, 60]])
    total = torch.zeros(2, 24, 4, 4)
    for level, stride in zip(maps(), STRIDES):
        for number, roi in enumerate(rois):
            cut = roi_align(level, roi[None], (4, 4), 1 / stride, 2, aligned=True)
            total[number] += pooling.pre_module(cut)[0]
    torch.testing.assert_close(pooling(maps(), rois), pooling.post_module(total))
    assert pooling.out_channels == 24


def test_no_regions() -> None:
    pooling = build()
    out = pooling(maps(), torch.zeros(0, 5))
    assert out.shape == (0, 24, 4, 4)
    out.sum().backward()
    for parameter in pooling.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


def test_a_plain_sum() -> None:
    """V2's extractor without modules before and after."""
    settings = {"output_size": 4, "num_levels": 2, "convolves": False, "attends": False}
    pooling = AllLevelsPoolingConfig(**settings).build(CHANNELS, STRIDES)  # type: ignore[arg-type]
    assert not list(pooling.parameters())
    rois = torch.tensor([[0.0, 4, 4, 24, 24]])
    levels = zip(maps()[:2], STRIDES)
    cuts = [roi_align(level, rois, (4, 4), 1 / stride, 2, aligned=True) for level, stride in levels]
    torch.testing.assert_close(pooling(maps(), rois), sum(cuts))
