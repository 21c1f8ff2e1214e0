# The activations that leave each block of make_unet.py's models, taken from diffusers' forward pass by hooks, in float64; and the
# sample's gradient of sum(activations * weights) for each: features.safetensors, keys MODEL.BLOCK and MODEL.BLOCK.input_grad.
# run: python tests/golden/make_features.py
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file

from golden_file import HERE, draw, in_both, write


def blocks(model):
    named = [("conv_in", model.conv_in)] + [(f"down_blocks.{i}", block) for i, block in enumerate(model.down_blocks)]
    named += [("mid_block", model.mid_block)] if model.mid_block is not None else []
    return named + [(f"up_blocks.{i}", block) for i, block in enumerate(model.up_blocks)]


def compute():
    stored = {}
    for seed, name in enumerate(("sd1", "xl", "no_mid"), 700):
        folder, dtype = HERE / f"unet_{name}", torch.get_default_dtype()
        given = load_file(folder / "expected.safetensors")
        model = UNet2DConditionModel.from_pretrained(folder, torch_dtype=dtype).eval()
        taken = {}
        for block, module in blocks(model):
            module.register_forward_hook(lambda _, __, out, block=block: taken.update({block: out[0] if isinstance(out, tuple) else out}))
        sample = given["sample"].to(dtype).requires_grad_()
        added = {key: given[key].to(dtype) for key in ("text_embeds", "time_ids") if key in given}
        model(sample, given["timestep"], given["encoder_hidden_states"].to(dtype), added_cond_kwargs=added or None)
        for block, features in taken.items():
            weights = draw(*features.shape, generator=torch.Generator().manual_seed(seed))
            gradient, = torch.autograd.grad((features * weights).sum(), sample, retain_graph=True)
            stored |= {f"{name}.{block}": features, f"{name}.{block}.weights": weights, f"{name}.{block}.input_grad": gradient}
    return {key: value.detach() for key, value in stored.items()}


if __name__ == "__main__":
    write("features.safetensors", *in_both(compute))
