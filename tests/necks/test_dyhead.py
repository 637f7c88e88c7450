from __future__ import annotations

import torch
import torch.nn.functional as F

from detzoo.necks.dyhead import DyHeadConfig, DynamicReLU, reread


def test_reread_takes_the_first_values() -> None:
    """As if a smaller map lay in the memory of each image's."""
    x = torch.arange(2 * 2 * 3 * 4).view(2, 2, 3, 4)
    found = reread(x, (2, 2))
    assert found.tolist() == [
        [[[0, 1], [2, 3]], [[4, 5], [6, 7]]],
        [[[24, 25], [26, 27]], [[28, 29], [30, 31]]],
    ]


def test_dynamic_relu() -> None:
    """With coefficients of one half, which become zero, it is an ordinary ReLU of x."""
    relu = DynamicReLU(8)
    torch.nn.init.zeros_(relu.conv2.conv.weight)
    x = torch.randn(2, 8, 3, 3)
    torch.testing.assert_close(relu(x), F.relu(x))


def test_every_level_looks_at_its_neighbors() -> None:
    torch.manual_seed(0)
    neck = DyHeadConfig(out_channels=16, num_blocks=1).build((16,) * 3, (8, 16, 32)).eval()
    assert neck.out_strides == (8, 16, 32)
    features = [torch.randn(1, 16, size, size) for size in (8, 4, 2)]
    before = neck(tuple(features))
    assert [x.shape for x in before] == [x.shape for x in features]
    features[0] = features[0] + 1
    changed = [not torch.equal(a, b) for a, b in zip(before, neck(tuple(features)))]
    assert changed == [True, True, False]
