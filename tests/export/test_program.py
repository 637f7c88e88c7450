"""Programs for a range of sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from detzoo import zoo
from detzoo.errors import ConfigError, ExportError
from detzoo.experiment import Experiment
from detzoo.export.frame import check_size, framed, largest_size, smallest_size
from detzoo.export.program import capture
from detzoo.export.static import StaticDetections, StaticDetector
from detzoo.inference.exported import Details
from detzoo.quickstart.scenes import CLASSES
from detzoo.structures.images import Size
from tests.cli.conftest import FIT
from tests.data.transforms.samples import sample
from tests.detectors.zoo_models import build, certain, one_per_head
from tests.export.outputs import assert_same
from tests.export.test_static import distinct, entry_of
from tests.tiny import tiny_retinanet

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


def test_the_loop_over_images_is_given_what_it_uses() -> None:
    experiment = tiny_retinanet(CLASSES, FIT)
    static = StaticDetector(experiment.build_model().eval())
    program = capture(static, Details(experiment, (64, 96), 2, takes_fewer=True))
    body = program.graph_module.get_submodule("scan_combine_graph_0")
    assert isinstance(body, torch.fx.GraphModule)
    given = [node for node in body.graph.nodes if node.op == "placeholder"]
    head = len(list(static.detector.get_submodule("bbox_head").parameters()))
    maps = len(static.detector.extract_features(torch.zeros(1, 3, 64, 96)))
    assert len(given) == 1 + maps + len(("pixels", "sizes")) + head


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


def pipelines() -> dict[str, Experiment]:
    """An experiment per kind of test pipeline in the zoo."""
    return {
        " ".join(type(step).__name__ for step in entry.experiment.data.test_transforms): (
            entry.experiment
        )
        for entry in zoo.entries()
    }


@pytest.mark.parametrize("kind", pipelines())
@pytest.mark.parametrize("is_largest", [False, True])
def test_images_of_any_shape_fit(kind: str, is_largest: bool) -> None:
    steps = framed(pipelines()[kind], (256, 384), is_largest=is_largest).data.test_transforms
    for size in ((320, 320), (50, 700), (700, 50), (40, 30), (256, 384)):
        made = sample(*size, boxes=(), ignored=())
        for step in steps:
            made = step(made, np.random.default_rng(0))
        assert made.image.shape[0] <= 256
        assert made.image.shape[1] <= 384
        padded = made.info.padded_size
        assert padded[0] % 32 == padded[1] % 32 == 0 if is_largest else padded == (256, 384)


def test_sizes_that_padding_on_all_sides_divides() -> None:
    experiment = zoo.find("cornernet_hourglass104_mstest_10x5_210e_coco").experiment
    model = build(entry_of("cornernet_hourglass104_mstest_10x5_210e_coco"))
    check_size(model, experiment, (512, 768), "--size")
    with pytest.raises(ConfigError, match="needs multiples of 128; give 512 768"):
        check_size(model, experiment, (511, 700), "--size")
