from __future__ import annotations

import pytest
import torch

from detzoo.coders.buckets import BucketCoder
from detzoo.config import ConfigError
from detzoo.losses.boxes import SmoothL1Loss
from detzoo.losses.buckets import bucket_losses

# Eight buckets of ten pixels over the doubled reference: it reaches from -20 to 60.
CODER = BucketCoder(num_buckets=8, scale=2.0)
REFERENCE = torch.tensor([0.0, 0.0, 40.0, 40.0])


def test_code_of_a_box() -> None:
    # Centers of the left buckets are -15, -5, 5, 15; of the right ones 55, 45, 35, 25.
    code = CODER.encode(REFERENCE, torch.tensor([-7.0, 4.0, 33.0, 56.0]))
    assert code.shape == (CODER.code_size,) == (32,)
    labels, offsets = CODER.split(code)
    assert labels.argmax(1).tolist() == [1, 2, 2, 0]
    assert labels.sum(1).tolist() == [1.0] * 4
    torch.testing.assert_close(offsets[0], torch.tensor([-0.8, 0.2, 1.2, 2.2]))
    torch.testing.assert_close(offsets[1], torch.tensor([2.2, 1.2, 0.2, -0.8]))
    torch.testing.assert_close(offsets[3], torch.tensor([-0.1, -1.1, -2.1, -3.1]))


def test_what_counts_of_a_code() -> None:
    weights = CODER.weights(REFERENCE, torch.tensor([-7.0, 4.0, 33.0, 56.0]))
    labels, offsets = CODER.split(weights)
    # Of the left side the first bucket is nearly right; of the bottom none but the nearest is near.
    assert labels[0].tolist() == [0, 1, 1, 1]
    assert labels[3].tolist() == [1, 1, 1, 1]
    assert offsets[0].tolist() == [1, 1, 0, 0]
    assert offsets[3].tolist() == [1, 0, 0, 0]


def test_decoding_is_the_way_back() -> None:
    generator = torch.Generator().manual_seed(0)
    low = 50 * torch.rand((20, 2), generator=generator)
    references = torch.cat([low, low + 10 + 30 * torch.rand((20, 2), generator=generator)], 1)
    boxes = references + 4 * torch.rand((20, 4), generator=generator) - 2
    for coder in (CODER, BucketCoder(num_buckets=7, scale=1.5)):
        code = coder.encode(references, boxes)
        torch.testing.assert_close(coder.decode(references, code), boxes)


def test_boxes_are_cut_at_the_last_pixels() -> None:
    code = CODER.encode(REFERENCE, torch.tensor([-7.0, 4.0, 33.0, 56.0]))
    assert CODER.decode(REFERENCE, code, (50, 30)).tolist() == pytest.approx([0, 4, 29, 49])


def test_confidence_adds_the_neighbor_only() -> None:
    probabilities = torch.tensor(
        [[0.5, 0.3, 0.1, 0.1], [0.5, 0.1, 0.3, 0.1], [0.1, 0.1, 0.2, 0.6], [0.4, 0.1, 0.2, 0.3]]
    )
    code = torch.cat([probabilities.log().flatten(), torch.zeros(16)])
    assert CODER.confidence(code).item() == pytest.approx((0.8 + 0.5 + 0.8 + 0.4) / 4)


def test_losses_are_of_what_counts() -> None:
    box = torch.tensor([[-7.0, 4.0, 33.0, 56.0], [0.0, 0.0, 9.0, 9.0]])
    references = REFERENCE.expand(2, -1)
    code = CODER.encode(references, box)
    sure = torch.cat([code[:, :16] * 200 - 100, code[:, 16:]], 1)
    loss = SmoothL1Loss(beta=0.1)
    ones = torch.ones(2)
    buckets, offsets = bucket_losses(CODER, loss, sure, references, box, ones)
    assert buckets.item() == pytest.approx(0, abs=1e-6)
    assert offsets.item() == pytest.approx(0, abs=1e-6)
    wrong = sure.clone()
    wrong[1] = 0.0
    buckets, offsets = bucket_losses(CODER, loss, wrong, references, box, torch.tensor([1.0, 0.0]))
    assert buckets.item() == pytest.approx(0, abs=1e-6)
    wrong = sure.clone()
    wrong[0, 16 + 1] += 1.0  # the left side's nearest bucket
    wrong[0, 16 + 3] += 1.0  # one that does not count
    _, offsets = bucket_losses(CODER, loss, wrong, references, box, ones)
    assert offsets.item() == pytest.approx(1 - 0.05)


def test_no_boxes() -> None:
    none = torch.zeros(0, 4)
    code = CODER.encode(none, none)
    assert code.shape == CODER.weights(none, none).shape == (0, 32)
    assert CODER.decode(none, code, (10, 10)).shape == (0, 4)
    assert CODER.confidence(code).shape == (0,)


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"num_buckets": 3}, "num_buckets: 3 is not at least 4"), ({"scale": 0.0}, "scale: 0.0")],
)
def test_settings_that_cannot_be(fields: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BucketCoder(**fields)  # type: ignore[arg-type]
