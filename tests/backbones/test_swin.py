from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor

from detzoo.backbones.other_names import to_backbone_names
from detzoo.backbones.pretrained import PRETRAINED
from detzoo.backbones.swin import SwinConfig
from detzoo.checkpoints.transfer import initialize_backbone
from detzoo.errors import ConfigError
from detzoo.zoo.swin import SMALL, TINY

NARROW = SwinConfig(
    channels=8, blocks=(2, 2, 2, 2), num_heads=(1, 2, 2, 4), window_size=4, stochastic_depth=0.0
)


def official_name(name: str) -> str:
    """torchvision's name in that of Swin's authors."""
    name = name.replace("features.0.0.", "patch_embed.proj.")
    name = name.replace("features.0.2.", "patch_embed.norm.")
    name = re.sub(
        r"features\.([1357])\.(\d+)\.",
        lambda m: f"layers.{(int(m[1]) - 1) // 2}.blocks.{m[2]}.",
        name,
    )
    name = re.sub(
        r"features\.([246])\.", lambda m: f"layers.{int(m[1]) // 2 - 1}.downsample.", name
    )
    return name.replace("mlp.0.", "mlp.fc1.").replace("mlp.3.", "mlp.fc2.")


def random_state(model: torch.nn.Module) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {
        n: 0.2 * torch.randn_like(v) if v.is_floating_point() else v
        for n, v in model.state_dict().items()
    }


def test_torchvision_computes_the_same(tmp_path: Path) -> None:
    """With weights under the names of Swin's authors, at a size that windows do not divide."""
    theirs = torchvision.models.SwinTransformer(
        [4, 4], 8, [2, 2, 2, 2], [1, 2, 2, 4], [4, 4], stochastic_depth_prob=0.0
    )
    theirs.load_state_dict(random_state(theirs))
    official = {official_name(name): value for name, value in theirs.state_dict().items()}
    # The authors' buffers have a row per cell.
    for name in [name for name in official if name.endswith("relative_position_index")]:
        official[name] = official[name].view(16, 16)
    official["layers.0.blocks.1.attn.attn_mask"] = torch.zeros(4, 16, 16)
    file = tmp_path / "swin.pth"
    torch.save({"model": official}, file)

    ours = dataclasses.replace(NARROW, out_stages=(3,)).build().eval()
    report = initialize_backbone((ours,), str(file))
    # Their norm comes before the classifier, ours after the stage.
    assert report.missing == ("norm3.weight", "norm3.bias")
    assert set(report.unexpected) == {"norm.weight", "norm.bias", "head.weight", "head.bias"}
    with torch.no_grad():
        ours.norm3.weight.copy_(official["norm.weight"])
        ours.norm3.bias.copy_(official["norm.bias"])
        image = torch.randn(2, 3, 203, 170)
        whole = torch.nn.functional.pad(image, (0, 2, 0, 1))
        wanted = theirs.eval().norm(theirs.features(whole)).permute(0, 3, 1, 2)
        (found,) = ours(image)
    assert found.shape == wanted.shape
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_weights_for_other_sizes_are_interpolated() -> None:
    small = dataclasses.replace(NARROW, position_embedding=32).build()
    large_config = dataclasses.replace(NARROW, window_size=6, position_embedding=64)
    large = large_config.build()
    state = random_state(small)
    table = "stages.0.blocks.1.attn.w_msa.relative_position_bias_table"
    # What is the same everywhere stays so, and the middle stays in the middle.
    state[table] = torch.full_like(state[table], 0.5)
    state["absolute_pos_embed"] = torch.full_like(state["absolute_pos_embed"], 0.25)
    fitted = large.fit_weights(state)
    assert large.load_state_dict(fitted).missing_keys == []
    torch.testing.assert_close(fitted[table], torch.full((121, 1), 0.5))
    torch.testing.assert_close(fitted["absolute_pos_embed"], torch.full((1, 8, 16, 16), 0.25))
    other = "stages.3.blocks.0.attn.w_msa.relative_position_bias_table"
    assert fitted[other].shape == (121, 4)
    middle = state[other].view(7, 7, 4)[3, 3]
    torch.testing.assert_close(fitted[other].view(11, 11, 4)[5, 5], middle)


def test_position_embeddings_of_its_authors() -> None:
    """A row of cells there, a map here."""
    cells = torch.arange(2 * 9).float().view(1, 9, 2)
    found = to_backbone_names(
        {
            "layers.0.blocks.0.attn.relative_position_bias_table": torch.zeros(1),
            "absolute_pos_embed": cells,
        }
    )["absolute_pos_embed"]
    assert found.shape == (1, 2, 3, 3)
    assert found[0, :, 1, 2].tolist() == cells[0, 5].tolist()


def test_what_is_frozen_and_what_takes_no_part() -> None:
    config = dataclasses.replace(
        NARROW, frozen_stages=2, out_stages=(1, 2), position_embedding=32, dropout=0.5
    )
    model = config.build().train()
    fixed = {
        name.split(".blocks")[0] for name, p in model.named_parameters() if not p.requires_grad
    }
    assert fixed == {
        *("patch_embed.projection.weight", "patch_embed.projection.bias"),
        *("patch_embed.norm.weight", "patch_embed.norm.bias"),
        *("absolute_pos_embed", "stages.0", "stages.1", "stages.3"),
        *("norm1.weight", "norm1.bias"),
        *(
            f"stages.{stage}.downsample.{part}"
            for stage in range(3)
            for part in ("norm.weight", "norm.bias", "reduction.weight")
        ),
    }
    x = torch.randn(1, 3, 64, 64)
    first, second = model(x), model(x)
    assert torch.equal(first[0], second[0])  # no dropout in what is frozen
    assert not torch.equal(first[1], second[1])
    first[1].sum().backward()
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert all(model.get_parameter(name).grad is not None for name in trained)
    free = config.from_scratch()
    assert free.frozen_stages == -1


def test_recomputing_changes_no_gradient() -> None:
    plain = NARROW.build()
    recomputing = dataclasses.replace(NARROW, checkpoint_activations=True).build()
    state = random_state(plain)
    x = torch.randn(2, 3, 64, 96)
    gradients = []
    for model in (plain, recomputing):
        model.load_state_dict(state)
        sum(m.square().mean() for m in model.train()(x)).backward()  # type: ignore[union-attr]
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient)


def test_names_of_published_weights() -> None:
    assert TINY.pretrained_name in PRETRAINED
    assert SMALL.pretrained_name in PRETRAINED
    base = dataclasses.replace(SMALL, channels=128, num_heads=(4, 8, 16, 32), window_size=12)
    assert base.architecture == "swin_base_patch4_window12_384"
    assert base.pretrained_name in PRETRAINED
    assert dataclasses.replace(SMALL, window_size=5).architecture == "swin"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_heads": (3, 6, 10, 24)}, "num_heads: 10 heads of stage 2 do not divide its 384"),
        ({"out_stages": (4,)}, "out_stages"),
        ({"frozen_stages": 5}, "frozen_stages"),
        ({"stochastic_depth": 1.0}, "stochastic_depth: 1.0 is not less than 1"),
    ],
)
def test_what_cannot_be(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(SwinConfig(), **change)  # type: ignore[arg-type]
