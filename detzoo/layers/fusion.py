"""Fusion for inference: :func:`fuse` copies a detector and fuses convolutions with subsequent
norms, shortcuts and activations.

The modules of detzoo compute layer by layer, and thus write and read every large map several times.
A fused copy folds batch norms into the kernels before them, stores kernels in the layout that
oneDNN (PyTorch's library for x86 CPUs) prefers for the size of their input, and adds shortcuts and
applies activations while a convolution writes its output, in place of the shortcut if nothing else
reads it.

The copy has its own tensors, and nothing in it changes afterwards except the layout of kernels. It
can therefore serve several threads and precisions at once, and later changes to the model do not
affect it. All evaluation code makes a copy and discards it: ``Predictor``, ``detzoo test``, each
evaluation during training. Modules with hooks, with parametrizations or of a class that is unknown
to this file are not fused: they run in the copy as they do in the model.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import platform
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, TypeGuard, TypeVar, cast, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Self

from detzoo.layers.activations import LEAK, Activation, activate
from detzoo.layers.convolution import DeformConv2d, StandardizedConv2d, WeightStandardizedConv2d
from detzoo.layers.norm import FixedBatchNorm2d, SynchronizedBatchNorm2d
from detzoo.layers.switchable import AdaptiveConv2d

M = TypeVar("M", bound=nn.Module)
# Convolutions whose output scales with their kernel.
CONVOLUTIONS: tuple[type[nn.Conv2d], ...] = (
    nn.Conv2d,
    WeightStandardizedConv2d,
    AdaptiveConv2d,
    DeformConv2d,
)
NORMS: tuple[type[nn.BatchNorm2d], ...] = (
    nn.BatchNorm2d,
    FixedBatchNorm2d,
    SynchronizedBatchNorm2d,
)


@runtime_checkable
class PairsNorms(Protocol):
    """A module that defines which convolution each of its norms follows."""

    def conv_norm_pairs(self) -> Iterable[tuple[nn.Module, nn.Module]]:
        """Pairs of a convolution and the norm that is the only user of its output."""


class AbsorbedNorm(nn.Identity):
    """Replaces a norm that was folded into the preceding convolution."""


def fuse(model: M, *, takes_over: bool = False) -> M:
    """Copies ``model`` for inference: the same results up to rounding, but faster on CPUs.

    The copy is in evaluation mode, has the same classes and shares no tensors with ``model``. With
    ``takes_over``, for a model that is no longer needed, it keeps the tensors that do not change.
    It can be neither trained nor saved. The copy keeps the hooks of ``model``. A model that already
    is such a copy is returned unchanged.
    """
    if any(isinstance(module, FusedConv2d) for module in model.modules()):
        return model
    with _untracked():
        return cast(M, _Copy(takes_over).of(model, {}))


def fuse_children(model: M, children: Iterable[nn.Module]) -> M:
    """Copies ``model`` with these children fused; they take over the tensors that do not change.
    All other children are the model's own."""
    with _untracked():
        return cast(M, _Copy(takes_over=True).of_children(model, list(children)))


class _Copy:
    """The copy of one module tree; shared modules and tensors are copied once."""

    def __init__(self, takes_over: bool) -> None:
        self._takes_over = takes_over
        self._modules: dict[int, nn.Module] = {}
        self._tensors: dict[int, Tensor] = {}

    def of(self, module: nn.Module, replaced: Mapping[int, nn.Module]) -> nn.Module:
        """Copies ``module``; ``replaced`` maps the ids of modules to their replacements."""
        if id(module) in replaced:
            return replaced[id(module)]
        if id(module) in self._modules:
            return self._modules[id(module)]
        if can_fuse(module) and not isinstance(module, DeformConv2d):
            kernel, bias = kernel_and_bias(module)
            fused: nn.Module = FusedConv2d(module, self._own(kernel), self._own(bias))
            self._modules[id(module)] = fused
            return fused
        if isinstance(module, PairsNorms):
            replaced = {**replaced, **self._pairs(module)}
        twin = self._modules[id(module)] = self._shell(module)
        children = module._modules.items()
        twin._modules = {name: m if m is None else self.of(m, replaced) for name, m in children}
        return twin

    def of_children(self, module: nn.Module, chosen: Sequence[nn.Module]) -> nn.Module:
        """A copy of ``module`` in which only the ``chosen`` children are copies."""
        replaced = self._pairs(module) if isinstance(module, PairsNorms) else {}
        twin = _shallow(module)
        twin._modules = {
            name: self.of(child, replaced) if child is not None and child in chosen else child
            for name, child in module._modules.items()
        }
        return twin

    def _shell(self, module: nn.Module) -> Any:
        """A copy of ``module`` in evaluation mode that still has the module's own children."""
        twin = _shallow(module)
        for name, value in vars(module).items():
            if isinstance(value, types.MethodType) and value.__self__ is module:
                setattr(twin, name, types.MethodType(value.__func__, twin))
        twin._parameters = {name: self._own(p) for name, p in module._parameters.items()}
        twin._buffers = {name: self._own(b) for name, b in module._buffers.items()}
        twin.training = False
        return twin

    def _own(self, tensor: Any) -> Any:
        if tensor is None or self._takes_over:
            return tensor
        if id(tensor) not in self._tensors:
            cloned = tensor.detach().clone()
            is_parameter = isinstance(tensor, nn.Parameter)
            own = nn.Parameter(cloned, requires_grad=False) if is_parameter else cloned
            self._tensors[id(tensor)] = own
        return self._tensors[id(tensor)]

    def _pairs(self, module: PairsNorms) -> dict[int, nn.Module]:
        """Replacements of the convolutions of ``module`` that absorb a norm, and of those norms."""
        replaced: dict[int, nn.Module] = {}
        for conv, norm in module.conv_norm_pairs():
            if not (can_fuse(conv) and can_fold(norm)):
                continue
            kernel, bias = fold(conv, norm)
            if isinstance(conv, DeformConv2d):
                twin = self._shell(conv)
                twin._modules = {"conv_offset": self.of(conv.conv_offset, {})}
                twin._parameters = {
                    "weight": nn.Parameter(kernel, requires_grad=False),
                    "bias": nn.Parameter(bias, requires_grad=False),
                }
                replaced[id(conv)] = twin
            else:
                replaced[id(conv)] = FusedConv2d(conv, kernel, bias)
            replaced[id(norm)] = AbsorbedNorm()
        return replaced


def _shallow(module: nn.Module) -> Any:
    """A shallow copy. (Parametrized modules refuse ``copy.copy``.)"""
    twin = object.__new__(type(module))
    twin.__dict__.update(module.__dict__)
    return twin


def can_fuse(conv: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether ``conv`` is one of :data:`CONVOLUTIONS` with zero padding and without hooks."""
    return (
        is_known(conv, CONVOLUTIONS)
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
    )


def can_fold(norm: nn.Module) -> TypeGuard[nn.BatchNorm2d]:
    """Whether ``norm`` is one of :data:`NORMS` with running statistics and without hooks."""
    return is_known(norm, NORMS) and norm.running_mean is not None


def is_known(module: nn.Module, kinds: tuple[type[M], ...]) -> TypeGuard[M]:
    """Whether ``module`` is exactly one of ``kinds``: no subclass, own ``forward`` or hooks."""
    return type(module) in kinds and "forward" not in vars(module) and not has_hooks(module)


def has_hooks(module: nn.Module) -> bool:
    """Whether hooks observe or change the input or output of ``module``."""
    hooks = (module._forward_hooks, module._forward_pre_hooks)
    hooks_back = (module._backward_hooks, module._backward_pre_hooks)
    return any(hooks) or any(hooks_back) or nn.modules.module._has_any_global_hook()


def kernel_and_bias(conv: nn.Conv2d) -> tuple[Tensor, Tensor | None]:
    """The kernel and bias with which ``conv``, one of :data:`CONVOLUTIONS`, convolves."""
    kernel = conv.kernel() if isinstance(conv, StandardizedConv2d) else conv.weight
    return kernel, conv.bias


def fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Kernel and bias of the convolution that equals ``norm(conv(x))`` with running statistics.

    With given statistics, a norm is a scale and a shift per channel. Scaling the kernel is far
    cheaper than scaling its output, forward and backward, and through the product autograd finds
    the same gradients for the norm's weight and bias.
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var + norm.eps).rsqrt()
    if norm.affine:
        scale = norm.weight * scale
    shift = -norm.running_mean * scale
    if norm.affine:
        shift = norm.bias + shift
    kernel, bias = kernel_and_bias(conv)
    if bias is not None:
        shift = shift + bias * scale
    return kernel * scale[:, None, None, None], shift


# --------------------------------------------------------------------------- in place of a layer


@dataclass(frozen=True)
class _Form:
    """A kernel in one precision and layout."""

    kernel: Tensor
    bias: Tensor | None


class FusedConv2d(nn.Module):
    """A convolution, the norm after it, a sum and an activation in one operation.

    Keeps its kernel once per precision and layout in use. oneDNN chooses the layout by the size of
    the input; a kernel in another one is reordered for every input, which can take longer than the
    convolution itself, for instance in heads that all levels of a pyramid share.
    """

    def __init__(self, conv: nn.Conv2d, kernel: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.training = False
        self.in_channels, self.out_channels = conv.in_channels, conv.out_channels
        self.kernel_size, self.stride = conv.kernel_size, conv.stride
        self.padding, self.dilation, self.groups = conv.padding, conv.dilation, conv.groups
        self._kernel, self._bias = kernel.detach(), None if bias is None else bias.detach()
        self._plain: dict[torch.dtype, _Form] = {}
        self._packed: dict[tuple[torch.dtype, tuple[int, ...]], _Form] = {}

    @property
    def weight(self) -> Tensor:
        """(out, in / groups, h, w): the kernel, including the norm's scale."""
        kernel = self._kernel
        return kernel.to_dense() if kernel.is_mkldnn else kernel

    @property
    def bias(self) -> Tensor | None:
        return self._bias

    def forward(
        self,
        x: Tensor,
        activation: Activation = "none",
        shortcut: Tensor | None = None,
        reuse_shortcut: bool = False,
    ) -> Tensor:
        """Convolves x, adds ``shortcut`` and applies the activation.

        With ``reuse_shortcut``, the result may overwrite ``shortcut``.
        """
        device = x.device.type
        autocast = device != "meta" and torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else self._kernel.dtype
        if not can_pack(x, dtype):
            form = self._plain_form(dtype)
            out = F.conv2d(x.to(dtype), form.kernel, form.bias, *_place(self))
            return finish(out, activation, shortcut)
        form = self._packed_form(dtype, x)
        return packed_convolution(self, x, form, activation, shortcut, reuse_shortcut)

    # Kernels are read once and replaced as a whole, so that threads see the old or the new ones.

    def _plain_form(self, dtype: torch.dtype) -> _Form:
        kernel = self._kernel
        if dtype == kernel.dtype and not kernel.is_mkldnn:
            return _Form(kernel, self._bias)
        form = self._plain.get(dtype)
        if form is None:
            with _untracked():
                form = _Form(self.weight.to(dtype), _to(self._bias, dtype))
            if not torch.compiler.is_compiling():
                self._plain = {**self._plain, dtype: form}
        return form

    def _packed_form(self, dtype: torch.dtype, x: Tensor) -> _Form:
        # Regions of interest come in all numbers: those of a power of two share a form.
        number, *rest = x.shape
        size = (1 << max(number, 1).bit_length() - 1, *rest)
        form = self._packed.get((dtype, size))
        if form is None:
            with _untracked():
                form = pack(self, self.weight.to(dtype), _to(self._bias, dtype), size)
            alike = (f for f in self._packed.values() if _same_layout(f.kernel, form.kernel))
            form = next(alike, form)
            self._packed = {**self._packed, (dtype, size): form}
            if dtype == self._kernel.dtype and not self._kernel.is_mkldnn:
                self._kernel = form.kernel  # exact in this layout, too, and stored once
        return form

    def train(self, mode: bool = True) -> Self:
        if mode:
            _refuse("be trained")
        return self

    def _save_to_state_dict(self, *_: object) -> NoReturn:
        _refuse("return a state dict")

    def _load_from_state_dict(self, *_: object) -> NoReturn:
        _refuse("load a state dict")

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._kernel = fn(self.weight)
        self._bias = None if self._bias is None else fn(self._bias)
        self._plain, self._packed = {}, {}
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kernel": self.weight, "_plain": {}, "_packed": {}}

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"


def _refuse(what: str) -> NoReturn:
    raise RuntimeError(
        f"this detector is fused for inference and cannot {what}. Use the original detector, "
        "or load one with detzoo.load(..., fused=False)."
    )


# ------------------------------------------------------------------------------ one operation


def convolve(conv: nn.Conv2d, x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """Applies ``conv`` with another kernel and bias."""
    if isinstance(conv, DeformConv2d):
        return conv.sample(x, kernel, bias)
    return F.conv2d(x, kernel, bias, *_place(conv))


def finish(out: Tensor, activation: Activation, shortcut: Tensor | None) -> Tensor:
    """Adds ``shortcut`` to ``out``, which nothing else uses, and applies the activation."""
    out = out if shortcut is None else out + shortcut
    return F.relu(out, inplace=True) if activation == "relu" else activate(out, activation)


def pack(
    conv: nn.Conv2d | FusedConv2d, kernel: Tensor, bias: Tensor | None, size: Sequence[int]
) -> _Form:
    """Packs the kernel in the optimal layout for inputs of this size."""
    place = (conv.padding, conv.stride, conv.dilation, conv.groups)
    packed = torch.ops.mkldnn._reorder_convolution_weight(kernel, *place, list(size))
    return _Form(packed, bias)


def _same_layout(a: Tensor, b: Tensor) -> bool:
    """Whether two packed forms of one kernel are the same: oneDNN names layouts to nobody, but in
    another one, the values have other places."""
    return a.dtype == b.dtype and np.array_equal(_memory(a), _memory(b))


def _memory(packed: Tensor) -> np.ndarray:
    """The bytes of a packed kernel, which must outlive them."""
    start, count = torch.ops.mkldnn.data_ptr(packed), torch.ops.mkldnn._nbytes(packed)
    return np.frombuffer((ctypes.c_char * count).from_address(start), np.uint8)


def packed_convolution(
    conv: nn.Conv2d | FusedConv2d,
    x: Tensor,
    form: _Form,
    activation: Activation,
    shortcut: Tensor | None,
    reuse_shortcut: bool,
) -> Tensor:
    """Convolves x with a packed kernel, adds ``shortcut`` and applies the activation."""
    dtype = form.kernel.dtype
    x = x.to(dtype, memory_format=torch.channels_last)
    place = (conv.padding, conv.stride, conv.dilation, conv.groups)
    if shortcut is None:
        return torch.ops.mkldnn._convolution_pointwise(
            x, form.kernel, form.bias, *place, *_POINTWISE[activation], ""
        )
    given = shortcut
    shortcut = shortcut.to(dtype, memory_format=torch.channels_last)
    if shortcut is given and not reuse_shortcut:
        shortcut = shortcut.clone(memory_format=torch.channels_last)
    # The ReLU is the only activation that a fused sum supports.
    relu = "relu" if activation == "relu" else None
    # The sum overwrites the shortcut, which avoids allocating and writing another map.
    out = torch.ops.mkldnn._convolution_pointwise_.binary(
        shortcut, x, form.kernel, form.bias, *place, "add", 1.0, relu, [], ""
    )
    return out if relu else activate(out, activation)


# oneDNN's names and arguments.
_POINTWISE: dict[Activation, tuple[str, list[float]]] = {
    "none": ("none", []),
    "relu": ("relu", []),
    "relu6": ("hardtanh", [0.0, 6.0]),
    "leaky_relu": ("leaky_relu", [LEAK]),
    "silu": ("swish", []),
}


def can_pack(x: Tensor, dtype: torch.dtype) -> bool:
    """Whether a convolution of x may use oneDNN's fused operations, which PyTorch can neither
    differentiate nor trace."""
    return (
        is_concrete(x)
        and x.device.type == "cpu"
        and dtype in _packable()
        and not (torch.is_grad_enabled() and x.requires_grad)
    )


def is_concrete(x: Tensor) -> bool:
    """Whether x contains actual values: it is not a placeholder of a tracer or compiler, nor a
    batch of ``vmap``.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    return type(x) is Tensor and not torch._C._functorch.is_functorch_wrapped_tensor(x)


@functools.cache
def _packable() -> tuple[torch.dtype, ...]:
    """The dtypes for which this machine and PyTorch version have fused convolutions."""
    here = torch.backends.mkldnn.is_available() and platform.machine() in ("x86_64", "AMD64")
    ops = (
        "_convolution_pointwise",
        "_convolution_pointwise_",
        "_reorder_convolution_weight",
        "data_ptr",
        "_nbytes",
    )
    if not here or not all(hasattr(torch.ops.mkldnn, name) for name in ops):
        return ()
    # oneDNN refuses to pack for bfloat16 where the processor does not compute in it.
    in_bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return (torch.float32, torch.bfloat16) if in_bf16 else (torch.float32,)


def _place(conv: nn.Conv2d | FusedConv2d) -> tuple[Any, ...]:
    return conv.stride, conv.padding, conv.dilation, conv.groups


def _to(tensor: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if tensor is None else tensor.to(dtype)


@contextlib.contextmanager
def _untracked() -> Iterator[None]:
    """Context in which created tensors can be used anywhere, including where gradients are
    recorded.
    """
    with torch.inference_mode(False), torch.no_grad():
        yield
