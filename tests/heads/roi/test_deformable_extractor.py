from __future__ import annotations

import torch
from torchvision.ops import roi_align

from detzoo.heads.roi.deformable_extractor import DeformablePoolingConfig


def test_modulated_bins_are_weighted() -> None:
    config = DeformablePoolingConfig(output_size=2, num_levels=1, modulated=True)
    pooling = config.build((4,), (8,))
    feature = torch.rand(1, 4, 16, 16)
    rois = torch.tensor([[0.0, 8, 8, 72, 72], [0, 20, 30, 100, 90]])
    still = roi_align(feature, rois, 2, 1 / 8, aligned=True)
    # Fresh layers move nothing, and halve everything.
    torch.testing.assert_close(pooling([feature], rois), still / 2)
    (layer,) = pooling.roi_layers
    with torch.no_grad():
        layer.mask_fc[2].bias.copy_(torch.tensor([0.0, 1, 2, 3]))
    weights = torch.tensor([[0.0, 1], [2, 3]]).sigmoid()
    torch.testing.assert_close(pooling([feature], rois), still * weights)
    assert not any("mask_fc" in name for name in unmodulated_state())


def unmodulated_state() -> dict[str, torch.Tensor]:
    return DeformablePoolingConfig(output_size=2, num_levels=1).build((4,), (8,)).state_dict()
