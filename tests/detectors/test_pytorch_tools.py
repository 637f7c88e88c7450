"""What people do with PyTorch modules works on ours."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.feature_extraction import create_feature_extractor

from detzoo.coders.delta import DeltaCoder
from detzoo.detectors.base import Detector
from detzoo.detectors.single_stage import SingleStage
from detzoo.layers.fusion import fuse
from detzoo.layers.norm import BatchNormConfig
from detzoo.priors.anchors import AnchorGrid
from tests.detectors import models

FIXED, LEARNED = BatchNormConfig(fixed_statistics=True), BatchNormConfig()


def retinanet(norm: BatchNormConfig = LEARNED, frozen_stages: int = -1) -> Detector:
    torch.manual_seed(0)
    backbone = dataclasses.replace(models.BACKBONE, norm=norm, frozen_stages=frozen_stages)
    model = dataclasses.replace(models.retinanet(), backbone=backbone).build(models.CLASSES)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
    assert isinstance(model, SingleStage)
    return model.to(memory_format=torch.channels_last)


class Features(nn.Module):
    """Backbone and neck: pixels -> five maps."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        return self.detector.extract_features(pixels)


X = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def assert_same(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        scale = float(theirs.detach().abs().max())
        torch.testing.assert_close(ours / scale, theirs / scale, rtol=0, atol=2e-5)


# ------------------------------------------------------------------------------------- hooks


@pytest.mark.parametrize("norm", [FIXED, LEARNED], ids=["fixed", "learned"])
@pytest.mark.parametrize("frozen_stages", [-1, 1])
@pytest.mark.parametrize("mode", ["training", "evaluation", "fused"])
def test_every_layer_calls_its_hooks(norm: BatchNormConfig, frozen_stages: int, mode: str) -> None:
    """Feature capture, observers, pruning and their kind."""
    model = retinanet(norm, frozen_stages).train(mode == "training")
    called = dict.fromkeys(
        (n for n, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.BatchNorm2d))), 0
    )
    for name in called:
        model.get_submodule(name).register_forward_hook(
            lambda *_, name=name: called.update({name: called[name] + 1})
        )
    images = models.images()
    images = dataclasses.replace(
        images, pixels=images.pixels.contiguous(memory_format=torch.channels_last)
    )
    with torch.set_grad_enabled(mode == "training"):
        (fuse(model) if mode == "fused" else model)(images)
    # A head's layers see each of the five levels.
    assert {n: c for n, c in called.items() if c != (5 if "bbox_head" in n else 1)} == {}


def test_maps_that_hooks_keep_are_those_of_the_layer() -> None:
    model = retinanet(FIXED).eval()
    kept: dict[str, Tensor] = {}
    names = [n for n, m in model.named_modules() if n.startswith("backbone.")]
    for name in names:
        model.get_submodule(name).register_forward_hook(
            lambda _, __, out, name=name: kept.setdefault(name, out)
        )
    with torch.no_grad():
        fuse(model).extract_features(X)
        seen_by_copy = {name: kept[name].clone() for name in kept}
        kept.clear()
        model.extract_features(X)
    assert kept.keys() == seen_by_copy.keys() == set(names)
    for name in names:
        assert_same((seen_by_copy[name],), (kept[name],))


@pytest.mark.parametrize("layer", ["layer4", "layer4.1", "layer4.1.bn2", "layer4.1.conv2"])
def test_grad_cam(layer: str) -> None:
    """A map and its gradient at the end of a stage, in evaluation."""
    model = retinanet(FIXED).eval()
    seen: dict[str, Tensor] = {}
    stage = model.backbone.get_submodule(layer)
    stage.register_forward_hook(lambda _, __, out: seen.update(map=out))
    stage.register_full_backward_hook(lambda _, __, out: seen.update(gradient=out[0]))
    model.extract_features(X.clone().requires_grad_())[-1].sum().backward()
    assert seen["gradient"].shape == seen["map"].shape
    assert seen["gradient"].any()


def test_operations_are_counted() -> None:
    counts = []
    for mode in (True, False):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            Features(retinanet(FIXED).train(mode))(X)
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 1e7


# ------------------------------------------------------------------------ tracers and compilers


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("norm", [FIXED, LEARNED], ids=["fixed", "learned"])
def test_features_by_symbolic_tracing(norm: BatchNormConfig, training: bool) -> None:
    backbone = retinanet(norm).backbone.train(training)
    nodes = {"conv1": "stem", "layer2": "second", "layer3.0.bn1": "inside"}
    extractor = create_feature_extractor(copy.deepcopy(backbone), nodes)
    found = extractor(X)
    expected: dict[str, Tensor] = {}
    for name, key in nodes.items():
        backbone.get_submodule(name).register_forward_hook(
            lambda _, __, out, key=key: expected.setdefault(key, out)
        )
    backbone(X)
    for key in nodes.values():
        assert_same((found[key],), (expected[key],))


def test_tracing() -> None:
    model = Features(retinanet(FIXED).eval())
    with torch.no_grad():
        with pytest.warns(FutureWarning, match="deprecated"):
            traced = torch.jit.trace(model, X)
        assert_same(traced(X), model(X))


def test_export() -> None:
    model = Features(retinanet().eval())
    with torch.no_grad():
        exported = torch.export.export(model, (X,))
        assert_same(exported.module()(X), model(X))


def test_compiling() -> None:
    """Plain and fused, and a training step."""
    model = Features(retinanet(FIXED).eval())
    with torch.no_grad():
        expected = model(X)
        for subject in (model, fuse(model)):
            compiled = torch.compile(subject, backend="aot_eager", fullgraph=True)
            assert_same(compiled(X), expected)
    torch.compiler.reset()
    model.train()
    compiled = torch.compile(model, backend="aot_eager")
    sum(level.sum() for level in compiled(X)).backward()
    gradient = model.detector.backbone.get_parameter("layer2.0.conv1.weight").grad
    assert gradient is not None
    assert gradient.any()


def test_an_ensemble_by_vmap() -> None:
    members = [Features(retinanet(FIXED)).eval() for _ in range(2)]
    nn.init.normal_(members[1].detector.backbone.get_parameter("conv1.weight"))
    parameters, buffers = stack_module_state(members)

    def call(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return functional_call(members[0], (parameters, buffers), (X,))

    for enabled in (True, False):
        with torch.set_grad_enabled(enabled):
            found = vmap(call)(parameters, buffers)
            for number, member in enumerate(members):
                assert_same(tuple(level[number] for level in found), member(X))


def test_meta() -> None:
    """Shapes without numbers."""
    for training in (False, True):
        with torch.device("meta"):
            model = retinanet(FIXED, frozen_stages=1).train(training)
        x = torch.empty(X.shape, device="meta", memory_format=torch.channels_last)
        shapes = [level.shape for level in model.extract_features(x)]
        assert shapes[0] == (2, 16, 8, 12)
        with torch.no_grad():
            assert [level.shape for level in fuse(model).extract_features(x)] == shapes


def test_fake_tensors() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    model = retinanet(FIXED, frozen_stages=1)
    for training in (False, True):
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            x = mode.from_tensor(X.contiguous(memory_format=torch.channels_last))
            levels = model.train(training).extract_features(x)
            assert levels[0].shape == (2, 16, 8, 12)


# ------------------------------------------------------------------------------------- copies


@pytest.mark.parametrize("how", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), fuse])
def test_copies(how: Callable[[Detector], Detector]) -> None:
    """Independent of each other, also once they have detected."""
    model = retinanet(FIXED).eval()
    with torch.no_grad():
        expected = model.extract_features(X)
        fuse(model).extract_features(X)
        copied = how(model)
        for parameter in model.parameters():
            parameter.data.zero_()
        assert_same(copied.extract_features(X), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(dtype: torch.dtype) -> None:
    model = retinanet(FIXED).eval()
    with torch.no_grad():
        expected = model.extract_features(X)
        fused = fuse(model)
        for subject in (model.to(dtype), fused.to(dtype)):
            found = subject.extract_features(X.to(dtype))
            assert all(level.dtype == dtype for level in found)
            error = max(float((a - b).abs().max()) for a, b in zip(found, expected))
            assert error < 0.1 * max(float(level.abs().max()) for level in expected)


def test_threads_and_precisions() -> None:
    """One model in several threads, each in its own precision."""
    model = fuse(retinanet(FIXED))
    wrong: list[str] = []

    @torch.no_grad()
    def work(precision: torch.dtype) -> None:
        for _ in range(30):
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
                found = model.extract_features(X)
            if any(not torch.equal(a, b) for a, b in zip(found, expected[precision])):
                wrong.append(str(precision))

    expected = {}
    for precision in (torch.float32, torch.bfloat16):
        with (
            torch.no_grad(),
            torch.autocast("cpu", precision, enabled=precision != torch.float),
        ):
            expected[precision] = fuse(retinanet(FIXED)).extract_features(X)
    threads = [threading.Thread(target=work, args=(p,)) for p in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_export_leaves_nothing_behind() -> None:
    """Constants that are made while exporting are fake; later detections must not meet them."""
    priors, coder = AnchorGrid(scales=(3.25,)), DeltaCoder(stds=(0.3, 0.3, 0.6, 0.6))

    class Decode(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            boxes = priors.place(((x.shape[2], x.shape[3]),), (8,), x.device).boxes
            return coder.decode(boxes, torch.zeros_like(boxes))

    torch.export.export(Decode(), (X,))
    assert type(Decode()(X)) is Tensor
