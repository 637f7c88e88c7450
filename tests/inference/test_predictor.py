from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from faster_coco_eval.core import mask as rle
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor

import detzoo
from detzoo.checkpoints.checkpoint import Checkpoint, save
from detzoo.data.transforms import Pad, Resize
from detzoo.detectors.base import Detector
from detzoo.devices import resolve_device
from detzoo.errors import CheckpointError, ConfigError, DataError, DeviceError, UserError
from detzoo.inference.loading import find_published
from detzoo.inference.predictor import Predictor
from detzoo.inference.result import Result
from detzoo.inference.tiles import merge_tiles, place_tiles
from detzoo.structures import BitmapMasks, Detections, ImageBatch, RoIMasks
from tests.tiny import tiny_mask_rcnn, tiny_retinanet


class WhiteFinder(Detector):
    """Finds the bounding box of the white pixels, scored by the image's mean; for tests."""

    batches: list[tuple[int, ...]]

    def extract_features(self, pixels: Tensor) -> tuple[Tensor, ...]:
        return (pixels,)

    def losses(self, features, images, targets):  # type: ignore[no-untyped-def]
        raise AssertionError("not trained here")

    def detect(self, features: tuple[Tensor, ...], images: ImageBatch) -> list[Detections]:
        self.batches.append(tuple(features[0].shape))
        return [self._find(image) for image in features[0]]

    def _find(self, image: Tensor) -> Detections:
        rows, columns = (image[0] > 1.5).nonzero(as_tuple=True)
        if len(rows) == 0:
            return Detections.empty()
        low = torch.stack([columns.min(), rows.min()])
        high = torch.stack([columns.max(), rows.max()]) + 1
        boxes = torch.cat([low, high])[None].float()
        masks = RoIMasks(torch.ones(1, 8, 8))
        return Detections(boxes, torch.tensor([0.8]), torch.tensor([1]), masks)


def white_finder(*transforms: Resize | Pad) -> Predictor:
    experiment = tiny_retinanet(("black", "white"), transforms)
    model = WhiteFinder(experiment.model)
    model.batches = []
    return Predictor(experiment, model)


def picture(size: tuple[int, int], box: tuple[int, int, int, int] | None = None) -> np.ndarray:
    image = np.zeros((*size, 3), np.uint8)
    if box is not None:
        left, top, right, bottom = box
        image[top:bottom, left:right] = 255
    return image


# ------------------------------------------------------------------------------- fused or not


def test_a_predictor_keeps_what_it_was_made_of() -> None:
    """What happens to the detector later does not reach it, unless it is not fused."""
    torch.manual_seed(0)
    experiment = tiny_retinanet(("black", "white"))
    model = experiment.build_model()
    torch.nn.init.zeros_(model.get_parameter("bbox_head.retina_cls.bias"))
    fused, plain = Predictor(experiment, model), Predictor(experiment, model, fused=False)
    assert plain.model is model
    image = np.full((64, 64, 3), 100, np.uint8)

    def scores(predictor: Predictor) -> Tensor:
        (result,) = predictor.predict(image, min_score=0.0)
        return result.scores

    before = scores(fused)
    torch.testing.assert_close(scores(plain), before, rtol=1e-4, atol=1e-5)
    for parameter in model.parameters():
        parameter.data.mul_(1.5)
    assert torch.equal(scores(fused), before)
    assert not torch.equal(scores(plain), before)


def test_a_file_opens_fused_or_not(tmp_path: Path) -> None:
    torch.manual_seed(0)
    experiment = tiny_retinanet(("black", "white"))
    model = experiment.build_model()
    file = tmp_path / "x.pt"
    save(file, Checkpoint(experiment, model.state_dict()))
    plain = detzoo.load(file, fused=False)
    assert plain.model.state_dict().keys() == model.state_dict().keys()
    with pytest.raises(RuntimeError, match="fused=False"):
        detzoo.load(file).model.state_dict()


def test_the_precision_of_a_run_is_that_of_its_checkpoint(tmp_path: Path) -> None:
    experiment = replace(tiny_retinanet(("black", "white")), precision="bf16")
    file = tmp_path / "x.pt"
    save(file, Checkpoint(experiment, experiment.build_model().state_dict()))
    assert detzoo.load(file).precision == "bf16"
    assert detzoo.load(file, precision="fp32").precision == "fp32"


# ----------------------------------------------------------------------------------- predict


def test_results_are_in_pixels_of_the_image() -> None:
    predictor = white_finder(Resize(sizes=((64, 64),)), Pad(divisor=32))
    (result,) = predictor.predict(picture((128, 96), (16, 32, 48, 96)))
    assert torch.equal(result.boxes, torch.tensor([[16.0, 32.0, 48.0, 96.0]]))
    assert result.scores.tolist() == pytest.approx([0.8])
    assert result.labels.tolist() == [1]
    assert result.names == ["white"]
    assert result.masks is not None
    expected = torch.zeros(1, 128, 96, dtype=torch.bool)
    expected[0, 32:96, 16:48] = True
    assert (result.masks != expected).sum() <= 4 * 16  # the corners of a pasted mask are round
    assert len(result) == 1
    assert result.path == ""


def test_results_come_in_order_although_batches_are_by_shape() -> None:
    predictor = white_finder()
    sizes = [(32, 64), (64, 32), (32, 64), (64, 32), (32, 64)]
    images = [picture(size, (i, i, i + 8, i + 8)) for i, size in enumerate(sizes)]
    results = list(predictor.predict(images, batch_size=2))
    assert [r.boxes[0, 0].item() for r in results] == [0, 1, 2, 3, 4]
    assert [r.image.shape[:2] for r in results] == sizes
    assert predictor.model.batches == [
        (2, 3, 32, 64),
        (1, 3, 32, 64),
        (2, 3, 64, 32),
    ]


def test_results_are_made_as_they_are_asked_for() -> None:
    taken = []

    def images():  # type: ignore[no-untyped-def]
        for i in range(10):
            taken.append(i)
            yield picture((32, 32))

    results = white_finder().predict(images())
    next(results)
    assert taken == [0]


def test_low_scores_are_left_out() -> None:
    image = picture((32, 32), (0, 0, 8, 8))
    assert len(next(white_finder().predict(image, min_score=0.79))) == 1
    assert len(next(white_finder().predict(image, min_score=0.81))) == 0


def test_inputs_of_every_kind(tmp_path: Path) -> None:
    image = picture((32, 40), (4, 5, 12, 13))
    for name in ("b.png", "a.png", "deep/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), image)
    (tmp_path / "notes.txt").write_text("no image")
    predictor = white_finder()
    box = [[4.0, 5.0, 12.0, 13.0]]

    def paths(inputs) -> list[str]:  # type: ignore[no-untyped-def]
        results = list(predictor.predict(inputs))
        assert all(result.boxes.tolist() == box for result in results)
        return [Path(result.path).name for result in results]

    assert paths(str(tmp_path / "a.png")) == ["a.png"]
    assert paths(tmp_path) == ["a.png", "b.png"]
    assert paths(f"{tmp_path}/**/*.png") == ["a.png", "b.png", "c.png"]
    assert paths([tmp_path / "b.png", image, Image.fromarray(image)]) == ["b.png", "", ""]
    assert paths(image[..., 0]) == [""]
    content = (tmp_path / "a.png").read_bytes()
    assert paths(content) == paths([content]) == [""]


def test_pillow_images_are_rgb() -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    (result,) = white_finder().predict(Image.fromarray(red))
    assert result.image[0, 0].tolist() == [0, 0, 255]


def test_tensors_as_torchvision_has_them() -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    image[5:13, 4:12] = 255
    rgb = pil_to_tensor(Image.fromarray(image[..., ::-1]))
    predictor = white_finder()
    (wanted,) = predictor(image)
    doubles = rgb.double() / 255
    for tensor in (rgb, doubles, doubles.float().requires_grad_(), doubles.half()):
        (result,) = predictor(tensor)
        assert np.array_equal(result.image, image)
        assert torch.equal(result.boxes, wanted.boxes)
        assert len(predictor([tensor, rgb])) == 2
    (gray,) = predictor(rgb[:1])
    assert np.array_equal(gray.image, np.repeat(image[..., 2:], 3, axis=2))


def test_a_batch_is_as_many_images() -> None:
    images = np.stack([picture((32, 40), (4, 5, 12, 13)), picture((32, 40), (8, 9, 30, 20))])
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2)
    predictor = white_finder()
    wanted = [predictor(image)[0].boxes.tolist() for image in images]
    for batch in (images, tensor, [tensor[:1], tensor[1:]], list(tensor)):
        found = predictor(batch, batch_size=2)  # type: ignore[arg-type]
        assert [result.boxes.tolist() for result in found] == wanted
    assert predictor(tensor[:0]) == []


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("missing.jpg", r"missing\.jpg: no such image file or folder"),
        ("none/*.jpg", r"none/\*\.jpg: the pattern matches no image"),
        (np.zeros((8, 8, 3), np.float32), "array of float32"),
        (np.zeros((8, 8, 4), np.uint8), r"shape \(8, 8, 4\)"),
        ([3], "a int is not an image"),
        (b"hello", "5 bytes: cannot be decoded"),
        (torch.zeros(8, 8, 3), r"shape \(8, 8, 3\).*\(3, height, width\) in RGB"),
        (torch.zeros(4, 8, 8, dtype=torch.uint8), r"shape \(4, 8, 8\)"),
        (torch.zeros(8, 8), r"shape \(8, 8\)"),
        (torch.zeros(3, 0, 8), r"shape \(3, 0, 8\)"),
        (torch.zeros(3, 8, 8, dtype=torch.int64), r"a tensor of torch\.int64"),
        (torch.full((3, 8, 8), 255.0), "values from 255 to 255.*floats from 0 to 1"),
        (torch.full((3, 8, 8), -0.1), "values from -0.1 to -0.1"),
        (torch.full((3, 8, 8), math.nan), "values from nan"),
    ],
)
def test_what_is_no_image(inputs: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(white_finder().predict(inputs))  # type: ignore[arg-type]


def test_a_folder_without_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="contains no image"):
        list(white_finder().predict(tmp_path))


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"tile": 8}, {"tile_overlap": 1.0}])
def test_options_that_make_no_sense(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        next(white_finder().predict(picture((8, 8)), **options))  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------- tiles


@pytest.mark.parametrize("size", [(50, 60), (64, 64), (65, 200), (1000, 70)])
@pytest.mark.parametrize("overlap", [0.0, 0.2, 0.5])
def test_tiles_cover_the_image_and_overlap(size: tuple[int, int], overlap: float) -> None:
    tiles = place_tiles(size, 64, overlap)
    covered = np.zeros(size, int)
    for left, top, right, bottom in tiles:
        assert (bottom - top, right - left) == (min(64, size[0]), min(64, size[1]))
        covered[top:bottom, left:right] += 1
    assert covered.min() == 1
    lefts = sorted({left for left, *_ in tiles})
    assert all(b - a <= 64 * (1 - overlap) for a, b in itertools.pairwise(lefts))


def test_tiles_find_what_lies_in_one_of_them() -> None:
    predictor = white_finder()
    image = picture((100, 200), (150, 70, 170, 90))
    (result,) = predictor.predict(image, tile=64)
    assert result.boxes.tolist() == [[150.0, 70.0, 170.0, 90.0]]
    assert result.masks is not None
    assert (result.masks[0] != torch.from_numpy(image[..., 0] > 0)).sum() <= 4 * 16


def test_an_object_that_several_tiles_saw_is_kept_once() -> None:
    def seen(box: list[float], score: float, label: int) -> Detections:
        masks = BitmapMasks(torch.full((1, 64, 64), label + 1, dtype=torch.uint8))
        return Detections(torch.tensor([box]), torch.tensor([score]), torch.tensor([label]), masks)

    tiles = [(0, 0, 64, 64), (50, 0, 114, 64), (50, 0, 114, 64)]
    found = [
        seen([52.0, 0.0, 62.0, 10.0], 0.6, 0),
        seen([2.0, 0.0, 12.0, 10.0], 0.9, 0),
        seen([2.0, 0.0, 12.0, 10.0], 0.7, 1),  # another class
    ]
    merged = merge_tiles(found, tiles, (64, 114))
    assert merged.boxes.tolist() == [[52.0, 0.0, 62.0, 10.0]] * 2
    assert merged.scores.tolist() == pytest.approx([0.9, 0.7])
    assert isinstance(merged.masks, BitmapMasks)
    assert merged.masks.bitmaps.shape == (2, 64, 114)
    assert merged.masks.bitmaps[:, 0, 49].tolist() == [0, 0]
    assert merged.masks.bitmaps[:, 0, 50].tolist() == [1, 2]


def test_the_part_of_an_object_that_a_tile_cut_off_is_not_a_second_one() -> None:
    tiles = [(0, 0, 64, 64), (50, 0, 114, 64)]
    whole = [[51.0, 10.0, 90.0, 40.0], [10.0, 0.0, 30.0, 10.0]]
    first = Detections(
        torch.tensor([[51.0, 10.0, 64.0, 40.0], whole[1]]), torch.tensor([0.95, 0.5]),
        torch.zeros(2, dtype=torch.int64),
    )  # fmt: skip
    second = Detections(
        torch.tensor([[4.0, 10.0, 40.0, 40.0]]), torch.tensor([0.7]), torch.tensor([0])
    )
    merged = merge_tiles([first, second], tiles, (64, 114))
    assert merged.boxes.tolist() == [[54.0, 10.0, 90.0, 40.0], whole[1]]
    # The same at the edge of the image is whole: nothing lies beyond.
    alone = merge_tiles([first], [(0, 0, 64, 64)], (64, 64))
    assert len(alone) == 2
    # Of another class, it is another object.
    other = replace(second, labels=torch.tensor([1]))
    assert len(merge_tiles([first, other], tiles, (64, 114))) == 3


def test_tiles_without_anything() -> None:
    (result,) = white_finder().predict(picture((100, 100)), tile=64)
    assert len(result) == 0


# ------------------------------------------------------------------------------------ result


def result_with_masks() -> Result:
    bitmaps = torch.zeros(2, 30, 40, dtype=torch.uint8)
    bitmaps[0, 5:15, 5:20] = 1
    detections = Detections(
        torch.tensor([[5.0, 5.0, 20.0, 15.0], [20.123456, 1.0, 39.0, 29.0]]),
        torch.tensor([0.9, 0.123456789]),
        torch.tensor([1, 0]),
        BitmapMasks(bitmaps),
    )
    return Result(detections, ("cat", "dog"), picture((30, 40)), "photos/a.jpg")


def test_json() -> None:
    content = result_with_masks().to_json()
    first, second = content.pop("detections")
    assert content == {"image": "photos/a.jpg", "height": 30, "width": 40}
    mask = first.pop("mask")
    assert first == {"class": "dog", "score": 0.9, "box": [5.0, 5.0, 20.0, 15.0]}
    assert second["score"] == 0.12346
    assert second["box"] == [20.12, 1.0, 39.0, 29.0]
    assert isinstance(mask["counts"], str)
    assert rle.decode(mask).sum() == 150


def test_json_without_masks() -> None:
    result = result_with_masks()
    plain = replace(result, detections=replace(result.detections, masks=None))
    assert "mask" not in plain.to_json()["detections"][0]


def test_drawing_leaves_the_image_alone() -> None:
    result = result_with_masks()
    drawn = result.draw()
    assert drawn.shape == result.image.shape
    assert result.image.max() == 0
    assert drawn[5, 10].max() > 0  # the box
    assert drawn[10, 10].max() > 0  # the mask
    empty = Result(Detections.empty(), ("cat",), result.image)
    assert np.array_equal(empty.draw(), result.image)


def test_a_result_is_printed_without_its_pixels() -> None:
    result = result_with_masks()
    assert repr(result) == "Result('photos/a.jpg', 40x30: dog 0.90, cat 0.12)"
    assert repr([Result(Detections.empty(), ("cat",), result.image)]) == "[Result(40x30: nothing)]"
    many = replace(result, detections=result.detections[torch.tensor([0] * 10)])
    assert repr(many).endswith("dog 0.90, and 2 more)")


def test_a_picture_is_saved(tmp_path: Path) -> None:
    result = result_with_masks()
    for name in ("a.png", "ünïcode.png"):
        result.save(tmp_path / name)
        data = np.frombuffer((tmp_path / name).read_bytes(), np.uint8)
        assert np.array_equal(cv2.imdecode(data, cv2.IMREAD_COLOR), result.draw())
    result.save(str(tmp_path / "a.jpg"))
    with pytest.raises(DataError, match=r"a\.xyz: pictures are written as \.jpg"):
        result.save(tmp_path / "a.xyz")
    with pytest.raises(DataError, match=r"a\.png: cannot be written"):
        result.save(tmp_path / "none" / "a.png")


def test_a_call_returns_a_list() -> None:
    image = picture((32, 40), (4, 5, 12, 13))
    found = white_finder()([image, image], min_score=0.5)
    assert [result.boxes.tolist() for result in found] == [[[4.0, 5.0, 12.0, 13.0]]] * 2
    assert white_finder()(image)[0].names == found[0].names


# ----------------------------------------------------------------------------------- loading


@pytest.fixture
def checkpoint_file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    experiment = tiny_mask_rcnn(("ant", "bee"), (Resize(sizes=((64, 64),)), Pad(divisor=32)))
    path = tmp_path / "best.pt"
    save(path, Checkpoint(experiment, experiment.build_model().state_dict()))
    return path


def test_a_checkpoint_alone_makes_a_working_detector(checkpoint_file: Path) -> None:
    predictor = detzoo.load(checkpoint_file, device="cpu")
    assert predictor.class_names == ("ant", "bee")
    assert not predictor.model.training
    image = np.random.default_rng(0).integers(0, 255, (70, 90, 3), np.uint8)
    (result,) = predictor.predict(image, min_score=0.0)
    assert len(result) > 0
    assert set(result.names) <= {"ant", "bee"}
    assert result.masks is not None
    assert result.masks.shape == (len(result), 70, 90)
    assert not result.boxes.requires_grad


def test_other_weights_bring_their_class_names(checkpoint_file: Path, tmp_path: Path) -> None:
    experiment = tiny_mask_rcnn(("fox", "gnu"))
    other = tmp_path / "other.pt"
    save(other, Checkpoint(experiment, experiment.build_model().state_dict()))
    predictor = detzoo.load(checkpoint_file, weights=other, device="cpu")
    assert predictor.class_names == ("fox", "gnu")
    plain = tiny_retinanet()
    save(other, Checkpoint(plain, plain.build_model().state_dict()))
    with pytest.raises(CheckpointError, match="another model"):
        detzoo.load(checkpoint_file, weights=other, device="cpu")


def test_a_name_of_the_zoo_with_bare_weights(tmp_path: Path) -> None:
    name = "retinanet_r18_fpn_1x_coco"
    torch.manual_seed(0)
    model = detzoo.find(name).experiment.build_model()
    torch.save({"state_dict": model.state_dict()}, tmp_path / "bare.pth")
    predictor = detzoo.load(name, weights=tmp_path / "bare.pth", device="cpu", fused=False)
    assert predictor.class_names[0] == "person"
    assert torch.equal(predictor.model.backbone.conv1.weight, model.backbone.conv1.weight)


def test_published_weights_are_found_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = detzoo.find("retinanet_r50_fpn_1x_coco")
    monkeypatch.setenv("DETZOO_WEIGHTS", str(tmp_path))
    with pytest.raises(CheckpointError, match="no file retinanet_r50_fpn_1x_coco_2020") as caught:
        find_published(entry)
    assert str(tmp_path) in str(caught.value)
    file = tmp_path / "retinanet_r50_fpn_1x_coco_20200130-c2398f9e.pth"
    file.touch()
    assert find_published(entry) == file


def test_a_model_without_published_weights() -> None:
    with pytest.raises(CheckpointError, match="no weights were published"):
        find_published(detzoo.find("retinanet_r50_fpn_90k_coco"))


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UserError, match="retinanet_r50_fpn_1x_coco"):
        detzoo.load("retinanet_r50_fpn_1x_cocoo")


def test_a_missing_checkpoint() -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        detzoo.load("runs/none/best.pt")


@pytest.mark.parametrize("name", ["cuda:63", "tpu", "cpu:1", "meta"])
def test_a_device_that_is_not_there(name: str) -> None:
    with pytest.raises(DeviceError, match="Available: cpu"):
        resolve_device(name)


def test_list_models() -> None:
    assert "retinanet_r50_fpn_1x_coco" in detzoo.list_models()
    found = detzoo.list_models("mask_rcnn_*caffe_c4*")
    assert found == ("mask_rcnn_r50_caffe_c4_1x_coco",)


def test_a_class_agnostic_detector_names_objects() -> None:
    experiment = detzoo.find("rpn_r50_fpn_1x_coco").experiment
    with torch.device("meta"):
        model = experiment.build_model()
    assert Predictor(experiment, model).class_names == ("object",)
