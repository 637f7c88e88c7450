"""Programs for a range of sizes."""

from __future__ import annotations

import pytest
import torch

from detzoo.errors import ConfigError, ExportError
from detzoo.export.frame import framed, largest_size, smallest_size
from detzoo.export.program import capture
from detzoo.export.static import StaticDetections, StaticDetector
from detzoo.inference.exported import Details
from detzoo.structures.images import Size
from tests.detectors.zoo_models import build, certain, one_per_head
from tests.export.outputs import assert_same
from tests.export.test_static import distinct, entry_of

# With pyramids of priors, with proposals, without boxes, with attention.
NAMES = (
    "retinanet_mobilenetv2_fpn",
    "mask_rcnn_mobilenetv2_fpn",
    "solov2_light_r18_fpn_3x_coco",
    "detr_r50_8x2_150e_coco",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_one_program_for_many_sizes(name: str) -> None:
    entry = entry_of(name)
    static = StaticDetector(certain(build(entry)))
    program = capture(static, Details(entry.experiment, (384, 448), smallest=(256, 256)))
    run = program.module()
    for size in ((256, 256), (288, 448), (384, 256)):
        pixels, sizes = torch.rand((1, 3, *size)), torch.tensor([size]) - 5
        with torch.no_grad():
            expected = static(pixels, sizes)
            found = run(pixels, sizes)
        assert int(expected.num) > 0
        assert_same([values.numpy() for values in found], expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("smallest", [None, (256, 256)], ids=["one size", "any size"])
def test_one_program_for_many_batch_sizes(name: str, smallest: Size | None) -> None:
    entry = entry_of(name)
    static = StaticDetector(distinct(certain(build(entry))))
    details = Details(entry.experiment, (288, 320), 3, smallest=smallest, takes_fewer=True)
    run = capture(static, details).module()
    for count in (1, 2, 3):
        pixels = torch.rand((count, 3, 288, 320) if smallest is None else (count, 3, 256, 288))
        sizes = torch.tensor([pixels.shape[2:]]) - 8 * torch.arange(count)[:, None]
        with torch.no_grad():
            expected = static(pixels, sizes)
            found = run(pixels, sizes)
        assert expected.num.min() > 0
        assert_same([values.numpy() for values in found], expected)


def test_what_has_no_form_for_a_range() -> None:
    class Fixed(StaticDetector):
        def forward(self, pixels: torch.Tensor, sizes: torch.Tensor) -> object:
            assert pixels.shape[2] == 384
            return super().forward(pixels, sizes)

    entry = entry_of("yolox_nano_8x8_300e_coco")
    details = Details(entry.experiment, (384, 448), smallest=(256, 256))
    with pytest.raises(ExportError, match="no form for a range of sizes"):
        capture(Fixed(build(entry)), details)


def test_what_has_no_form_for_a_range_of_batches() -> None:
    class Fixed(StaticDetector):
        def detect(
            self, features: tuple[torch.Tensor, ...], *given: torch.Tensor
        ) -> StaticDetections:
            raise RuntimeError("this is not written out for one image\nbut for two")

    entry = entry_of("yolox_nano_8x8_300e_coco")
    details = Details(entry.experiment, (256, 256), 2, takes_fewer=True)
    message = r"range of batch sizes; export it with --batch-size 2. .* for one image$"
    with pytest.raises(ExportError, match=message):
        capture(Fixed(build(entry)), details)


def test_sizes_of_the_recipe() -> None:
    (experiment,) = (e.experiment for e in one_per_head() if e.name == "mask_rcnn_mobilenetv2_fpn")
    size = largest_size(experiment)
    assert size[0] == size[1]
    assert smallest_size(size) == (256, 256)
    resize = experiment.data.test_transforms[0]
    assert framed(experiment, size, is_largest=True).data.test_transforms[0] == resize
    small = framed(experiment, (320, 320), is_largest=True).data.test_transforms[0]
    assert small.sizes == ((320, 320),)
    with pytest.raises(ConfigError, match="in steps of 32"):
        smallest_size((500, 500))
