# Tiny UNet2DConditionModels that differ in every structural option: output and every gradient of sum(output * weights); from
# "nested" on also the output after ten steps of AdamW down that sum.
# run: python tests/golden/make_unet.py
import copy

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
    # SSD-1B's way: transformers counted layer by layer, other counts on the way up, a middle without attention. Heads that do not
    # divide the channels; a block without attention may name any text width.
    "nested": (dict(BASE, norm_num_groups=2, block_out_channels=[4, 8, 8], down_block_types=[DOWN, CROSS, CROSS], up_block_types=[UP_CROSS, UP_CROSS, UP],
                    layers_per_block=[1, 2, 1], attention_head_dim=[1, 3, 5], use_linear_projection=True, mid_block_type="UNetMidBlock2D",
                    transformer_layers_per_block=[0, [2, 1], [0]], reverse_transformer_layers_per_block=[[1, 0], [2, 1, 1], 0],
                    cross_attention_dim=[5, 12, 12], addition_embed_type="text_time", addition_time_embed_dim=6,
                    projection_class_embeddings_input_dim=46), 6, 8),
    # A distilled model that is told its guidance; classes from a table; every activation but silu.
    "classes": (dict(BASE, norm_num_groups=2, block_out_channels=[4, 8], down_block_types=[CROSS, DOWN], up_block_types=[UP_CROSS, UP_CROSS], layers_per_block=1,
                     attention_head_dim=3, act_fn="mish", time_embedding_act_fn="gelu", timestep_post_act="relu", time_cond_proj_dim=3,
                     num_class_embeds=5), 4, 6),
    # The text states are projected, pooled into the time embedding, and partly masked.
    "pooled": (dict(BASE, norm_num_groups=2, block_out_channels=[8], down_block_types=[CROSS], up_block_types=[UP_CROSS], layers_per_block=1, attention_head_dim=3,
                    act_fn="gelu", addition_embed_type="text", addition_embed_type_num_heads=5, encoder_hid_dim=10), 4, 5),
    "fourier": (dict(BASE, norm_num_groups=2, block_out_channels=[4], down_block_types=[CROSS], up_block_types=[UP], layers_per_block=1, attention_head_dim=2,
                     act_fn="relu", time_embedding_type="fourier", flip_sin_to_cos=False, class_embed_type="projection",
                     projection_class_embeddings_input_dim=7, class_embeddings_concat=True), 3, 4),
    "class_timestep": (dict(BASE, norm_num_groups=2, block_out_channels=[4], down_block_types=[DOWN], up_block_types=[UP], layers_per_block=1,
                            mid_block_type="UNetMidBlock2D", act_fn="gelu", class_embed_type="timestep"), 3, 3),
    "class_identity": (dict(BASE, norm_num_groups=2, block_out_channels=[4], down_block_types=[DOWN], up_block_types=[UP], layers_per_block=1,
                            mid_block_type=None, class_embed_type="identity"), 3, 3),
    "class_linear": (dict(BASE, norm_num_groups=2, block_out_channels=[4], down_block_types=[DOWN], up_block_types=[UP], layers_per_block=1,
                          mid_block_type=None, class_embed_type="simple_projection", projection_class_embeddings_input_dim=7), 3, 3),
}
FIRST_STEPPED = list(MODELS).index("nested")


def optional_inputs(name):
    """What a model reads beside the usual, or may be given: arguments of forward."""
    return {
        "classes": {"class_labels": torch.tensor([4, 1]), "timestep_cond": draw(420, 2, 3)},
        "pooled": {"encoder_attention_mask": torch.tensor([[1, 1, 0, 1, 0], [1, 1, 1, 1, 1]]),
                   "attention_mask": torch.tensor([[1, 0] * 10, [1] * 13 + [0] * 7])},
        "fourier": {"class_labels": draw(421, 2, 7)},
        "class_timestep": {"class_labels": torch.tensor([3, 700])},
        "class_identity": {"class_labels": draw(422, 2, 16)},
        "class_linear": {"class_labels": draw(423, 2, 7)},
    }.get(name, {})


def after_ten_steps(model, run, weights):
    """The output of a copy of the model after ten AdamW steps. eps is large, so that a gradient that is zero but for rounding moves nothing."""
    model = copy.deepcopy(model)
    model.zero_grad()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2, betas=(0.9, 0.999), eps=1e-2, weight_decay=0.1)
    for _ in range(10):
        optimizer.zero_grad()
        (run(model) * weights).sum().backward()
        optimizer.step()
    return run(model)


def compute(model, index, name, height, width):
    config, dtype = model.config, model.dtype

    def typed(tensor):
        return tensor if tensor.dtype == torch.int64 else tensor.to(dtype)

    tensors = {
        "sample": draw(200 + index, 2, config.in_channels, height, width),
        # Fourier frequencies multiply the timestep: a large one would ask for more digits of the angle than float32 has.
        "timestep": torch.tensor([0.5, 0.125]) if name == "fourier" else torch.tensor([981, 7]),
        "encoder_hidden_states": draw(300 + index, 2, 5, config.encoder_hid_dim or 12),
    }
    more = optional_inputs(name)
    tensors.update(more)
    more = {key: typed(value) for key, value in more.items()}
    added = None
    if config.addition_embed_type == "text_time":
        tensors["text_embeds"] = draw(400 + index, 2, 10)
        tensors["time_ids"] = torch.tensor([[64.0, 48, 0, 8, 64, 64], [32, 32, 4, 0, 48, 64]])
        added = {"text_embeds": typed(tensors["text_embeds"]), "time_ids": typed(tensors["time_ids"])}
    sample = typed(tensors["sample"]).clone().requires_grad_()

    def run(model):
        return model(sample, typed(tensors["timestep"]), typed(tensors["encoder_hidden_states"]), added_cond_kwargs=added, **more).sample

    out = run(model)
    tensors["loss_weights"] = draw(500 + index, *out.shape)
    (out * typed(tensors["loss_weights"])).sum().backward()
    tensors["output"], tensors["input_grad"] = out, sample.grad.clone()
    if index >= FIRST_STEPPED:
        tensors["stepped_output"] = after_ten_steps(model, run, typed(tensors["loss_weights"]))
    return tensors


def main():
    for index, (name, (config, height, width)) in enumerate(MODELS.items()):
        model = fill(UNet2DConditionModel(**config), 100 + index)
        store(f"unet_{name}", model, {"_class_name": "UNet2DConditionModel", **config}, "diffusion_pytorch_model",
              lambda each: compute(each, index, name, height, width))


main()
