from __future__ import annotations

import math

import torch

from detzoo.coders.legacy import LegacyDeltaCoder

# From pixel 10 to 29 and 20 to 59: 20 wide and 40 high.
REFERENCE = torch.tensor([[10.0, 20.0, 29.0, 59.0]])
BOX = torch.tensor([[15.0, 40.0, 54.0, 49.0]])  # 40 wide, 10 high


def test_encode_counts_both_ends() -> None:
    wanted = torch.tensor([[15 / 20, 5 / 40, math.log(2), math.log(1 / 4)]])
    torch.testing.assert_close(LegacyDeltaCoder().encode(REFERENCE, BOX), wanted)


def test_decode_keeps_the_longer_side() -> None:
    coder = LegacyDeltaCoder(means=(0.1, 0.0, 0.0, 0.0), stds=(0.1, 0.1, 0.2, 0.2))
    decoded = coder.decode(REFERENCE, coder.encode(REFERENCE, BOX))
    torch.testing.assert_close(decoded, BOX + torch.tensor([-0.5, -0.5, 0.5, 0.5]))
    # The example of MMDetection's documentation.
    references = torch.tensor([[0.0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1], [5, 5, 5, 5]])
    deltas = torch.tensor([[0.0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 2, -1], [0.7, -1.9, -0.5, 0.3]])
    wanted = torch.tensor(
        [
            [0.0, 0.0, 1.5, 1.5],
            [0.0, 0.0, 5.2183, 5.2183],
            [0.0, 0.1321, 7.8891, 0.8679],
            [5.3967, 2.4251, 6.0033, 3.7749],
        ]
    )
    found = LegacyDeltaCoder().decode(references, deltas, (32, 32))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)


def test_boxes_end_at_the_last_pixel() -> None:
    box = LegacyDeltaCoder().decode(REFERENCE, torch.tensor([[0.0, 0, 5, 5]]), (60, 90))
    assert box.tolist() == [[0, 0, 89, 59]]
