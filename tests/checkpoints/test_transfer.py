from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from detzoo.backbones.mobilenet_v2 import MobileNetV2Config
from detzoo.backbones.resnet import ResNetConfig
from detzoo.checkpoints.transfer import BackboneReport, initialize, initialize_backbone
from detzoo.errors import CheckpointError
from detzoo.experiment import Experiment
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.roi.shared_stage import SharedStageConfig
from tests.tiny import BACKBONE, tiny_mask_rcnn, tiny_retinanet


def rows(layout: ClassRows, classes: list[int], num_classes: int) -> list[int]:
    return layout.index(torch.tensor(classes, dtype=torch.long), num_classes).tolist()


def test_rows_of_each_layout() -> None:
    assert rows(ClassRows(), [2, 0], 3) == [2, 0]
    assert rows(ClassRows(shared=1), [1], 3) == [1, 3]
    assert rows(ClassRows(shared=1), [], 3) == [3]
    assert rows(ClassRows(width=4), [1], 3) == [4, 5, 6, 7]
    assert rows(ClassRows(groups=3), [1], 2) == [1, 3, 5]
    assert rows(ClassRows(groups=2, shared=1), [0], 2) == [0, 2, 3, 5]
    assert rows(ClassRows(groups=2, width=2, shared=1), [0], 1) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert rows(ClassRows(groups=2, leading=2), [1], 2) == [0, 1, 3, 4, 5, 7]


@pytest.mark.parametrize("make", [tiny_retinanet, tiny_mask_rcnn])
def test_the_declared_parameters_are_those_that_depend_on_the_classes(make) -> None:  # type: ignore[no-untyped-def]
    """The declaration is complete, and its arithmetic gives the real number of rows."""
    models = {n: make(tuple(f"c{i}" for i in range(n))).build_model() for n in (2, 5)}
    two, five = models[2].state_dict(), models[5].state_dict()
    changed = {name for name in two if two[name].shape != five[name].shape}
    declared = models[2].class_parameters()
    assert set(declared) == changed
    for name, layout in declared.items():
        assert [layout.count(n) for n in (2, 5)] == [len(two[name]), len(five[name])]


def numbered(experiment: Experiment) -> dict[str, Tensor]:
    """Weights that are all different."""
    state = experiment.build_model().state_dict()
    return {
        name: (torch.arange(value.numel(), dtype=torch.float64) + i * 1e6)
        .reshape(value.shape)
        .to(value)
        for i, (name, value) in enumerate(state.items())
    }


OLD, NEW = ("ant", "bee", "cow", "doe"), ("eel", "cow", "ant")


def test_retinanet_rows_by_name() -> None:
    weights = numbered(tiny_retinanet(OLD))
    model = tiny_retinanet(NEW).build_model()
    fresh = {name: value.clone() for name, value in model.state_dict().items()}
    transfer = initialize(model, weights, from_names=OLD, to_names=NEW)
    assert transfer.copied == ("cow", "ant")
    assert transfer.fresh == ("eel",)
    assert transfer.unused == ("bee", "doe")
    state = model.state_dict()
    for name in ("bbox_head.retina_cls.weight", "bbox_head.retina_cls.bias"):
        for anchor in range(9):
            new, old = state[name][anchor * 3 :], weights[name][anchor * 4 :]
            assert torch.equal(new[1], old[2])  # cow
            assert torch.equal(new[2], old[0])  # ant
            assert torch.equal(new[0], fresh[name][anchor * 3])  # eel
    for name in set(state) - set(model.class_parameters()):
        assert torch.equal(state[name], weights[name]), name


def test_mask_rcnn_rows_by_name() -> None:
    weights = numbered(tiny_mask_rcnn(OLD))
    model = tiny_mask_rcnn(NEW).build_model()
    fresh = {name: value.clone() for name, value in model.state_dict().items()}
    initialize(model, weights, from_names=OLD, to_names=NEW)
    state = model.state_dict()
    classifier, boxes = "roi_head.bbox_head.fc_cls.weight", "roi_head.bbox_head.fc_reg.bias"
    masks = "roi_head.mask_head.conv_logits.weight"
    assert torch.equal(state[classifier][1:], weights[classifier][[2, 0, 4]])  # and background
    assert torch.equal(state[classifier][0], fresh[classifier][0])
    assert torch.equal(state[boxes][4:8], weights[boxes][8:12])
    assert torch.equal(state[boxes][8:12], weights[boxes][0:4])
    assert torch.equal(state[boxes][:4], fresh[boxes][:4])
    assert torch.equal(state[masks][1:], weights[masks][[2, 0]])


def test_no_shared_name_is_no_error() -> None:
    weights = numbered(tiny_mask_rcnn(("x", "y")))
    model = tiny_mask_rcnn(("a",)).build_model()
    transfer = initialize(model, weights, from_names=("x", "y"), to_names=("a",))
    assert transfer.copied == ()
    assert transfer.fresh == ("a",)
    name = "roi_head.bbox_head.fc_cls.bias"
    assert torch.equal(model.state_dict()[name][1], weights[name][2])  # background


def test_the_same_classes_copy_everything() -> None:
    weights = numbered(tiny_mask_rcnn(OLD))
    model = tiny_mask_rcnn(OLD).build_model()
    initialize(model, weights, from_names=OLD, to_names=OLD)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_another_model() -> None:
    model = tiny_mask_rcnn().build_model()
    with pytest.raises(CheckpointError, match=r"^x\.pt: its weights belong to another model"):
        initialize(
            model, numbered(tiny_retinanet()), from_names=OLD, to_names=("cat",), source="x.pt"
        )


def test_other_classes_than_the_names_say() -> None:
    model = tiny_retinanet().build_model()
    weights = numbered(tiny_retinanet(OLD))
    with pytest.raises(CheckpointError, match=r"retina_cls.* instead of .* for its 2 classes"):
        initialize(model, weights, from_names=("cat", "dog"), to_names=("cat", "dog"))


# --------------------------------------------------------------------------------- the backbone


def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: dict[str, Tensor]) -> None:
    torch.save(weights, tmp_path / "resnet18-f37072fd.pth")
    monkeypatch.setenv("DETZOO_WEIGHTS", str(tmp_path))


def test_backbone_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = {name: value + 1 for name, value in BACKBONE.build().state_dict().items()}
    del weights["bn1.num_batches_tracked"]
    absent = weights.pop("layer2.0.conv1.weight")
    published(tmp_path, monkeypatch, {**weights, "fc.weight": torch.ones(1), "fc.bias": absent})
    backbone = BACKBONE.build()
    report = initialize_backbone((backbone,), "torchvision://resnet18")
    assert report.missing == ("layer2.0.conv1.weight",)
    assert report.unexpected == ("fc.weight", "fc.bias")
    state = backbone.state_dict()
    assert all(torch.equal(state[name], value) for name, value in weights.items())


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        ({"other": torch.ones(1)}, "none of its tensor names is known"),
        ({"conv1.weight": torch.ones(1)}, r"conv1.weight has shape \(1,\)"),
    ],
)
def test_weights_of_another_backbone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: dict[str, Tensor], reason: str
) -> None:
    published(tmp_path, monkeypatch, weights)
    with pytest.raises(CheckpointError, match=reason):
        initialize_backbone((BACKBONE.build(),), "torchvision://resnet18")


def test_weights_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETZOO_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with pytest.raises(CheckpointError) as caught:
        initialize_backbone((BACKBONE.build(),), "torchvision://resnet18")
    for text in ("resnet18-f37072fd.pth", str(tmp_path), str(tmp_path / "torch"), "--from-scratch"):
        assert text in str(caught.value)


def test_torchvision_names_are_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision

    weights = torchvision.models.resnet18().state_dict()
    published(tmp_path, monkeypatch, weights)
    report = initialize_backbone((ResNetConfig(depth=18).build(),), "torchvision://resnet18")
    assert report.missing == ()
    assert report.unexpected == ("fc.weight", "fc.bias")


def test_mobilenet_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = MobileNetV2Config()
    weights = {name: value + 1 for name, value in config.build().state_dict().items()}
    arrays = {name: value.numpy() for name, value in weights.items()}
    np.savez(tmp_path / "mobilenet_v2_imagenet.npz", **arrays)
    monkeypatch.setenv("DETZOO_WEIGHTS", str(tmp_path))
    backbone = config.build()
    report = initialize_backbone((backbone,), "mobilenet_v2_imagenet")
    assert report.missing == report.unexpected == ()
    assert all(torch.equal(v, weights[name]) for name, v in backbone.state_dict().items())


def test_weights_of_unknown_classes_give_no_class_rows() -> None:
    """Bare weights name no classes; the same number of them means nothing."""
    trained = numbered(tiny_retinanet(OLD))
    model = tiny_retinanet(OLD).build_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    transfer = initialize(model, trained, from_names=None, to_names=OLD)
    assert transfer.copied == ()
    assert transfer.fresh == tuple(OLD)
    after = model.state_dict()
    for name in trained:
        source = before if name in model.class_parameters() else trained
        assert torch.equal(after[name], source[name]), name


def test_shared_stage_starts_from_the_backbone_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C4: the stage that runs on regions continues the backbone's names."""
    whole = ResNetConfig(depth=18).build()
    torch.save(whole.state_dict(), tmp_path / "resnet18-f37072fd.pth")
    monkeypatch.setenv("DETZOO_WEIGHTS", str(tmp_path))
    config = ResNetConfig(depth=18)
    start = dataclasses.replace(config, strides=(1, 2, 2), dilations=(1, 1, 1), out_stages=(2,))
    backbone, shared = start.build(), SharedStageConfig(resnet=config).build(256)
    report = initialize_backbone((backbone, shared), "torchvision://resnet18")
    assert report == BackboneReport(missing=(), unexpected=())
    assert torch.equal(shared.layer4[0].conv1.weight, whole.layer4[0].conv1.weight)
