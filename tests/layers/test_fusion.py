"""A fused copy gives the results of the model as it was, and nothing reaches the model."""

from __future__ import annotations

import copy
import itertools
import pickle
import threading
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from detzoo.layers import fusion
from detzoo.layers.activations import Activation
from detzoo.layers.conv_norm_act import ConvModule, conv_norm_act
from detzoo.layers.convolution import DeformConvConfig, WeightStandardizedConvConfig
from detzoo.layers.fusion import AbsorbedNorm, FusedConv2d, fuse, fuse_children
from detzoo.layers.norm import BatchNormConfig, GroupNormConfig, NormConfig

NORMS: tuple[NormConfig | None, ...] = (
    None,
    BatchNormConfig(),
    BatchNormConfig(fixed_statistics=True),
    BatchNormConfig(synchronized=True),
    GroupNormConfig(groups=2),
)


def module(norm: NormConfig | None = None, **options: object) -> ConvModule:
    """A module with statistics and weights that are not trivial."""
    torch.manual_seed(0)
    built = ConvModule(4, 6, 3, norm=norm, **options)  # type: ignore[arg-type]
    for tensor in (*built.parameters(), *built.buffers()):
        if tensor.is_floating_point():
            tensor.data.uniform_(0.5, 1.5)
    return built


@torch.no_grad()
@pytest.mark.parametrize("activation", get_args(Activation))
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("norm", NORMS, ids=str)
def test_results_are_the_same(
    activation: Activation, layout: torch.memory_format, norm: NormConfig | None
) -> None:
    """For kernels of all kinds, with a sum and without; the summand stays as it is."""
    kinds: tuple[dict[str, object], ...] = (
        {},
        {"groups": 2, "padding": 1},
        {"stride": 2, "padding": 2, "dilation": 2},
        {"convolution": WeightStandardizedConvConfig()},
        {"convolution": DeformConvConfig(groups=2, modulated=True), "padding": 1},
    )
    for options in kinds:
        plain = module(norm, activation=activation, **options).eval()
        fused = fuse(plain)
        assert isinstance(fused.conv, FusedConv2d) == ("Deform" not in str(options))
        absorbs = isinstance(norm, BatchNormConfig)
        assert isinstance(fused.norm, AbsorbedNorm) == absorbs
        x = torch.randn(2, 4, 9, 7).contiguous(memory_format=layout)
        torch.testing.assert_close(fused(x), plain(x), rtol=1e-4, atol=1e-5)
        shortcut = torch.randn_like(plain(x))
        before = shortcut.clone()
        expected = plain(x, shortcut=shortcut)
        torch.testing.assert_close(fused(x, shortcut=shortcut), expected, rtol=1e-4, atol=1e-5)
        assert torch.equal(shortcut, before)
        found = fused(x, shortcut=shortcut, reuse_shortcut=True)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_step_of_a_fused_optimizer_changes_the_next_evaluation() -> None:
    """torch's fused optimizers write weights without counting it."""
    plain = module(BatchNormConfig(fixed_statistics=True)).train()
    x = torch.randn(2, 4, 9, 7)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.5, fused=True)

    def evaluate() -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            return plain.eval()(x), fuse(plain)(x)

    before, fused_before = evaluate()
    plain.train()(x).square().mean().backward()
    optimizer.step()
    after, fused_after = evaluate()
    assert not torch.equal(before, after)
    torch.testing.assert_close(fused_before, before, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fused_after, after, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("norm", NORMS, ids=str)
def test_what_happens_to_the_model_does_not_reach_the_copy(norm: NormConfig | None) -> None:
    plain = module(norm).eval()
    fused = fuse(plain)
    x = torch.randn(2, 4, 9, 7)
    before = fused(x)
    for tensor in (*plain.parameters(), *plain.buffers()):
        tensor.data.numpy()[...] = 0
    assert torch.equal(fused(x), before)


def test_the_model_stays_as_it_was() -> None:
    plain = module(BatchNormConfig()).train()
    state = copy.deepcopy(plain.state_dict())
    children = dict(plain.named_modules())
    fuse(plain)(torch.randn(2, 4, 9, 7))
    assert dict(plain.named_modules()) == children
    assert plain.training
    assert plain.bn.training
    assert all(torch.equal(a, b) for a, b in zip(state.values(), plain.state_dict().values()))


@torch.no_grad()
def test_each_precision_has_a_kernel_of_its_own() -> None:
    plain = module(BatchNormConfig()).eval()
    fused = fuse(plain)
    x = torch.randn(2, 4, 9, 7)
    single = fused(x)
    with torch.autocast("cpu", torch.bfloat16):
        half = fused(x)
    assert half.dtype == torch.bfloat16
    largest = float(single.abs().max())
    torch.testing.assert_close(half.float(), single, rtol=0, atol=1e-2 * largest)
    assert torch.equal(fused(x), single)
    found, expected = fused.double()(x.double()), plain.double()(x.double())
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_what_was_seen_before_changes_nothing() -> None:
    """The layout of a kernel is that for the size of the input, whatever came before."""
    plain = module(BatchNormConfig()).eval()
    images = [torch.randn(n, 4, s, s) for n, s in ((1, 5), (3, 64), (2, 64), (1, 9), (1, 200))]
    forth, back = fuse(plain), fuse(plain)
    expected = [forth(x) for x in images]
    for x, out in zip(images[::-1], expected[::-1]):
        assert torch.equal(back(x), out)
        torch.testing.assert_close(out, plain(x), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_layout_is_held_once() -> None:
    """Whatever the number of sizes."""
    fused = fuse(nn.Conv2d(64, 48, 3))
    for count in (0, 1, 1, 4, 5, 7):
        assert len(fused(torch.randn(count, 64, 9, 7))) == count
    fused(torch.randn(1, 64, 50, 76))
    forms = list(fused._packed.values())
    if not forms:
        pytest.skip("PyTorch has no packed convolutions for this processor")
    assert len(forms) == 3, "none and one share a form, and so do 4 to 7"
    kept = {id(form): form.kernel for form in forms}.values()
    for a, b in itertools.combinations(kept, 2):
        assert not fusion._same_layout(a, b)
    size = (1, 64, 9, 7)
    again = fusion.pack(fused, fused.weight, fused.bias, size).kernel
    other = fusion.pack(fused, 2 * fused.weight, fused.bias, size).kernel
    assert fusion._same_layout(again, forms[0].kernel)
    assert not fusion._same_layout(other, forms[0].kernel)


def test_threads_of_two_precisions_do_not_disturb_each_other() -> None:
    fused = fuse(module(BatchNormConfig()).eval())
    sizes = (8, 16, 32, 64)
    wrong: list[object] = []

    @torch.no_grad()
    def work(dtype: torch.dtype) -> None:
        for number in range(100):
            x = torch.ones(1, 4, *(2 * [sizes[number % 4]]))
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
                out = fused(x)
            if out.dtype != dtype or not torch.equal(out, expected[dtype][number % 4]):
                wrong.append((dtype, number))

    expected = {}
    fresh = fuse(module(BatchNormConfig()).eval())
    with torch.no_grad():
        expected[torch.float32] = [fresh(torch.ones(1, 4, s, s)) for s in sizes]
        with torch.autocast("cpu", torch.bfloat16):
            expected[torch.bfloat16] = [fresh(torch.ones(1, 4, s, s)) for s in sizes]
    threads = [threading.Thread(target=work, args=(dtype,)) for dtype in expected for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@torch.no_grad()
@pytest.mark.parametrize("how", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), fuse])
def test_copies_of_a_copy(how: object) -> None:
    fused = fuse(module(BatchNormConfig()).eval())
    x = torch.randn(2, 4, 9, 7)
    before = fused(x)
    torch.testing.assert_close(how(fused)(x), before)  # type: ignore[operator]


def test_a_copy_is_for_inference_alone() -> None:
    fused = fuse(module(BatchNormConfig()))
    for use in (fused.train, fused.state_dict, lambda: fused.load_state_dict({})):
        with pytest.raises(RuntimeError, match="fused for inference"):
            use()
    assert fused.eval() is fused


def test_gradients_of_the_input_are_right() -> None:
    plain = module(BatchNormConfig()).eval()
    x = torch.randn(2, 4, 9, 7, requires_grad=True)
    (expected,) = torch.autograd.grad(plain(x).square().sum(), x)
    fused = fuse(plain)
    with torch.no_grad():
        fused(x)  # in inference first: packed
    (found,) = torch.autograd.grad(fused(x).square().sum(), x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_kernel_is_held_once() -> None:
    """Packed, it takes the place of what it was made of."""
    fused = fuse(nn.Conv2d(64, 64, 3))
    fused(torch.randn(1, 64, 9, 7))
    held = [v for v in vars(fused).values() if isinstance(v, Tensor)]
    packed = [form.kernel for form in fused._packed.values()]
    kernels = [t for t in held if t.dim() == 4]
    assert all(any(kernel is form for form in packed) for kernel in kernels)


def hooked(plain: ConvModule) -> None:
    plain.conv.register_forward_hook(lambda *_: None)


def hooked_norm(plain: ConvModule) -> None:
    plain.bn.register_forward_hook(lambda _, __, out: 2 * out)


def pruned(plain: ConvModule) -> None:
    prune.l1_unstructured(plain.conv, "weight", amount=0.5)


def weight_normed(plain: ConvModule) -> None:
    parametrizations.weight_norm(plain.conv)


def other_forward(plain: ConvModule) -> None:
    plain.conv.forward = lambda x: 3 * F.conv2d(x, plain.conv.weight)  # type: ignore[method-assign]


def without_norm(plain: ConvModule) -> None:
    plain.bn = nn.Identity()


def without_statistics(plain: ConvModule) -> None:
    plain.bn = nn.BatchNorm2d(6, track_running_stats=False)


def without_weights(plain: ConvModule) -> None:
    plain.bn = nn.BatchNorm2d(6, affine=False)


def reflecting(plain: ConvModule) -> None:
    plain.conv = nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect")


@pytest.mark.parametrize(
    "change",
    [
        hooked,
        hooked_norm,
        pruned,
        weight_normed,
        other_forward,
        without_norm,
        without_statistics,
        without_weights,
        reflecting,
    ],
)
def test_what_could_be_noticed_is_left_alone(change: object) -> None:
    plain = module(BatchNormConfig()).eval()
    change(plain)  # type: ignore[operator]
    x = torch.randn(2, 4, 9, 7)
    with torch.no_grad():
        torch.testing.assert_close(fuse(plain.eval())(x), plain(x), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_hooks_of_the_model_are_called_by_the_copy() -> None:
    plain = nn.Sequential(module(BatchNormConfig()), nn.ReLU()).eval()
    called: list[str] = []
    for name, child in plain.named_modules():
        child.register_forward_hook(lambda *_, name=name: called.append(name))
    fuse(plain)(torch.randn(2, 4, 9, 7))
    assert called == ["0.conv", "0.bn", "0", "1", ""]


@torch.no_grad()
def test_shared_layers_stay_shared() -> None:
    first, second = module(BatchNormConfig()), module(BatchNormConfig())
    second.conv = first.conv  # one kernel, two norms
    second.bn.running_mean += 3
    plain = nn.ModuleList([first, second, first]).eval()
    fused = fuse(plain)
    assert fused[0] is fused[2]
    x = torch.randn(2, 4, 9, 7)
    for ours, theirs in zip(fused, plain):
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


def test_some_children_alone() -> None:
    plain = nn.Sequential(module(BatchNormConfig()), nn.Conv2d(6, 4, 1))
    part = fuse_children(plain, [plain[0]])
    assert isinstance(part[0].conv, FusedConv2d)
    assert part[1] is plain[1]
    assert part is not plain
    x = torch.randn(2, 4, 9, 7)
    torch.testing.assert_close(part(x), plain.eval()(x), rtol=1e-4, atol=1e-5)


def test_methods_stored_in_a_module_are_those_of_the_copy() -> None:
    class Storing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 1)
            self.run = self.double_it

        def double_it(self, x: Tensor) -> Tensor:
            return 2 * conv_norm_act(x, self.conv)

        def forward(self, x: Tensor) -> Tensor:
            return self.run(x)

    plain = Storing()
    fused = fuse(plain)
    plain.conv.weight.data.zero_()
    assert fused(torch.ones(1, 4, 2, 2)).abs().sum() > plain(torch.ones(1, 4, 2, 2)).abs().sum()


@torch.no_grad()
def test_processors_without_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """oneDNN packs no kernels in bf16 for AVX2; convolutions are plain there."""
    monkeypatch.setattr(fusion, "_packable", lambda: (torch.float32,))
    plain = module(BatchNormConfig()).eval()
    fused = fuse(plain)
    x = torch.randn(2, 4, 9, 7)
    with torch.autocast("cpu", torch.bfloat16):
        half = fused(x)
    assert half.dtype == torch.bfloat16
    single = plain(x)
    torch.testing.assert_close(half.float(), single, rtol=0, atol=1e-2 * float(single.abs().max()))
