from __future__ import annotations

import torch

from detzoo.heads.roi.double_head import DoublePoolingConfig, enlarged
from detzoo.ops.roi_align import roi_align


def test_enlarged() -> None:
    rois = torch.tensor([[1.0, 10, 20, 30, 60]])
    torch.testing.assert_close(enlarged(rois, 1.5), torch.tensor([[1.0, 5, 10, 35, 70]]))


def test_both_regions_come_from_the_level_of_the_smaller() -> None:
    """A region of 110 pixels is below the first limit of 112; enlarged, it is above."""
    features = torch.randn(1, 4, 40, 40), torch.randn(1, 4, 20, 20)
    pooling = DoublePoolingConfig(num_levels=2).build((4, 4), (4, 8))
    rois = torch.tensor([[0.0, 20, 20, 130, 130]])
    pooled = pooling(features, rois)
    assert pooled.shape[1] == pooling.out_channels == 8
    for found, seen in zip(pooled.chunk(2, 1), (rois, enlarged(rois, 1.3))):
        torch.testing.assert_close(found, roi_align(features[0], seen, 7, 4, 0, True))
