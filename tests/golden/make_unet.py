# Tiny UNet2DConditionModels that differ in every structural option: output and every gradient of sum(output * weights).
# run: python tests/golden/make_unet.py
import torch
from diffusers import UNet2DConditionModel

from golden_model import draw, fill, store

BASE = dict(in_channels=4, out_channels=4, sample_size=8, norm_num_groups=4, cross_attention_dim=12)
CROSS, DOWN, UP = "CrossAttnDownBlock2D", "DownBlock2D", "UpBlock2D"
UP_CROSS = "CrossAttnUpBlock2D"

MODELS = {
    # name: (config, height, width)
    "sd1": (dict(BASE, block_out_channels=[8, 16], down_block_types=[CROSS, DOWN], up_block_types=[UP, UP_CROSS], layers_per_block=1,
                 attention_head_dim=2), 8, 8),
    "sd2": (dict(BASE, block_out_channels=[8, 8, 16], down_block_types=[CROSS, CROSS, DOWN], up_block_types=[UP, UP_CROSS, UP_CROSS],
                 layers_per_block=1, attention_head_dim=[1, 2, 4], use_linear_projection=True, upcast_attention=True), 12, 20),
    "xl": (dict(BASE, block_out_channels=[8, 8, 12], down_block_types=[DOWN, CROSS, CROSS], up_block_types=[UP_CROSS, UP_CROSS, UP],
                layers_per_block=1, attention_head_dim=[1, 2, 3], use_linear_projection=True, transformer_layers_per_block=[1, 2, 3],
                addition_embed_type="text_time", addition_time_embed_dim=6, projection_class_embeddings_input_dim=46), 12, 8),
    "uneven": (dict(BASE, block_out_channels=[8, 12], down_block_types=[DOWN, CROSS], up_block_types=[UP, UP_CROSS], layers_per_block=[2, 1],
                    attention_head_dim=4, only_cross_attention=[True, False], in_channels=9, out_channels=3), 7, 10),
    "no_mid": (dict(BASE, block_out_channels=[8, 12], down_block_types=[CROSS, DOWN], up_block_types=[UP_CROSS, UP], layers_per_block=1,
                    attention_head_dim=2, mid_block_type=None, downsample_padding=0, flip_sin_to_cos=False, freq_shift=1,
                    center_input_sample=True, conv_in_kernel=1, conv_out_kernel=5, norm_eps=1e-3), 8, 12),
    "shift": (dict(BASE, block_out_channels=[8, 12], down_block_types=[DOWN, CROSS], up_block_types=[UP_CROSS, UP], layers_per_block=1,
                   attention_head_dim=3, mid_block_scale_factor=1.5, resnet_time_scale_shift="scale_shift", time_embedding_dim=20), 5, 9),
    "deep": (dict(BASE, block_out_channels=[8, 8], down_block_types=[CROSS, CROSS], up_block_types=[UP_CROSS, UP_CROSS], layers_per_block=[1, 2],
                  attention_head_dim=[2, 1], transformer_layers_per_block=[2, 1], only_cross_attention=True), 6, 6),
    "one_block": (dict(BASE, block_out_channels=[8], down_block_types=[CROSS], up_block_types=[UP_CROSS], layers_per_block=2,
                       attention_head_dim=8, norm_num_groups=2, mid_block_scale_factor=2), 5, 3),
}


def main():
    for index, (name, (config, height, width)) in enumerate(MODELS.items()):
        model = fill(UNet2DConditionModel(**config), 100 + index)
        tensors = {
            "sample": draw(200 + index, 2, config["in_channels"], height, width),
            "timestep": torch.tensor([981, 7]),
            "encoder_hidden_states": draw(300 + index, 2, 5, 12),
        }
        added = None
        if "addition_embed_type" in config:
            tensors["text_embeds"] = draw(400 + index, 2, 10)
            tensors["time_ids"] = torch.tensor([[64.0, 48, 0, 8, 64, 64], [32, 32, 4, 0, 48, 64]])
            added = {"text_embeds": tensors["text_embeds"].double(), "time_ids": tensors["time_ids"].double()}
        sample = tensors["sample"].double().requires_grad_()
        out = model(sample, tensors["timestep"], tensors["encoder_hidden_states"].double(), added_cond_kwargs=added).sample
        tensors["loss_weights"] = draw(500 + index, *out.shape)
        (out * tensors["loss_weights"].double()).sum().backward()
        tensors["output"], tensors["input_grad"] = out, sample.grad
        store(f"unet_{name}", model, {"_class_name": "UNet2DConditionModel", **config}, "diffusion_pytorch_model", tensors)


main()
