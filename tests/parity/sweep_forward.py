#!/usr/bin/env python3
"""Compares `palate forward` with diffusers and transformers on random tiny U-Nets, autoencoders and CLIP text models.

    sweep_forward.py --palate build/palate [--kinds unet,vae,text] [--first SEED] [--count N] [--tolerance 1e-5] [--show]

The golden models hold every option once; a sweep finds those that go wrong only together. Each case where palate differs or
refuses gets a line: seed, component, tensor, error, config, inputs; the error is the largest difference over the tensor's largest
value. Configs that diffusers refuses are counted and drawn anew. --show prints the other cases and these refusals too. A seed is
always the same case of its kind: --kinds KIND --first SEED --count 1. Exit status 1 if anything was wrong.
"""
import argparse
import collections
import json
import logging
import random
import subprocess
import sys
import tempfile

import torch
import transformers
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file

ACTIVATIONS = ["silu", "swish", "mish", "gelu", "relu", "SiLU"]
TEXT_ACTIVATIONS = ["quick_gelu", "quick_gelu", "gelu", "gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "mish"]
MIDDLE = "UNetMidBlock2DCrossAttn"
POOLED, CLASSES, VOCABULARY = 10, 7, 40

Case = collections.namedtuple("Case", "component config inputs build")


class Draw(random.Random):
    def some(self, **options):
        """Each of name=(probability, value) with that probability."""
        return {name: value for name, (probability, value) in options.items() if self.random() < probability}

    def normal(self, *shape):
        return torch.randn(shape, generator=torch.Generator().manual_seed(self.getrandbits(32)))

    def mask(self, *shape):
        mask = (self.normal(*shape) > -0.25).long()
        mask[:, 0] = 1  # a row that keeps nothing has no softmax
        return mask


def unet_blocks(r, n):
    groups, wide = r.choice([1, 2, 4]), 8 if r.random() < 0.04 else 1  # now and then as wide as the groups of real models
    return dict(
        block_out_channels=[wide * max(4, groups * r.randint(1, 5) * r.choice([1, 2])) for _ in range(n)], norm_num_groups=wide * groups,
        layers_per_block=r.choice([r.randint(1, 3), r.choices([1, 2, 3], k=n)]), sample_size=r.choice([8, None, [8, 6]]),
        in_channels=r.choice([1, 3, 4, 4, 9]), out_channels=r.choice([1, 3, 4, 4, 8]),
        down_block_types=r.choices(["DownBlock2D", "CrossAttnDownBlock2D"], k=n),
        up_block_types=r.choices(["UpBlock2D", "CrossAttnUpBlock2D"], k=n),
        **r.some(mid_block_type=(0.5, r.choice([MIDDLE, "UNetMidBlock2D", None]))))


def unet_transformers(r, layers):
    """How many: one number, one a block or one a layer; the way up has a layer more a block, and may have its own numbers."""
    def numbers(counts, nested):
        return [r.choices(range(4), k=count) if r.random() < nested else r.randint(0, 3) for count in counts]

    key, up = "transformer_layers_per_block", [count + 1 for count in reversed(layers)]
    own = {key: numbers(layers, r.choice([0, 0.6])), "reverse_" + key: numbers(up, 0.6)}
    return r.choice([{}, {key: r.randint(1, 3)}, {key: numbers(layers, 0)}, own, own])


def unet_attention(r, n, blocks, text):
    widths, layers = blocks["block_out_channels"], blocks["layers_per_block"]
    ends = [""] * (n - 1) + [blocks.get("mid_block_type", MIDDLE) or ""]
    kinds = zip(blocks["down_block_types"], ends, reversed(blocks["up_block_types"]), strict=True)
    # A block without attention may name any text width: nobody reads it.
    each = [text if "Cross" in "".join(kind) else r.choice([3, 5, text]) for kind in kinds]
    return dict(
        attention_head_dim=r.choice([r.randint(1, min(*widths, 5)), [r.randint(1, min(width, 8)) for width in widths]]),
        cross_attention_dim=each if r.random() < 0.35 else text,
        **unet_transformers(r, layers if isinstance(layers, list) else [layers] * n),
        **r.some(only_cross_attention=(0.4, r.random() < 0.4 or r.choices([True, False], k=n)), cross_attention_norm=(0.05, "layer_norm"),
                 mid_block_only_cross_attention=(0.1, True), use_linear_projection=(0.5, True), upcast_attention=(0.2, True)))


def unet_scalars(r):
    return r.some(
        flip_sin_to_cos=(0.3, False), freq_shift=(0.3, 1), time_embedding_type=(0.12, "fourier"),
        time_cond_proj_dim=(0.3, r.choice([3, 8])), time_embedding_dim=(0.3, r.choice([6, 16, 20])),
        time_embedding_act_fn=(0.25, r.choice(ACTIVATIONS)), timestep_post_act=(0.25, r.choice(ACTIVATIONS)),
        act_fn=(0.5, r.choice(ACTIVATIONS)), norm_eps=(0.3, r.choice([1e-6, 1e-5, 1e-3])), dropout=(0.1, 0.0),
        resnet_time_scale_shift=(0.3, "scale_shift"), resnet_skip_time_act=(0.2, True), resnet_out_scale_factor=(0.2, r.choice([1.0, 1.4])),
        mid_block_scale_factor=(0.3, r.choice([0.7, 1.5, 2])), center_input_sample=(0.2, True), downsample_padding=(0.3, 0),
        conv_in_kernel=(0.2, r.choice([1, 3, 5])), conv_out_kernel=(0.2, r.choice([1, 3, 5])))


def unet_inputs(r, n, config, text):
    batch, scale, times = r.randint(1, 3), 2 ** (n - 1), torch.tensor(r.choices(range(1000), k=3))
    size = r.choice([[scale * r.randint(1, 3), scale * r.randint(1, 3)], r.choices(range(max(2, scale // 2), 3 * scale + 4), k=2)])
    length, condition = r.choice([1, 3, 7, 77]), r.normal(batch, config.get("time_cond_proj_dim", 0))
    return dict(sample=r.normal(batch, config["in_channels"], *size), encoder_hidden_states=r.normal(batch, length, text),
                timestep=r.choice([times[:batch].clone(), times[0].clone(), times[:batch] * r.random()]),
                **r.some(timestep_cond=(0.8 if "time_cond_proj_dim" in config else 0, condition)))


def add_conditions(r, config, inputs, text):
    """What joins the time embedding: classes, and a pooled text or SDXL's pooled text and sizes."""
    kind = r.choice([None] * 4 + ["table", "timestep", "identity", "projection", "simple_projection"])
    added, batch = r.choice([None, None, "text_time", "text"]), len(inputs["sample"])
    sizes = 6 if "freq_shift" in config else r.choice([2, 3, 6])  # freq_shift divides by half the width less one
    linear, time = POOLED + 6 * sizes, config["block_out_channels"][0] * (2 if "time_embedding_type" in config else 4)
    if kind:
        config |= dict(num_class_embeds=CLASSES) if kind == "table" else dict(class_embed_type=kind)
        numbers = torch.tensor(r.choices(range(CLASSES if kind == "table" else 1000), k=batch))
        vectors = r.normal(batch, config.get("time_embedding_dim", time) if kind == "identity" else linear)
        inputs["class_labels"] = numbers if kind in ("table", "timestep") else vectors
    if added == "text_time":
        config |= dict(addition_embed_type=added, addition_time_embed_dim=sizes)
        ids = [r.choices([64.0, 48.0, 0.0, 1024.0], k=6) for _ in range(batch)]
        inputs |= dict(text_embeds=r.normal(batch, POOLED), time_ids=torch.tensor(ids))
    elif added and isinstance(config["cross_attention_dim"], int):
        heads = r.choice([heads for heads in range(1, text + 1) if text % heads == 0])
        config |= dict(addition_embed_type=added, addition_embed_type_num_heads=heads)
    elif kind:
        config |= r.some(class_embeddings_concat=(0.5, True))
    if added == "text_time" or kind in ("projection", "simple_projection"):
        config["projection_class_embeddings_input_dim"] = linear


def add_masks(r, n, config, inputs):
    (batch, length, _), (height, width) = inputs["encoder_hidden_states"].shape, inputs["sample"].shape[2:]
    text_mask = r.mask(batch, length).to(r.choice([torch.int64, torch.float32, torch.bool]))
    inputs |= r.some(encoder_attention_mask=(0.3, text_mask))
    # attention_mask serves all self-attentions: they must all look at the text, or all at the pixels of the only level.
    only = config.get("only_cross_attention", False)
    if only is True and config.get("mid_block_type", MIDDLE) != MIDDLE:
        inputs |= r.some(attention_mask=(0.4, r.mask(batch, length)))
    elif not only and n == 1:
        inputs |= r.some(attention_mask=(0.4, r.mask(batch, height * width)))


def draw_unet(r):
    n, text = r.choice([1, 1, 2, 2, 2, 3, 3, 4]), r.choice([4, 6, 7, 12, 16])
    config = unet_blocks(r, n)
    config |= unet_attention(r, n, config, text) | unet_scalars(r)
    if isinstance(config["cross_attention_dim"], int) and r.random() < 0.15:
        config["encoder_hid_dim"] = text = r.choice([5, 8, 10])
        config |= r.some(encoder_hid_dim_type=(0.5, "text_proj"))
    inputs = unet_inputs(r, n, config, text)
    add_conditions(r, config, inputs, text)
    add_masks(r, n, config, inputs)
    if r.random() < 0.1:  # the blocks' old names
        config["down_block_types"] = [r.choice(["", "UNetRes"]) + kind for kind in config["down_block_types"]]
    return Case("unet", config, inputs, lambda: UNet2DConditionModel(**config))


def draw_vae(r):
    n, groups, batch = r.choice([1, 2, 2, 3, 4]), r.choice([1, 2, 4]), r.randint(1, 3)
    config = dict(
        block_out_channels=[groups * r.randint(1, 5) for _ in range(n)], norm_num_groups=groups, layers_per_block=r.randint(1, 3),
        latent_channels=r.choice([1, 3, 4, 8, 16]), in_channels=r.choice([1, 3, 3, 4]), out_channels=r.choice([1, 3, 3, 4]),
        down_block_types=r.choices(["DownEncoderBlock2D", "AttnDownEncoderBlock2D"], [5, 1], k=n),
        up_block_types=r.choices(["UpDecoderBlock2D", "AttnUpDecoderBlock2D"], [5, 1], k=n),
        **r.some(act_fn=(0.5, r.choice(ACTIVATIONS)), use_quant_conv=(0.3, False), use_post_quant_conv=(0.3, False),
                 mid_block_add_attention=(0.3, False), force_upcast=(0.3, False), scaling_factor=(0.3, 0.13025), shift_factor=(0.2, 0.1),
                 sample_size=(0.3, 64)))
    scale = 2 ** (n - 1)
    size = r.choice([[scale * r.randint(1, 3), scale * r.randint(1, 3)], r.choices(range(scale, 4 * scale + 4), k=2)])
    latents = r.normal(batch, config["latent_channels"], *r.choices(range(1, 7), k=2))
    pixels = r.normal(batch, config["in_channels"], *size).clamp(-1, 1)
    component, inputs = r.choice([("vae-decode", dict(latents=latents)), ("vae-encode", dict(pixels=pixels))])
    return Case(component, config, inputs, lambda: AutoencoderKL(**config))


def draw_text(r):
    heads, batch, most = r.randint(1, 5), r.randint(1, 3), r.choice([9, 16, 77])
    width, length = heads * r.randint(1, 6), r.randint(1, most)
    config = dict(
        vocab_size=VOCABULARY, hidden_size=width, intermediate_size=r.choice([4, 24, 33]), num_hidden_layers=r.randint(1, 4),
        num_attention_heads=heads, max_position_embeddings=most, hidden_act=r.choice(TEXT_ACTIVATIONS), bos_token_id=0, pad_token_id=1,
        eos_token_id=r.choice([2, 2, 30, 39, 49407]),  # 2 is the old rule: the text ends at the largest id
        projection_dim=r.choice([4, 10, width]), **r.some(layer_norm_eps=(0.3, 1e-3)))
    ids = torch.tensor(r.choices(range(VOCABULARY), k=batch * length), dtype=r.choice([torch.int64, torch.int32])).view(batch, length)
    place, edge = torch.arange(length), torch.tensor(r.choices(range(1, length + 1), k=batch)).unsqueeze(1)
    mask = r.choice([place < edge, place < edge, place < edge, place >= edge - 1, r.mask(batch, length)]).long()
    cls = r.choice([transformers.CLIPTextModel, transformers.CLIPTextModelWithProjection])
    inputs = dict(input_ids=ids, **r.some(attention_mask=(0.5, mask)))
    return Case(r.choice(["text", "text2"]), config, inputs, lambda: cls(transformers.CLIPTextConfig(**config)))


def fill(model, seed):
    """Biases away from 0 and norms from 1, where one that is left out or mixed up would not show."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(model.named_parameters()):
        values, vector = torch.randn(parameter.shape, generator=generator), parameter.dim() == 1
        if "time_proj" not in name:  # frequencies stay as they are drawn
            values = values * (0.3 if vector else 0.6 / max(1, values[0].numel()) ** 0.5) + (vector and name.endswith("weight"))
        parameter.copy_(values)
    return model.eval()


def outputs(component, model, inputs):
    if component == "unet":
        added = {name: inputs[name] for name in ("text_embeds", "time_ids") if name in inputs}
        return dict(sample=model(**{k: inputs[k] for k in inputs if k not in added}, added_cond_kwargs=added).sample)
    if component == "vae-decode":
        return dict(pixels=model.decode(inputs["latents"]).sample)
    if component == "vae-encode":
        posterior = model.encode(inputs["pixels"]).latent_dist
        return dict(mean=posterior.mean, logvar=posterior.logvar)
    named = dict(model(**inputs, output_hidden_states=True))
    return {f"hidden_states.{i}": state for i, state in enumerate(named.pop("hidden_states"))} | named


@torch.no_grad()
def reference(case, seed, folder):
    model = fill(case.build(), seed)
    expected = outputs(case.component, model, case.inputs)
    if not all(value.isfinite().all() for value in expected.values()):
        raise ValueError("the reference's own output is not finite")
    model.save_pretrained(f"{folder}/model")
    save_file(case.inputs, f"{folder}/in.safetensors")
    return expected


def accepted(kind, r, folder, sweep):
    """The first case that diffusers takes, and what it makes of it."""
    for _ in range(50):
        case = dict(unet=draw_unet, vae=draw_vae, text=draw_text)[kind](r)
        try:
            return case, reference(case, r.getrandbits(32), folder)
        except Exception as error:
            sweep.not_drawable ...
