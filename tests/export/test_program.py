"""Programs for a range of sizes."""

from __future__ import annotations

import pytest
import torch

from detzoo.errors import ConfigError, ExportError
from detzoo.export.frame import framed, largest_size, smallest_size
from detzoo.export.program import capture
from detzoo.export.static import StaticDetector
from detzoo.inference.exported import Details
from tests.detectors.zoo_models import build, certain, one_per_head
from tests.export.outputs import assert_same
from tests.export.test_static import entry_of

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


def test_what_has_no_form_for_a_range() -> None:
    class Fixed(StaticDetector):
        def forward(self, pixels: torch.Tensor, sizes: torch.Tensor) -> object:
            assert pixels.shape[2] == 384
            return super().forward(pixels, sizes)

    entry = entry_of("yolox_nano_8x8_300e_coco")
    details = Details(entry.experiment, (384, 448), smallest=(256, 256))
    with pytest.raises(ExportError, match="no form for a range of sizes"):
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
