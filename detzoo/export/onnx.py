"""Detectors as ONNX files (https://onnx.ai), with standard operators only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.export import ExportedProgram

from detzoo.errors import ConfigError
from detzoo.export.program import quiet
from detzoo.inference.exported import OUTPUTS, Details

if TYPE_CHECKING:
    import onnx

# What ONNX Runtime has kernels for: RoIAlign of version 22 has none on CPUs.
OPSET = 21
INPUTS = ("pixels", "sizes")

# Writes one ONNX file as another.
Change = Callable[[Path, Path], None]


def write_onnx(
    program: ExportedProgram, file: Path, details: Details, change: Change | None = None
) -> None:
    """Writes what :func:`~detzoo.export.program.capture` returned.

    The file's inputs are ``pixels`` (B, 3, H, W) float32, normalized, and ``sizes`` (B, 2: height,
    width) int64, the part of them that shows the image; its outputs are those of
    :class:`~detzoo.export.static.StaticDetections`. ``details`` are stored in it. ``change`` makes
    another file of it. Raises :class:`ConfigError` if the packages for it are not installed.
    """
    own = translations()
    import onnx

    num_outputs = len(program.graph_signature.user_outputs)
    with quiet(), torch.no_grad():
        exported = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=INPUTS,
            output_names=OUTPUTS[:num_outputs],
            custom_translation_table=own,
            verbose=False,
        )
    assert exported is not None
    model = exported.model_proto
    _unify_types(model)
    if change is not None:
        before, after = (file.with_suffix(suffix) for suffix in (".before.onnx", ".after.onnx"))
        onnx.save(model, before)
        change(before, after)
        model = onnx.load(after)
        before.unlink()
        after.unlink()
    onnx.helper.set_model_props(model, details.to_metadata())
    onnx.save(model, file)


def _unify_types(model: onnx.ModelProto) -> None:
    """Gives the weights of convolutions and group norms the type of what they are applied to.

    The exporter's optimizer folds norms into convolutions in float32, whatever they compute in, and
    group norms keep their parameters in it.
    """
    import onnx

    values = {v.name: v.type.tensor_type.elem_type for v in model.graph.value_info}
    weights = {w.name: w for w in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type not in ("Conv", "ConvTranspose", "GroupNormalization"):
            continue
        wanted = values.get(node.input[0], onnx.TensorProto.FLOAT)
        for weight in (weights[name] for name in node.input[1:] if name in weights):
            if weight.data_type != wanted:
                array = onnx.numpy_helper.to_array(weight)
                array = array.astype(onnx.helper.tensor_dtype_to_np_dtype(wanted))
                weight.CopyFrom(onnx.numpy_helper.from_array(array, weight.name))


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """How operators that are not PyTorch's own are written in ONNX."""
    try:
        from onnxscript import opset21 as op
    except ImportError:
        raise ConfigError(
            "exporting to ONNX needs packages that are not installed: pip install detzoo[onnx]"
        ) from None

    def number(value: int) -> Any:
        return op.Constant(value_int=value)

    def numbers(*values: int) -> Any:
        return op.Constant(value_ints=list(values))

    def by_group(scores: Any, group: Any) -> Any:
        # A row of scores per group, in which the others' are padding: (G, K).
        count = op.Add(op.ReduceMax(group, keepdims=0), number(1))
        groups = op.Unsqueeze(op.Range(number(0), count, number(1)), numbers(1))
        is_own = op.Equal(groups, op.Unsqueeze(group, numbers(0)))
        return op.Where(is_own, op.Unsqueeze(scores, numbers(0)), op.Constant(value_float=-1.0))

    def nms_mask(boxes: Any, scores: Any, group: Any, max_iou: float) -> Any:
        table = by_group(scores, group)
        kept = op.NonMaxSuppression(
            op.Unsqueeze(boxes, numbers(0)),
            op.Unsqueeze(table, numbers(0)),
            numbers(2**31 - 1),
            op.Constant(value_floats=[float(max_iou)]),
            op.Constant(value_floats=[-0.5]),
        )  # (n, 3): image, group, box
        index = op.Gather(kept, number(2), axis=1)
        none = op.Expand(number(0), op.Shape(scores))
        mask = op.ScatterElements(none, index, op.Expand(number(1), op.Shape(index)), axis=0)
        return op.Cast(mask, to=_BOOL)

    def fast_nms_mask(
        boxes: Any, scores: Any, group: Any, max_iou: float, max_per_group: int
    ) -> Any:
        count = op.Min(op.Shape(scores), numbers(max_per_group))
        best, index = op.TopK(by_group(scores, group), count, axis=1)  # (G, M)
        # By coordinate: runtimes are slow where only a last, short axis is not broadcast.
        sides = op.Split(op.Gather(boxes, index), axis=2, num_outputs=4)  # (G, M, 1) each
        x1, y1, x2, y2 = sides
        across = [op.Transpose(side, perm=[0, 2, 1]) for side in sides]  # (G, 1, M)
        zero = op.Constant(value_float=0.0)
        width = op.Max(op.Sub(op.Min(x2, across[2]), op.Max(x1, across[0])), zero)
        height = op.Max(op.Sub(op.Min(y2, across[3]), op.Max(y1, across[1])), zero)
        common = op.Mul(width, height)
        area = op.Mul(op.Sub(x2, x1), op.Sub(y2, y1))
        areas = op.Add(area, op.Transpose(area, perm=[0, 2, 1]))
        union = op.Max(op.Sub(areas, common), op.Constant(value_float=1e-6))
        # A row's padding comes last, so it drops nothing.
        most = op.ReduceMax(op.Trilu(op.Div(common, union), number(1)), numbers(1), keepdims=0)
        limit = op.Constant(value_float=float(max_iou))
        is_kept = op.And(op.LessOrEqual(most, limit), op.GreaterOrEqual(best, zero))
        # Padding of a row may be of another group, which keeps it.
        index, is_kept = (op.Reshape(values, numbers(-1)) for values in (index, is_kept))
        none = op.Expand(number(0), op.Shape(scores))
        own = op.Cast(is_kept, to=_INT64)
        return op.Cast(op.ScatterElements(none, index, own, axis=0, reduction="max"), to=_BOOL)

    def roi_align(
        x: Any,
        rois: Any,
        spatial_scale: float,
        pooled_height: int,
        pooled_width: int,
        sampling_ratio: int,
        aligned: bool,
    ) -> Any:
        return op.RoiAlign(
            x,
            op.Slice(rois, numbers(1), numbers(5), numbers(1)),
            op.Cast(op.Gather(rois, number(0), axis=1), to=_INT64),
            coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel",
            mode="avg",
            output_height=pooled_height,
            output_width=pooled_width,
            sampling_ratio=max(sampling_ratio, 0),
            spatial_scale=spatial_scale,
        )

    def roi_pool(
        x: Any, rois: Any, spatial_scale: float, pooled_height: int, pooled_width: int
    ) -> Any:
        pooled = op.MaxRoiPool(
            x, rois, pooled_shape=[pooled_height, pooled_width], spatial_scale=spatial_scale
        )
        return pooled, pooled  # the second would be where maxima are, for gradients

    def sort(x: Any, stable: bool, dim: int = -1, descending: bool = False) -> Any:
        # Of equal values, TopK takes the first one first.
        count = op.Gather(op.Shape(x), numbers(dim))
        return op.TopK(x, count, axis=dim, largest=int(descending))

    def deform_conv2d(
        x: Any,
        weight: Any,
        offset: Any,
        mask: Any,
        bias: Any,
        stride_h: int,
        stride_w: int,
        pad_h: int,
        pad_w: int,
        dilation_h: int,
        dilation_w: int,
        groups: int,
        offset_groups: int,
        use_mask: bool,
    ) -> Any:
        return op.DeformConv(
            x,
            weight,
            offset,
            bias,
            mask if use_mask else None,
            dilations=[dilation_h, dilation_w],
            group=groups,
            offset_group=offset_groups,
            pads=[pad_h, pad_w, pad_h, pad_w],
            strides=[stride_h, stride_w],
        )

    ops = torch.ops
    return {
        ops.detzoo.nms_mask.default: nms_mask,
        ops.aten.sort.stable: sort,
        ops.torchvision.roi_align.default: roi_align,
        ops.torchvision.roi_pool.default: roi_pool,
        ops.torchvision.deform_conv2d.default: deform_conv2d,
        ops.detzoo.fast_nms_mask.default: fast_nms_mask,
    }


# Of onnx.TensorProto.DataType.
_INT64, _BOOL = 7, 9
