# Tiny AutoencoderKLs: posterior and decoded picture, and every gradient of one weighted sum of them.
# run: python tests/golden/make_vae.py
from diffusers import AutoencoderKL

from golden_model import draw, fill, store

DOWN, UP = "DownEncoderBlock2D", "UpDecoderBlock2D"
MODELS = {
    "sd": (dict(block_out_channels=[4, 8, 8], down_block_types=[DOWN] * 3, up_block_types=[UP] * 3, layers_per_block=1, norm_num_groups=2,
                latent_channels=4), 16, 24),
    # No quantising convolutions, no attention, fewer channels in and out.
    "bare": (dict(block_out_channels=[4, 6], down_block_types=[DOWN] * 2, up_block_types=[UP] * 2, layers_per_block=2, norm_num_groups=2,
                  latent_channels=3, in_channels=1, out_channels=2, use_quant_conv=False, use_post_quant_conv=False,
                  mid_block_add_attention=False, scaling_factor=0.5), 10, 6),
    # Attention in the blocks, another activation, and a picture whose sides are no multiples of 4.
    "attention": (dict(block_out_channels=[4, 4, 6], down_block_types=[DOWN, "Attn" + DOWN, DOWN], up_block_types=["Attn" + UP, UP, UP],
                       layers_per_block=1, norm_num_groups=2, latent_channels=2, act_fn="mish"), 9, 7),
}


def compute(model, index, height, width):
    pixels = draw(610 + index, 2, model.config.in_channels, height, width)
    latents = draw(620 + index, 2, model.config.latent_channels, 3, 4)
    posterior = model.encode(pixels.to(model.dtype)).latent_dist
    decoded = model.decode(latents.to(model.dtype)).sample
    tensors = {"pixels": pixels, "latents": latents, "mean": posterior.mean, "logvar": posterior.logvar, "decoded": decoded}
    loss = 0
    for key in ("mean", "logvar", "decoded"):
        tensors["loss_weights." + key] = draw(630 + index, *tensors[key].shape)
        loss = loss + (tensors[key] * tensors["loss_weights." + key].to(model.dtype)).sum()
    loss.backward()
    return tensors


def main():
    for index, (name, (config, height, width)) in enumerate(MODELS.items()):
        model = fill(AutoencoderKL(**config), 600 + index)
        store(f"vae_{name}", model, {"_class_name": "AutoencoderKL", **config}, "diffusion_pytorch_model",
              lambda each: compute(each, index, height, width))


main()
