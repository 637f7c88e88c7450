"""Samples to look at are those that a run trains on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from detzoo.browse import browse
from detzoo.data.dataset import DetectionDataset
from detzoo.data.locate import open_dataset
from detzoo.data.transforms import Flip, Mosaic, Pad, Resize
from detzoo.errors import DataError
from detzoo.experiment import Experiment, FinalEpochs
from detzoo.inference.draw import draw_targets
from detzoo.quickstart.scenes import CLASSES, write_scenes
from detzoo.train.data import open_loader, usable_data
from detzoo.train.distributed import Processes
from tests.tiny import tiny_mask_rcnn, tiny_retinanet

FIT = (Resize(sizes=((64, 64),)), Pad(divisor=32))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DetectionDataset:
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, "train", 6, size=64, seed=1)
    return open_dataset(folder, "train")


def with_transforms(experiment: Experiment, *transforms: object) -> Experiment:
    data = replace(experiment.data, train_transforms=transforms)  # type: ignore[arg-type]
    return replace(experiment, data=data)


def test_without_augmentation_nothing_changes(data: DetectionDataset) -> None:
    browsed = browse(data, with_transforms(tiny_retinanet(CLASSES, FIT), *FIT), 4)
    assert len(browsed.samples) == 4
    assert len({sample.name for sample in browsed.samples}) == 4
    for sample in browsed.samples:
        assert np.array_equal(sample.before, sample.after)


@pytest.mark.parametrize("epoch", [0, 3])
def test_they_are_what_is_trained_on(data: DetectionDataset, epoch: int) -> None:
    transforms = (Mosaic(size=(48, 48)), Flip())
    experiment = with_transforms(tiny_retinanet(CLASSES, FIT), *transforms)
    experiment = replace(experiment, seed=7)
    one = replace(experiment.data, images_per_device=1, workers=0)
    usable = usable_data(experiment, data)
    loader = open_loader(
        replace(experiment, data=one), usable, Processes(0, 1, torch.device("cpu"))
    )
    loader.set_epoch(epoch)
    samples = browse(data, experiment, 100, epoch=epoch).samples
    batches = list(loader)
    assert len(samples) == len(batches) == 6
    for sample, batch in zip(samples, batches):
        assert sample.name in batch.infos[0].path
        expected = draw_targets(batch.pixels[0].numpy(), batch.targets[0], CLASSES)
        assert np.array_equal(sample.after, expected)
        assert sample.after.shape == (96, 96, 3)


def test_final_epochs_have_their_own_transforms(data: DetectionDataset) -> None:
    experiment = with_transforms(tiny_retinanet(CLASSES, FIT), Resize(sizes=((32, 32),)))
    experiment = replace(experiment, final=FinalEpochs(epochs=1, transforms=FIT))
    last = experiment.schedule.length - 1
    assert browse(data, experiment, 1).samples[0].after.shape == (32, 32, 3)
    assert browse(data, experiment, 1, epoch=last).samples[0].after.shape == (64, 64, 3)


def test_masks_are_drawn_where_they_are_trained(data: DetectionDataset) -> None:
    boxes = browse(data, with_transforms(tiny_retinanet(CLASSES, FIT), *FIT), 1).samples[0]
    masks = browse(data, with_transforms(tiny_mask_rcnn(CLASSES, FIT), *FIT), 1).samples[0]
    assert boxes.name == masks.name
    assert not np.array_equal(boxes.after, masks.after)
    assert np.array_equal(masks.before, masks.after)


def test_a_notebook_shows_a_frame(data: DetectionDataset) -> None:
    html = browse(data, tiny_retinanet(CLASSES, FIT), 2)._repr_html_()
    assert html.startswith("<iframe srcdoc=")
    assert html.count("data:image/jpeg;base64,") == 4
    assert "<img" not in html  # escaped


def test_other_classes_than_the_model_was_made_for(data: DetectionDataset) -> None:
    assert browse(data, tiny_retinanet(("cat",), FIT), 1).samples


def test_nothing_to_look_at(data: DetectionDataset) -> None:

    experiment = tiny_retinanet(CLASSES, FIT)
    experiment = replace(experiment, data=replace(experiment.data, min_image_size=100))
    with pytest.raises(DataError, match="narrower than 100"):
        browse(data, experiment, 1)
