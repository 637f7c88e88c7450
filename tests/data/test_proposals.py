from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from detzoo.data.annotations import Proposals
from detzoo.data.coco import read_coco
from detzoo.data.dataset import DetectionDataset
from detzoo.data.loader import build_loader
from detzoo.data.proposals import read_proposals, write_proposals
from detzoo.data.transforms import Flip, Pad, Resize
from detzoo.errors import DataError
from tests.data.files import annotation, write_coco
from tests.tiny import tiny_retinanet

ARRAYS = [
    np.array([[1, 2, 30, 38, 0.9], [0, 0, 60, 40, 0.5]], np.float32),
    np.zeros((0, 5), np.float32),
    np.array([[5, 6, 7, 8, 0.25]], np.float32),
]


@pytest.fixture
def data(tmp_path: Path) -> DetectionDataset:
    boxes = [annotation(n, n, (1, 1, 9, 9)) for n in (1, 2, 3)]
    return read_coco(write_coco(tmp_path, [(40, 60)] * 3, boxes), tmp_path / "train")


def test_pickles_of_mmdetection_go_by_order(data: DetectionDataset, tmp_path: Path) -> None:
    file = tmp_path / "p.pkl"
    file.write_bytes(pickle.dumps([*ARRAYS[:2], ARRAYS[2][:, :4]]))
    found = read_proposals(file, data)
    assert len(found) == 3
    assert found[0].tolist() == ARRAYS[0].tolist()
    assert found[1].shape == (0, 5)
    assert found[2].tolist() == [[5, 6, 7, 8, 1]]


def test_own_files_go_by_image(data: DetectionDataset, tmp_path: Path) -> None:
    file = tmp_path / "p.json"
    write_proposals(file, {3: ARRAYS[2], 1: ARRAYS[0], 2: ARRAYS[1], 99: ARRAYS[1]})
    found = read_proposals(file, data)
    for i in range(3):
        np.testing.assert_allclose(found[i].numpy(), ARRAYS[i], atol=5e-4)
    few = read_proposals(file, data.take([2, 0]))
    assert [len(few[i]) for i in range(2)] == [1, 2]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.pkl", pickle.dumps(ARRAYS[:2]), r"of 2 images, but .*train\.json lists 3"),
        ("p.pkl", pickle.dumps({"a": 1}), r"holds a dict instead of a list of arrays"),
        ("p.pkl", pickle.dumps([ARRAYS[0], "x", ARRAYS[0]]), r"entry 1: 'x' are not boxes"),
        ("p.pkl", pickle.dumps([ARRAYS[0][:, :3]] * 3), r"entry 0: .* are not boxes \(K, 4\)"),
        ("p.pkl", pickle.dumps([np.full((1, 4), np.nan)] * 3), r"entry 0: .* are not boxes"),
        ("p.pkl", pickle.dumps([Path]), r"p\.pkl: cannot be read \(.*Path.*could run code"),
        ("p.pkl", b"junk", r"p\.pkl: cannot be read"),
        ("p.json", b"[1]", r"is no file of proposals"),
        ("p.json", b'{"proposals": [{"boxes": []}]}', r"proposals\[0\]: has no 'image_id'"),
        (
            "p.json",
            b'{"proposals": [{"image_id": 1, "boxes": []}]}',
            r"has no proposals for 2 of the 3 images of .*train\.json, the first is 2",
        ),
        (
            "p.json",
            b'{"proposals": [{"image_id": 1, "boxes": [[1, 2]]}]}',
            r"proposals\[0\]: \[\[1, 2\]\] are not boxes",
        ),
    ],
)
def test_bad_files(
    data: DetectionDataset, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_proposals(tmp_path / name, data)
    with pytest.raises(DataError, match="no such file"):
        read_proposals(tmp_path / f"other_{name}", data)


def with_proposals(data: DetectionDataset) -> DetectionDataset:
    from dataclasses import replace

    return replace(data, proposals=Proposals.of(ARRAYS))


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_carry_them_in_original_pixels(data: DetectionDataset, workers: int) -> None:
    loader = build_loader(
        with_proposals(data).take([2, 0, 1]),
        (Resize(sizes=((120, 80),)), Pad(divisor=32)),
        images_per_device=3,
        training=False,
        workers=workers,
        max_proposals=1,
    )
    (batch,) = list(loader)
    loader.close()
    expected = [ARRAYS[2], ARRAYS[0][:1], ARRAYS[1]]
    assert [boxes.tolist() for boxes in batch.proposals] == [boxes.tolist() for boxes in expected]


def test_the_detector_gets_them_in_input_pixels(data: DetectionDataset) -> None:
    loader = build_loader(
        with_proposals(data),
        (Resize(sizes=((120, 80),)), Flip(probability=1.0), Pad(divisor=32)),
        images_per_device=3,
        training=True,
        seed=1,
    )
    model = tiny_retinanet().build_model()
    (batch,) = list(loader)
    images = model.preprocess(batch)
    for info, boxes in zip(batch.infos, images.proposals):
        original = torch.tensor(ARRAYS[int(info.id) - 1])[:, :4]
        x1, y1, x2, y2 = (2 * original).unbind(1)
        assert boxes.equal(torch.stack([120 - x2, y1, 120 - x1, y2], 1))
    without = build_loader(data, (), images_per_device=3, training=False)
    assert model.preprocess(next(iter(without))).proposals == ()


def test_files_are_plain(tmp_path: Path) -> None:
    write_proposals(tmp_path / "p.json", {"a": ARRAYS[0]})
    assert json.loads((tmp_path / "p.json").read_text()) == {
        "proposals": [
            {"image_id": "a", "boxes": [[1, 2, 30, 38, 0.9], [0, 0, 60, 40, 0.5]]},
        ]
    }
