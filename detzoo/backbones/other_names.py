"""Maps other projects' names of backbone weights to MMDetection's.

Each function takes tensors by name and returns them under MMDetection's names, or None if it does
not recognize the names. Classifiers and other unused tensors keep their names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from detzoo.backbones.mobilenet_v2 import STAGES

Tensors = Mapping[str, Tensor]


def to_backbone_names(tensors: Tensors) -> dict[str, Tensor]:
    """Renames ``tensors`` from any supported project to the parameter names of detzoo's backbones.

    From a whole detector or classifier, only the backbone is kept.
    """
    for prefix in ("backbone.bottom_up.", "backbone."):
        inner = {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}
        tensors = inner or tensors
    converters = (
        *(from_detectron, from_detectron2, from_pycls),
        *(from_pvt, from_swin, from_convnext, from_torchvision_mobile),
    )
    for convert in converters:
        converted = convert(tensors)
        if converted is not None:
            return converted
    return dict(tensors)


def from_detectron(tensors: Tensors) -> dict[str, Tensor] | None:
    """ResNet with Caffe2's names, as published by Detectron and Detectron2:
    ``res2_0_branch2a_w``."""
    if "res2_0_branch2a_w" not in tensors:
        return None
    named = {}
    for name, value in tensors.items():
        # res_conv1_bn_s, or conv1_gn_s: the norm of the stem.
        stem = re.fullmatch(r"(?:res_)?conv1(?:_([bg]n))?_(\w+)", name)
        block = re.fullmatch(r"res([2-5])_(\d+)_branch(1|2[abc])(?:_([bg]n))?_(\w+)", name)
        if stem:
            norm, blob = stem.groups()
            new = f"{norm}1" if norm else "conv1"
        elif block:
            stage, number, branch, norm, blob = block.groups()
            new = f"layer{int(stage) - 1}.{number}." + _block_part(branch, norm)
        else:
            named[name] = value
            continue
        named[f"{new}.{_BLOBS.get(blob, blob)}"] = value
    return _with_statistics(named)


_BLOBS = {
    "w": "weight",
    "b": "bias",
    "s": "weight",
    "gamma": "weight",
    "beta": "bias",
    "rm": "running_mean",
    "riv": "running_var",
}


def _block_part(branch: str, norm: str | None) -> str:
    if branch == "1":
        return "downsample.1" if norm else "downsample.0"
    number = "abc".index(branch[1]) + 1
    return f"{norm}{number}" if norm else f"conv{number}"


def from_detectron2(tensors: Tensors) -> dict[str, Tensor] | None:
    """Detectron2's ResNet: ``res2.0.conv1.norm.weight``."""
    if "res2.0.conv1.weight" not in tensors:
        return None
    # In Detectron2, norms of all kinds are named after their convolution.
    norm = "bn" if "res2.0.conv1.norm.running_mean" in tensors else "gn"
    named = {}
    for name, value in tensors.items():
        new = name.removeprefix("stem.")
        new = re.sub(r"^res([2-5])\.", lambda m: f"layer{int(m[1]) - 1}.", new)
        new = re.sub(r"\bshortcut\.norm\.", "downsample.1.", new)
        new = re.sub(r"\bshortcut\.", "downsample.0.", new)
        named[re.sub(r"\bconv(\d)\.norm\.", rf"{norm}\1.", new)] = value
    return named


def from_pycls(tensors: Tensors) -> dict[str, Tensor] | None:
    """pycls's RegNet: ``s1.b1.f.a_bn.weight``."""
    if "s1.b1.f.a.weight" not in tensors:
        return None
    named = {}
    for name, value in tensors.items():
        new = re.sub(r"^stem\.(conv|bn)\.", r"\g<1>1.", name)
        new = re.sub(r"^s(\d+)\.b(\d+)\.", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.", new)
        new = re.sub(r"\.proj\.", ".downsample.0.", new)
        new = re.sub(r"^(layer\d+\.\d+)\.bn\.", r"\1.downsample.1.", new)
        new = re.sub(
            r"\.f\.([abc])(_bn)?\.",
            lambda m: f".{'bn' if m[2] else 'conv'}{'abc'.index(m[1]) + 1}.",
            new,
        )
        named[new] = value
    return named


def from_pvt(tensors: Tensors) -> dict[str, Tensor] | None:
    """PVT and PVTv2 from their authors: ``block1.0.attn.q.weight``."""
    if "patch_embed1.proj.weight" not in tensors:
        return None
    # In PVT, the position embedding is the first module of a stage and shifts the blocks by one.
    first_block = int("pos_embed1" in tensors)
    second_linear = 4 if any(".dwconv." in name for name in tensors) else 3
    named = {}
    for name, value in tensors.items():
        part = re.fullmatch(r"(patch_embed|pos_embed|block|norm)(\d)(?:\.(.+))?", name)
        if part is None:
            named[name] = value
            continue
        kind, stage, rest = part[1], f"layers.{int(part[2]) - 1}", part[3]
        if kind == "pos_embed":
            cells = value.shape[1]
            # The position embedding of the classifier's last stage starts with the class token.
            named[f"{stage}.1.0.pos_embed"] = value[:, 1:] if _is_square(cells - 1) else value
        elif kind == "patch_embed":
            named[f"{stage}.0.{rest.replace('proj.', 'projection.')}"] = value
        elif kind == "norm":
            named[f"{stage}.2.{rest}"] = value
        else:
            number, _, inner = rest.partition(".")
            block = f"{stage}.1.{int(number) + first_block}"
            if inner.startswith("attn.kv."):
                continue  # concatenated with the queries
            if inner.startswith("attn.q."):
                kind = inner.removeprefix("attn.q.")
                pair = value, tensors[name.replace(".q.", ".kv.")]
                named[f"{block}.attn.attn.in_proj_{kind}"] = torch.cat(pair)
                continue
            if inner in ("mlp.fc1.weight", "mlp.fc2.weight"):
                value = value[:, :, None, None]  # a linear layer as a 1x1 convolution
            inner = inner.replace("attn.proj.", "attn.attn.out_proj.")
            inner = inner.replace("mlp.fc1.", "ffn.layers.0.")
            inner = inner.replace("mlp.dwconv.dwconv.", "ffn.layers.1.")
            inner = inner.replace("mlp.fc2.", f"ffn.layers.{second_linear}.")
            named[f"{block}.{inner}"] = value
    return named


def from_swin(tensors: Tensors) -> dict[str, Tensor] | None:
    """Swin from its authors: ``layers.0.blocks.0.attn.qkv.weight``."""
    if "layers.0.blocks.0.attn.relative_position_bias_table" not in tensors:
        return None
    named = {}
    for name, value in tensors.items():
        if name.endswith(".attn_mask"):
            continue  # derived from the image size
        new = name.replace("patch_embed.proj.", "patch_embed.projection.")
        new = re.sub(r"^layers\.", "stages.", new)
        new = new.replace(".attn.", ".attn.w_msa.")
        new = new.replace(".mlp.fc1.", ".ffn.layers.0.0.").replace(".mlp.fc2.", ".ffn.layers.1.")
        if ".downsample." in name:
            # In the original, the four merged cells are concatenated in column-major order; here,
            # the four values of each channel are contiguous, in row-major order.
            cells = value.unflatten(-1, (2, 2, -1))  # (..., column, row, channel)
            value = cells.transpose(-3, -2).movedim(-1, -3).flatten(-3)
        elif name == "absolute_pos_embed" and _is_square(value.shape[1]):
            side = round(value.shape[1] ** 0.5)
            value = value.transpose(1, 2).unflatten(2, (side, side))
        named[new] = value
    return named


def from_convnext(tensors: Tensors) -> dict[str, Tensor] | None:
    """ConvNeXt from its authors: ``stages.0.0.dwconv.weight``."""
    if "stages.0.0.dwconv.weight" not in tensors:
        return None
    renamed = ((".dwconv.", ".depthwise_conv."), (".pwconv", ".pointwise_conv"))
    named = {}
    for name, value in tensors.items():
        for theirs, ours in renamed:
            name = name.replace(theirs, ours)
        named[name] = value
    return named


def _is_square(number: int) -> bool:
    return round(number**0.5) ** 2 == number


def from_torchvision_mobile(tensors: Tensors) -> dict[str, Tensor] | None:
    """torchvision's MobileNetV2: ``features.1.conv.0.0.weight``."""
    if "features.1.conv.0.0.weight" not in tensors:
        return None
    places = [
        f"layer{stage}.{number}"
        for stage, (_, _, count, _) in enumerate(STAGES, start=1)
        for number in range(count)
    ]
    named = {}
    for name, value in tensors.items():
        part = re.fullmatch(r"features\.(\d+)\.(?:conv\.(\d)\.)?(?:(\d)\.)?(\w+)", name)
        if part is None:
            named[name] = value
            continue
        index, layer, inner, leaf = int(part[1]), part[2], part[3], part[4]
        kind = "bn" if inner == "1" else "conv"
        if layer is None:
            new = f"conv{1 if index == 0 else 2}.{kind}"
        else:
            # The first block does not expand.
            layers = ("depthwise_conv",) if index == 1 else ("expand_conv", "depthwise_conv")
            number = int(layer)
            if number < len(layers):
                new = f"{layers[number]}.{kind}"
            else:
                new = f"linear_conv.{'conv' if number == len(layers) else 'bn'}"
            new = f"{places[index - 1]}.{new}"
        named[f"{new}.{leaf}"] = value
    return named


def _with_statistics(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Adds the statistics of batch norms that were folded into weight and bias: mean 0,
    variance 1."""
    completed = dict(tensors)
    for name, weight in tensors.items():
        if re.search(r"(\bbn\d|\bdownsample\.1)\.weight$", name) and "bn1.weight" in tensors:
            norm = name.removesuffix("weight")
            completed.setdefault(f"{norm}running_mean", torch.zeros_like(weight))
            completed.setdefault(f"{norm}running_var", torch.ones_like(weight))
    return completed
