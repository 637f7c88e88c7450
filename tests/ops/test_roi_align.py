from __future__ import annotations

import math

import pytest
import torch
import torchvision
from torch import Tensor

from detzoo.heads.roi.extractor import PyramidRoIPoolConfig
from detzoo.ops import roi_align as implementation
from detzoo.ops.roi_align import pyramid_level, pyramid_roi_align, roi_align, rois_of
from tests.ops import reference


def squares(*sides: float) -> Tensor:
    """RoIs (R, 5) of these sides in image 0."""
    return torch.tensor([[0.0, 3.0, 4.0, 3.0 + side, 4.0 + side] for side in sides])


def test_rois_carry_the_number_of_their_image() -> None:
    first, none, last = torch.rand(2, 4), torch.zeros(0, 4), torch.rand(1, 4)
    rois = rois_of([first, none, last])
    assert rois[:, 0].tolist() == [0, 0, 2]
    assert torch.equal(rois[:, 1:], torch.cat([first, last]))
    assert rois_of([none, none]).shape == (0, 5)


def test_one_level_per_octave_of_size() -> None:
    sides = (1, 56, 111.9, 112, 223.9, 224, 447.9, 448, 5000)
    assert pyramid_level(squares(*sides), 4, 56.0).tolist() == [0, 0, 0, 1, 1, 2, 2, 3, 3]


def test_every_roi_has_a_level() -> None:
    """Also what a model predicts that diverges: as many regions leave as came."""
    nan, inf = math.nan, math.inf
    boxes = [[9.0, 0, 0, 9], [nan, 0, 9, 9], [nan] * 4, [0, 0, 0, inf], [0, 0, 1e30, 1e30]]
    rois = rois_of([torch.tensor(boxes)])
    assert pyramid_level(rois, 4, 56).tolist() == [0, 0, 0, 0, 3]
    # Kernels never see an address that is no number.
    assert rois[1].tolist() == [0, 0, 0, 9, 9]
    assert rois[2].tolist() == [0, 0, 0, 0, 0]
    for aligned in (False, True):
        for sampling_ratio in (0, 2):
            maps = [torch.ones(1, 8, 32 // 2**level, 32 // 2**level) for level in range(4)]
            pooled = pyramid_roi_align(
                maps, (4, 8, 16, 32), rois[:3], output_size=2, finest_scale=56,
                sampling_ratio=sampling_ratio, aligned=aligned,
            )  # fmt: skip
            assert pooled.shape == (3, 8, 2, 2)
            assert pooled.isfinite().all()


def test_size_is_the_root_of_the_area() -> None:
    long = torch.tensor([[0.0, 0.0, 0.0, 28.0, 448.0]])  # as much as a square of 112
    assert pyramid_level(long, 4, 56.0).tolist() == [1]
    assert pyramid_level(squares(0.0), 4, 56.0).tolist() == [0]
    assert pyramid_level(torch.zeros(0, 5), 4, 56.0).shape == (0,)


def test_each_roi_comes_from_its_level() -> None:
    generator = torch.Generator().manual_seed(0)
    strides = (4, 8, 16)
    features = [torch.randn((2, 3, 256 // s, 256 // s), generator=generator) for s in strides]
    boxes = reference.random_boxes(12, seed=1) * torch.logspace(-1, 0.4, 12)[:, None]
    rois = torch.cat([(torch.arange(12) % 2)[:, None].float(), boxes], 1)
    pooled = pyramid_roi_align(
        features,
        strides,
        rois,
        output_size=2,
        sampling_ratio=2,
        aligned=True,
        finest_scale=14.0,
    )
    levels = set()
    for roi, regions in zip(rois, pooled):
        scale = math.sqrt((roi[3] - roi[1]) * (roi[4] - roi[2]))
        level = min(max(math.floor(math.log2(scale / 14)), 0), 2)
        levels.add(level)
        alone = roi_align(features[level], roi[None], 2, strides[level], 2)
        torch.testing.assert_close(regions, alone[0])
    assert levels == {0, 1, 2}


def test_max_pooling_of_whole_cells() -> None:
    """A box from (8, 4) to (27, 19) covers the cells 2 to 7 and 1 to 5; a bin has half of them."""
    feature = torch.arange(64.0).view(1, 1, 8, 8)
    config = PyramidRoIPoolConfig(output_size=2, num_levels=2, finest_scale=14.0)
    pool = config.build((1, 1), (4, 8))
    pooled = pool([feature, torch.zeros(1, 1, 4, 4)], torch.tensor([[0.0, 8.0, 4.0, 27.0, 19.0]]))
    assert pooled.flatten().tolist() == [3 * 8 + 4, 3 * 8 + 7, 5 * 8 + 4, 5 * 8 + 7]


def test_a_ramp_is_sampled_at_the_centers_of_the_bins() -> None:
    """Cell i is centered at (i + 0.5) * stride: a ramp's value at x pixels is x / stride - 0.5."""
    ramp = torch.arange(16.0).expand(1, 1, 16, 16)
    roi = torch.tensor([[0.0, 8.0, 8.0, 40.0, 40.0]])
    arguments = {"output_size": 2, "sampling_ratio": 0, "finest_scale": 56.0}
    aligned = pyramid_roi_align([ramp], [4], roi, aligned=True, **arguments)
    torch.testing.assert_close(aligned[0, 0, 0], torch.tensor([16 / 4 - 0.5, 32 / 4 - 0.5]))
    shifted = pyramid_roi_align([ramp], [4], roi, aligned=False, **arguments)
    torch.testing.assert_close(shifted[0, 0, 0], torch.tensor([16 / 4, 32 / 4]))


def test_no_rois() -> None:
    features = [torch.rand(1, 3, 8, 8, requires_grad=True), torch.rand(1, 3, 4, 4)]
    for levels in (1, 2):
        pooled = pyramid_roi_align(
            features[:levels],
            (4, 8)[:levels],
            torch.zeros(0, 5),
            output_size=7,
            sampling_ratio=0,
            aligned=True,
            finest_scale=56.0,
        )
        assert pooled.shape == (0, 3, 7, 7)
        pooled.sum().backward()
    assert features[0].grad is not None
    assert not features[0].grad.any()


ODD_ROIS = torch.tensor(
    [
        [0, 10, 10, 10, 50],  # no width
        [0, 20, 20, 10, 10],  # turned inside out
        [0, -100, -100, -50, -50],  # outside
        [1, 100, 70, 2000, 90],  # reaches far out
        [1, 0, 0, 128, 96],  # all
        [1, -5, -5, 5, 5],
        [0, 3.2, 4.1, 3.3, 4.15],  # part of a cell
        [1, 7, 9, 61, 30],
        [1, 60, 2, 70, 95],
    ]
)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_as_torchvision(aligned: bool, layout: torch.memory_format) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn((2, 3, 24, 32), generator=generator, dtype=torch.double)
    maps = [values.clone(memory_format=layout).requires_grad_() for _ in range(2)]
    rois = ODD_ROIS.double()
    ours = roi_align(maps[0], rois, 7, 4, aligned=aligned)
    theirs = torchvision.ops.roi_align(maps[1], rois, (7, 7), 1 / 4, 0, aligned)
    torch.testing.assert_close(ours, theirs)
    weight = torch.randn(ours.shape, generator=generator, dtype=torch.double)
    for pooled in (ours, theirs):
        (pooled * weight).sum().backward()
    torch.testing.assert_close(maps[0].grad, maps[1].grad)


def test_what_is_no_number_harms_only_itself() -> None:
    values = torch.rand((1, 3, 8, 8))
    rois = torch.tensor([[0, torch.nan, 0, 10, 10], [0, 4, 4, 20, 20], [0, 0, 0, torch.inf, 9]])
    pooled = roi_align(values, rois, 2, 4)
    torch.testing.assert_close(pooled[1:2], roi_align(values, rois[1:2], 2, 4))


def test_bf16() -> None:
    values = torch.rand((1, 8, 24, 32))
    rois = torch.tensor([[0, 7, 9, 61, 30.0]])
    pooled = roi_align(values.bfloat16(), rois, 7, 4)
    assert pooled.dtype == torch.bfloat16
    torch.testing.assert_close(pooled.float(), roi_align(values, rois, 7, 4), atol=0.01, rtol=0.01)


def test_gradients_reach_every_level() -> None:
    generator = torch.Generator().manual_seed(0)
    fine = torch.randn((1, 2, 6, 6), generator=generator, dtype=torch.double, requires_grad=True)
    coarse = torch.randn((1, 2, 3, 3), generator=generator, dtype=torch.double, requires_grad=True)
    rois = torch.tensor([[0, 1, 2, 8, 9], [0, 2, 1, 22, 21.0]], dtype=torch.double)

    def pool(fine: Tensor, coarse: Tensor) -> Tensor:
        return pyramid_roi_align(
            [fine, coarse],
            (4, 8),
            rois,
            output_size=2,
            sampling_ratio=0,
            aligned=True,
            finest_scale=8.0,
        )

    pool(fine, coarse).sum().backward()
    assert fine.grad is not None
    assert fine.grad.any()
    assert coarse.grad is not None
    assert coarse.grad.any()
    assert torch.autograd.gradcheck(pool, (fine, coarse))


@pytest.mark.parametrize(
    ("device", "ratio", "expected"),
    [("cpu", 0, "rows"), ("cpu", 2, "torchvision"), ("meta", 0, "torchvision")],
)
def test_who_computes_it(
    device: str, ratio: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A product with a sparse matrix on processors, torchvision's operator elsewhere."""
    asked = []
    theirs, rows = torchvision.ops.roi_align, implementation.weighted_rows
    monkeypatch.setattr(
        torchvision.ops, "roi_align", lambda *a: (asked.append("torchvision"), theirs(*a))[1]
    )
    monkeypatch.setattr(
        implementation, "weighted_rows", lambda *a: (asked.append("rows"), rows(*a))[1]
    )
    maps = torch.zeros((1, 4, 8, 8), device=device)
    rois = torch.tensor([[0.0, 4.0, 4.0, 40.0, 40.0]]).to(device)
    assert roi_align(maps, rois, 7, 8, ratio).shape == (1, 4, 7, 7)
    assert asked == [expected]


def test_the_same_with_fixed_shapes() -> None:
    """As on a GPU, where no shape may depend on the sizes of RoIs."""
    generator = torch.Generator().manual_seed(0)
    maps = [torch.rand((2, 4, 64 // s, 64 // s), generator=generator) for s in (1, 2, 4)]
    low = 100 * torch.rand((30, 2), generator=generator)
    side = 150 * torch.rand((30, 1), generator=generator) ** 2
    image = (torch.arange(30) % 2)[:, None]
    rois, strides = torch.cat([image, low, low + side], 1), (4, 8, 16)
    assert len(pyramid_level(rois, 3, 16.0).unique()) == 3
    settings = {"output_size": 7, "sampling_ratio": 0, "aligned": True}
    expected = pyramid_roi_align(maps, strides, rois, finest_scale=16.0, **settings)
    level = pyramid_level(rois, 3, 16.0)

    def pool(level: int, rois: Tensor) -> Tensor:
        return roi_align(maps[level], rois, 7, strides[level], sampling_ratio=0, aligned=True)

    found = implementation._from_every_level(3, rois, level, pool)
    torch.testing.assert_close(found, expected)
