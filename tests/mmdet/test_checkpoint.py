from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import detzoo
from detzoo import zoo
from detzoo.checkpoints.checkpoint import read, read_weights
from detzoo.errors import CheckpointError, ConfigError
from detzoo.mmdet import experiment_of
from detzoo.mmdet.checkpoint import interpret, is_v2
from detzoo.mmdet.config_text import parse_config
from detzoo.mmdet.convert import import_config
from detzoo.mmdet.node import Reading
from detzoo.weights.files import read_file
from tests.mmdet.config_dump import dump
from tests.mmdet.retinanet import CLASSES, CONFIG, state, write
from tests.shared import shared


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "retinanet.pth", state())


def test_a_checkpoint_alone_is_a_detector(file: Path) -> None:
    detector = detzoo.load(file, device="cpu", fused=False)
    assert detector.class_names == CLASSES
    assert detector.experiment == experiment_of(CONFIG, "test")
    loaded = detector.model.state_dict()
    for name, value in state().items():
        assert torch.equal(loaded[name], value), name
    (result,) = detector.predict(np.zeros((48, 64, 3), np.uint8), min_score=0)
    assert set(result.names) <= set(CLASSES)


def test_what_the_file_says(file: Path) -> None:
    content = read_file(file)
    assert is_v2(content)
    found = interpret(content, file)
    assert (found.version, found.epoch, found.iteration) == ("2.24.1+abcdef0", 12, 87960)
    assert found.class_names == CLASSES
    assert found.config()["runner"] == CONFIG["runner"]


def test_the_class_names_are_those_of_the_file(tmp_path: Path) -> None:
    """Of the data that it was trained on: the configuration may name another file's."""
    file = write(tmp_path / "x.pth", state(), CLASSES=["a", "b", "c", "d"])
    assert read(file).class_names == ("a", "b", "c", "d")
    assert read(write(tmp_path / "x.pth", state(), CLASSES=None)).class_names == CLASSES
    with pytest.raises(CheckpointError, match=r"x\.pth: its class names .* are 3"):
        read(write(tmp_path / "x.pth", state(), CLASSES=3))


def test_the_averages_of_an_ema_hook_are_left_out(tmp_path: Path) -> None:
    tensors = state()
    twice = {**tensors, **{f"ema_{n.replace('.', '_')}": v + 1 for n, v in tensors.items()}}
    assert detzoo.load(write(tmp_path / "x.pth", twice), device="cpu")
    assert set(read_weights(tmp_path / "x.pth").tensors) == set(tensors)


@pytest.mark.parametrize("version", ["1.2.0", "0.6.0+abc", "1.0rc1"])
def test_weights_of_before_2_0(tmp_path: Path, version: str) -> None:
    """A RetinaNet was laid out as today, but for the convolutions of its first versions."""
    content = {
        re.sub(r"^(bbox_head\.\w+_convs\.\d)\.conv", r"\1", name): value
        for name, value in state().items()
    }
    assert content.keys() != state().keys()
    found = read_weights(write(tmp_path / "x.pth", content, mmdet_version=version))
    assert found.class_names == CLASSES
    assert found.tensors.keys() == state().keys()


def test_a_file_of_no_version(tmp_path: Path) -> None:
    file = write(tmp_path / "x.pth", state(), mmdet_version="mine")
    with pytest.raises(CheckpointError, match=r"x\.pth: says that MMDetection 'mine' has written"):
        read_weights(file)


def test_files_since_4_0_are_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "x.pth", state(), mmdet_version="4.1.0")
    with pytest.raises(CheckpointError, match=r"MMDetection 4\.1\.0; files of 1.x to 3.x"):
        read(file)


def test_the_zoo_has_files_of_the_version_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained with a development version that called itself 1.x, but laid out as in 2.0."""
    roi = {"bbox_head.fc_cls.weight": torch.arange(3)}
    file = write(tmp_path / "x.pth", roi, mmdet_version="1.1.0+abc")
    digits = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    file = file.rename(tmp_path / f"retinanet-{digits}.pth")
    moved = read_weights(file).tensors["roi_head.bbox_head.fc_cls.weight"]
    assert moved.tolist() == [1, 2, 0]
    entry = zoo.entry.Entry("x", zoo.entries()[0].experiment, weights=file.name)
    monkeypatch.setattr(zoo, "entries", lambda: (entry,))
    assert read_weights(file).tensors["bbox_head.fc_cls.weight"].tolist() == [0, 1, 2]
    file.write_bytes(write(tmp_path / "y.pth", {}, mmdet_version="1.1.0").read_bytes())
    with pytest.raises(CheckpointError, match="does not match the hash"):
        read(file)  # the name alone does not vouch for it


def test_a_configuration_that_is_code(tmp_path: Path) -> None:
    code = f"model = open({str(tmp_path / 'executed')!r}, 'w')\n"
    file = write(tmp_path / "x.pth", state(), config=code)
    with pytest.raises(ConfigError, match=r"x\.pth: .*line 1.*--weights"):
        read(file)
    assert not (tmp_path / "executed").exists()
    assert set(read_weights(file).tensors) == set(state())


def test_a_file_without_configuration(tmp_path: Path) -> None:
    file = write(tmp_path / "x.pth", state(), config=None)
    with pytest.raises(CheckpointError, match=r"x\.pth: names no configuration.*--weights"):
        read(file)


def test_missing_and_unknown_names_are_reported(tmp_path: Path) -> None:
    tensors = state()
    tensors["bbox_head.new"] = tensors.pop("bbox_head.retina_reg.bias")
    file = write(tmp_path / "x.pth", tensors)
    with pytest.raises(CheckpointError) as error:
        detzoo.load(file)
    assert "missing bbox_head.retina_reg.bias" in str(error.value)
    assert "unknown bbox_head.new" in str(error.value)


def test_weights_converted_to_safetensors(tmp_path: Path) -> None:
    """Bare weights, in V2's old names."""
    tensors = {"bbox_head.fcos_cls.weight": torch.ones(2)}
    save_file(tensors, tmp_path / "x.safetensors")
    found = read_weights(tmp_path / "x.safetensors")
    assert found.class_names is None
    assert list(found.tensors) == ["bbox_head.conv_cls.weight"]


def test_a_checkpoint_that_mmdetection_wrote() -> None:
    found = interpret(read_file(shared("weights", "yunet_n_mmdet2.24.pth")), "yunet.pth")
    assert (found.version, found.epoch, found.iteration) == ("2.24.1fe4ffb6", 560, 225680)
    assert found.class_names == ("FG",)
    assert len(found.tensors) == 208
    assert found.config()["model"]["bbox_head"]["kps_num"] == 5


def test_the_real_yolox_is_a_detector() -> None:
    detector = detzoo.load(shared("weights", "yolox_nano_8x8_300e_coco.pth"), device="cpu")
    assert detector.class_names[:2] == ("person", "bicycle")


def test_real_weights_fit_the_zoo() -> None:
    file = shared("weights", "yolox_nano_8x8_300e_coco.pth")
    detector = detzoo.load("yolox_nano_8x8_300e_coco", weights=file, device="cpu")
    assert len(detector.class_names) == 80


TRAINING_WORDS = [
    ("type='CocoDataset'", "type='MyDataset'"),
    ("workflow = [('train', 1)]", "workflow = [('train', 1), ('val', 1)]"),
    ("type='YOLOXModeSwitchHook'", "type='MyHook'"),
    ("type='RandomFlip', flip_ratio=0.5", "type='CutOut', n_holes=3"),
    ("resume_from = None", "resume_from = 'epoch_3.pth'"),
    ("checkpoint_config = dict(", "checkpoint_config = dict(save_last=True, "),
    ("optimizer = dict(", "optimizer = dict(mine=3, "),
    ("policy='YOLOX'", "policy='MyPolicy'"),
    ("type='SimOTAAssigner'", "type='MyAssigner'"),
]


def test_a_word_that_only_training_reads_changes_nothing_that_is_detected(tmp_path: Path) -> None:
    """In the configuration that MMDetection wrote into a real checkpoint, one by one and all."""
    content = dict(read_file(shared("weights", "yolox_nano_8x8_300e_coco.pth")))
    text = content["meta"]["config"]
    wanted = import_config(parse_config(text, "x.pth"), Reading("x.pth")).experiment
    for old, new in TRAINING_WORDS:
        changed = text.replace(old, new)
        assert changed != text, old
        found = import_config(parse_config(changed, "x.pth"), Reading("x.pth")).experiment
        assert found.data.test_transforms == wanted.data.test_transforms
        own, theirs = found.model, wanted.model
        assert (own.backbone, own.neck, own.bbox_head.select, own.pixels) == (
            theirs.backbone,
            theirs.neck,
            theirs.bbox_head.select,
            theirs.pixels,
        ), old
    for old, new in TRAINING_WORDS:
        text = text.replace(old, new)
    content["meta"] = {**content["meta"], "config": text}
    torch.save(content, tmp_path / "x.pth")
    detector = detzoo.load(tmp_path / "x.pth", device="cpu")
    detector.predict(np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(ConfigError, match=r"x\.pth: \d settings cannot be imported"):
        read(tmp_path / "x.pth", to_train=True)


def test_a_checkpoint_names_fewer_classes_than_its_model_has(tmp_path: Path) -> None:
    """Of a configuration whose num_classes was never changed; V2 trains and detects with it."""
    names = read(write(tmp_path / "x.pth", state(), CLASSES=("cat", "dog"))).class_names
    assert names == ("cat", "dog", "class_3", "class_4")
    detector = detzoo.load(tmp_path / "x.pth", device="cpu")
    assert detector.class_names == names
    config = tmp_path / "retinanet.py"
    config.write_text(dump(CONFIG))
    assert detzoo.load(config, tmp_path / "x.pth", device="cpu").class_names == names
    with pytest.raises(ConfigError, match=r"x\.pth: names 5 classes .*its model has 4"):
        read(write(tmp_path / "x.pth", state(), CLASSES=tuple("abcde")))
