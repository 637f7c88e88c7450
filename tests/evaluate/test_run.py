import dataclasses

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from detzoo.detectors.base import Detector
from detzoo.errors import DataError
from detzoo.evaluate import (
    CocoEvaluator,
    GroundTruth,
    ProposalEvaluator,
    VocEvaluator,
    default_evaluators,
    detect,
    evaluate,
    score,
)
from detzoo.evaluate.voc import area_under_curve, eleven_points
from detzoo.structures import Batch, Detections, ImageInfo, RoIMasks
from tests.tiny import tiny_retinanet

NAMES = ("cat", "dog")


class FindsBrightBox(Detector):
    """One detection per image: what is white. Its mask fills the box."""

    def extract_features(self, pixels):
        return ()

    def losses(self, features, images, targets):
        raise NotImplementedError

    def detect(self, features, images):
        assert not self.training
        assert torch.is_inference_mode_enabled()
        self.saw_bf16 = torch.is_autocast_enabled("cpu")
        found = []
        for pixels in images.pixels:
            y, x = (pixels[0] > 1).nonzero(as_tuple=True)
            box = torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1]).float()[None]
            masks = RoIMasks(torch.ones(1, 28, 28))
            found.append(Detections(box, torch.ones(1), torch.ones(1, dtype=torch.long), masks))
        return found


@pytest.fixture
def model():
    return FindsBrightBox(tiny_retinanet().model)


def _data():
    """Five images of 40 x 60 with a dog each, the first one's with another place and a cat, too."""
    images = [{"id": i, "height": 40, "width": 60} for i in range(5)]
    annotations = [
        {
            "image_id": i,
            "category_id": 1,
            "bbox": [4 * i, 10, 20, 16],
            "segmentation": [[4 * i, 10, 4 * i + 20, 10, 4 * i + 20, 26, 4 * i, 26]],
        }
        for i in range(5)
    ]
    categories = [{"id": i, "name": name} for i, name in enumerate(NAMES)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _batch(*ids):
    """The images at double size, mirrored, at the top left of a padded batch."""
    pixels = torch.zeros((len(ids), 96, 128, 3), dtype=torch.uint8)
    infos = []
    for n, i in enumerate(ids):
        left, right = 2 * 4 * i, 2 * (4 * i + 20)
        pixels[n, 20:52, 120 - right : 120 - left] = 255
        info = ImageInfo.of((40, 60), id=i)
        infos.append(
            dataclasses.replace(
                info, size=(80, 120), padded_size=(96, 128), scale=(2.0, 2.0), flip="horizontal"
            )
        )
    return Batch(pixels, tuple(infos))


def test_finds_in_original_pixels(model):
    seen = []
    model.train()
    results = detect(model, [_batch(0, 1), _batch(2)], progress=seen.append)
    assert model.training
    assert seen == [2, 1]
    assert [result.image_id for result in results] == [0, 1, 2]
    np.testing.assert_allclose(results[1].boxes, [[4, 10, 20, 16]])
    assert results[1].masks is not None
    assert results[1].masks.areas().tolist() == [320]


def test_training_mode_survives_an_error(model):
    model.train()
    with pytest.raises(RuntimeError):
        detect(model, [Batch(torch.zeros((1, 8, 8, 3)), (ImageInfo.of((8, 8)),))])
    assert model.training


def test_precision(model):
    detect(model, [_batch(0)], precision="bf16", fused=False)
    assert model.saw_bf16
    detect(model, [_batch(0)], fused=False)
    assert not model.saw_bf16


def test_metrics(model):
    truth = GroundTruth.from_coco(_data())
    evaluators = default_evaluators(truth, NAMES, predicts_masks=True)
    metrics = evaluate(model, [_batch(0, 1, 2), _batch(3)], evaluators)
    # Four of five are found: precision 1 up to recall .80, which is 81 of 101 recall levels.
    assert metrics["bbox/AP"] == pytest.approx(81 / 101)
    assert metrics["segm/AP"] == pytest.approx(81 / 101)
    assert metrics.main_name == "bbox/AP"
    swapped = default_evaluators(truth, NAMES[::-1])
    assert evaluate(model, [_batch(0, 1, 2), _batch(3)], swapped).main == 0


def test_default_evaluators():
    data = _data()
    truth = GroundTruth.from_coco(data)
    for annotation in data["annotations"]:
        del annotation["segmentation"]
    without_masks = GroundTruth.from_coco(data)

    def kinds(evaluators):
        (evaluator,) = evaluators
        assert isinstance(evaluator, CocoEvaluator)
        return evaluator.kinds

    assert kinds(default_evaluators(truth, NAMES)) == ("bbox",)
    assert kinds(default_evaluators(truth, NAMES, predicts_masks=True)) == ("bbox", "segm")
    assert kinds(default_evaluators(without_masks, NAMES, predicts_masks=True)) == ("bbox",)
    (voc,) = default_evaluators(truth, NAMES, metric="voc")
    assert isinstance(voc, VocEvaluator)
    assert voc.average is area_under_curve
    (voc07,) = default_evaluators(truth, NAMES, metric="voc07")
    assert isinstance(voc07, VocEvaluator)
    assert voc07.average is eleven_points
    (proposals,) = default_evaluators(truth, (), is_class_agnostic=True)
    assert isinstance(proposals, ProposalEvaluator)


def _process(rank, folder):
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    model = FindsBrightBox(tiny_retinanet().model)
    # Five images on two processes: the second one's last batch repeats an image, as samplers do.
    batches = [[_batch(0, 2), _batch(4)], [_batch(1, 3), _batch(0)]][rank]
    evaluators = default_evaluators(GroundTruth.from_coco(_data()), NAMES)
    results = detect(model, batches)
    metrics = score(evaluators, results)
    failed = False
    try:
        unknown = dataclasses.replace(_batch(0).infos[0], id="unknown")
        evaluate(model, [Batch(_batch(0).pixels, (unknown,))], evaluators)
    except DataError:
        failed = True
    torch.save(
        {"count": len(results), "values": dict(metrics.values), "failed": failed},
        f"{folder}/{rank}.pt",
    )
    dist.destroy_process_group()


def test_two_processes(tmp_path, model):
    mp.spawn(_process, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    evaluators = default_evaluators(GroundTruth.from_coco(_data()), NAMES)
    alone = evaluate(model, [_batch(0, 1, 2, 3, 4)], evaluators)
    assert first["count"] == 5
    for outcome in (first, second):
        assert outcome["values"] == pytest.approx(dict(alone.values), nan_ok=True)
        assert outcome["failed"]
    assert alone.main == pytest.approx(1)
