#!/usr/bin/env python3
"""Compares `palate forward` with diffusers and transformers on random tiny U-Nets, autoencoders and CLIP text models.

    sweep_forward.py --palate build/palate [--kinds unet,vae,text] [--first SEED] [--count N] [--tolerance 1e-5] [--show]

The golden models hold every option once; a sweep finds those that go wrong only together. A case where palate differs or refuses
gets a line: seed, component, tensor, error (the largest difference over the tensor's largest value), config, inputs. Where a tensor
cancels (a norm over three pixels), float32 itself is that far off: both are then compared with diffusers in float64, and a case is
ill-conditioned, not wrong, when palate is as near to it as diffusers in float32. Configs that diffusers refuses are counted and drawn
anew. --show prints these and the equal cases too. To see one case again: --kinds KIND --first SEED --count 1. Exit status 1 if
anything was wrong.
"""
import argparse
import collections
import json
import logging
import os
import random
import subprocess
import tempfile

import torch
import transformers
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file

ACTIVATIONS = ["silu", "swish", "mish", "gelu", "relu", "SiLU"]
TEXT_ACTIVATIONS = ["quick_gelu", "quick_gelu", "gelu", "gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "mish"]
DOWN_BLOCKS, MIDDLE = ["DownBlock2D", "CrossAttnDownBlock2D"], "UNetMidBlock2DCrossAttn"
LINEAR, POOLED, CLASSES, VOCABULARY = "projection_class_embeddings_input_dim", 10, 7, 40
Case = collections.namedtuple("Case", "component config inputs build")


class Draw(random.Random):
    def some(self, **options):  # name=(probability, value)
        return {name: value for name, (probability, value) in options.items() if self.random() < probability}

    def normal(self, *shape):
        return torch.randn(shape, generator=torch.Generator().manual_seed(self.getrandbits(32)))

    def mask(self, *shape):
        mask = (self.normal(*shape) > -0.25).long()
        mask[:, :1] = 1  # a row that keeps nothing has no softmax
        return mask


def unet_blocks(r, n):
    groups, wide = r.choice([1, 2, 4]), 8 if r.random() < 0.04 else 1  # now and then as wide as the groups of real models
    return dict(
        block_out_channels=[wide * max(4, groups * r.randint(1, 5) * r.choice([1, 2])) for _ in range(n)], norm_num_groups=wide * groups,
        layers_per_block=r.choice([r.randint(1, 3), r.choices([1, 2, 3], k=n)]), sample_size=r.choice([8, None, [8, 6]]),
        down_block_types=r.choices(DOWN_BLOCKS + ["UNetRes" + kind for kind in DOWN_BLOCKS], [10, 10, 1, 1], k=n),  # UNetRes: old names
        up_block_types=r.choices(["UpBlock2D", "CrossAttnUpBlock2D"], k=n),
        in_channels=r.choice([1, 3, 4, 4, 9]), out_channels=r.choice([1, 3, 4, 4, 8]), **r.some(
            mid_block_type=(0.5, r.choice([MIDDLE, "UNetMidBlock2D", None])), mid_block_scale_factor=(0.3, r.choice([0.7, 1.5, 2])),
            flip_sin_to_cos=(0.3, False), freq_shift=(0.3, 1), time_embedding_type=(0.12, "fourier"), dropout=(0.1, 0.0),
            time_cond_proj_dim=(0.3, r.choice([3, 8])), time_embedding_dim=(0.3, r.choice([6, 16, 20])),
            time_embedding_act_fn=(0.25, r.choice(ACTIVATIONS)), timestep_post_act=(0.25, r.choice(ACTIVATIONS)),
            act_fn=(0.5, r.choice(ACTIVATIONS)), norm_eps=(0.3, r.choice([1e-6, 1e-5, 1e-3])), center_input_sample=(0.2, True),
            resnet_time_scale_shift=(0.3, "scale_shift"), resnet_skip_time_act=(0.2, True), resnet_out_scale_factor=(0.1, 1.4),
            conv_in_kernel=(0.2, r.choice([1, 3, 5])), conv_out_kernel=(0.2, r.choice([1, 3, 5])), downsample_padding=(0.3, 0)))


def unet_transformers(r, n, layers):
    """How many: one number, one a block or one a layer; the way up has a layer more a block, and may have its own numbers."""
    key, layers = "transformer_layers_per_block", layers if isinstance(layers, list) else [layers] * n
    down = [r.choice([r.randint(0, 3), r.choices(range(4), k=count)]) for count in layers]
    flat = r.choices(range(4), k=n)
    own = {"reverse_" + key: [r.choice([r.randint(0, 3), r.choices(range(4), k=count + 1)]) for count in reversed(layers)]}
    return r.choice([{}, {key: r.randint(1, 3)}, {key: flat}, {key: flat, **own}, {key: down, **own}])


def unet_attention(r, n, blocks, text):
    kinds = zip(blocks["down_block_types"], blocks["up_block_types"][::-1], [""] * (n - 1) + [blocks.get("mid_block_type", MIDDLE) or ""])
    # A block without attention may name any text width: nobody reads it.
    each = [text if "Cross" in "".join(kind) else r.choice([3, 5, text]) for kind in kinds]
    return dict(
        attention_head_dim=r.choice([r.randint(1, 4), [r.randint(1, min(width, 8)) for width in blocks["block_out_channels"]]]),
        cross_attention_dim=each if r.random() < 0.35 else text, **unet_transformers(r, n, blocks["layers_per_block"]),
        **r.some(only_cross_attention=(0.4, r.random() < 0.4 or r.choices([True, False], k=n)), cross_attention_norm=(0.05, "layer_norm"),
                 mid_block_only_cross_attention=(0.1, True), use_linear_projection=(0.5, True), upcast_attention=(0.2, True)))


def unet_inputs(r, n, config, text):
    batch, length, scale, times = r.randint(1, 3), r.choice([1, 3, 7, 77]), 2 ** (n - 1), torch.tensor(r.choices(range(1000), k=3))
    size = r.choice([[scale * r.randint(1, 3), scale * r.randint(1, 3)], r.choices(range(max(2, scale // 2), 3 * scale + 4), k=2)])
    text_mask = r.mask(batch, length).to(r.choice([torch.int64, torch.float32, torch.bool]))
    # attention_mask serves all self-attentions: they must all look at the text, or all at the pixels of the only level.
    only, middle = config.get("only_cross_attention", False), config.get("mid_block_type", MIDDLE)
    keys = length if only is True and middle != MIDDLE else size[0] * size[1] if not only and n == 1 else 0
    return dict(sample=r.normal(batch, config["in_channels"], *size), encoder_hidden_states=r.normal(batch, length, text),
                timestep=r.choice([times[:batch].clone(), times[0].clone(), times[:batch] * r.random()]),
                **r.some(timestep_cond=(0.8 * ("time_cond_proj_dim" in config), r.normal(batch, config.get("time_cond_proj_dim", 0))),
                         encoder_attention_mask=(0.3, text_mask), attention_mask=(0.4 * (keys > 0), r.mask(batch, keys))))


def add_conditions(r, config, inputs, text):
    """What joins the time embedding: classes, and a pooled text or SDXL's pooled text and sizes."""
    batch, added = len(inputs["sample"]), r.choice([None, None, "text_time", "text"])
    sizes = 6 if "freq_shift" in config else r.choice([2, 3, 6])  # freq_shift divides by half the width less one
    linear, time = POOLED + 6 * sizes, config["block_out_channels"][0] * (2 if "time_embedding_type" in config else 4)
    vectors, as_time = r.normal(batch, linear), r.normal(batch, config.get("time_embedding_dim", time))
    few, many = (torch.tensor(r.choices(range(limit), k=batch)) for limit in (CLASSES, 1000))
    labels = {"table": few, "timestep": many, "identity": as_time, "projection": vectors, "simple_projection": vectors}
    if kind := r.choice([None] * 4 + list(labels)):
        config |= {"num_class_embeds": CLASSES} if kind == "table" else {"class_embed_type": kind, LINEAR: linear}
        inputs["class_labels"] = labels[kind]
    if added == "text_time":
        config |= {"addition_embed_type": added, "addition_time_embed_dim": sizes, LINEAR: linear}
        ids = torch.tensor(r.choices([0.0, 48.0, 64.0, 1024.0], k=6 * batch)).view(batch, 6)
        inputs |= {"text_embeds": r.normal(batch, POOLED), "time_ids": ids}
    elif added and isinstance(config["cross_attention_dim"], int):
        heads = r.choice([heads for heads in range(1, text + 1) if text % heads == 0])
        config |= {"addition_embed_type": added, "addition_embed_type_num_heads": heads}
    elif kind:
        config |= r.some(class_embeddings_concat=(0.5, True))


def draw_unet(r):
    n, text = r.choice([1, 1, 2, 2, 2, 3, 3, 4]), r.choice([4, 6, 7, 12, 16])
    config = unet_blocks(r, n)
    config |= unet_attention(r, n, config, text)
    if isinstance(config["cross_attention_dim"], int) and r.random() < 0.15:
        config["encoder_hid_dim"] = text = r.choice([5, 8, 10])
        config |= r.some(encoder_hid_dim_type=(0.5, "text_proj"))
    inputs = unet_inputs(r, n, config, text)
    add_conditions(r, config, inputs, text)
    return Case("unet", config, inputs, lambda: UNet2DConditionModel(**config))


def draw_vae(r):
    n, groups, batch = r.choice([1, 2, 2, 3, 4]), r.choice([1, 2, 4]), r.randint(1, 3)
    config = dict(
        block_out_channels=[groups * r.randint(1, 5) for _ in range(n)], norm_num_groups=groups, layers_per_block=r.randint(1, 3),
        latent_channels=r.choice([1, 3, 4, 8, 16]), in_channels=r.choice([1, 3, 3, 4]), out_channels=r.choice([1, 3, 3, 4]),
        down_block_types=r.choices(["DownEncoderBlock2D", "AttnDownEncoderBlock2D"], [5, 1], k=n),
        up_block_types=r.choices(["UpDecoderBlock2D", "AttnUpDecoderBlock2D"], [5, 1], k=n), **r.some(
            act_fn=(0.5, r.choice(ACTIVATIONS)), use_quant_conv=(0.3, False), use_post_quant_conv=(0.3, False), force_upcast=(0.3, False),
            mid_block_add_attention=(0.3, False), scaling_factor=(0.3, 0.13025), shift_factor=(0.2, 0.1), sample_size=(0.3, 64)))
    size = r.choice([[2 ** (n - 1) * r.randint(1, 3) for _ in "hw"], r.choices(range(2 ** (n - 1), 2 ** (n + 1) + 4), k=2)])
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
    inputs = dict(input_ids=ids, **r.some(attention_mask=(0.5, mask)))
    cls = r.choice([transformers.CLIPTextModel, transformers.CLIPTextModelWithProjection])
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


def distance(got, want):
    if got is None or got.shape != want.shape:
        return torch.inf
    return ((got - want).abs().max() / want.abs().max().clamp_min(1e-12)).nan_to_num(nan=torch.inf).item()


def accepted(kind, r, folder, tally, show):
    """A case that diffusers takes, and what it makes of it; its files are in the folder."""
    for _ in range(50):
        case = dict(unet=draw_unet, vae=draw_vae, text=draw_text)[kind](r)
        try:
            model = fill(case.build(), r.getrandbits(32))
            expected = outputs(case.component, model, case.inputs)
            assert all(value.isfinite().all() for value in expected.values()), "its own output is not finite"
            model.save_pretrained(f"{folder}/model")
            save_file(case.inputs, f"{folder}/in.safetensors")
            return case, model, expected
        except Exception as error:
            tally["refused by diffusers"] += 1
            if show:
                print(f"{kind} refused by diffusers: {error!r} config {json.dumps(case.config)}")
    raise SystemExit(f"diffusers refuses every {kind} config")


def exact(case, model):
    """In float64."""
    doubled = {name: value.double() if value.is_floating_point() else value for name, value in case.inputs.items()}
    return outputs(case.component, model.double(), doubled)


def compare(program, case, model, expected, folder, tolerance):
    """The worst error, none where palate refuses, what to say of it, and whether float32 is to blame."""
    command = [program, "forward", "--component", case.component, "--threads", "1", "--model", "model", "--in", "in.safetensors"]
    done = subprocess.run([*command, "--out", "out.safetensors"], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        return None, f"refused: {' '.join(done.stderr.split())} (exit status {done.returncode})", False
    got = load_file(f"{folder}/out.safetensors")
    error, name = max((distance(got.get(name), want), name) for name, want in expected.items())
    if error <= tolerance:
        return error, f"{name} error {error:.2g}", False
    truth = exact(case, model)
    ours, theirs = (max(distance(made.get(name), want) for name, want in truth.items()) for made in (got, expected))
    return error, f"{name} error {error:.2g}; from float64 palate is {ours:.2g} and diffusers {theirs:.2g}", ours <= 1.5 * theirs


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--palate", type=os.path.abspath, required=True)
    parser.add_argument("--kinds", type=lambda text: text.split(","), default=["unet", "vae", "text"])
    for flag, default in {"--first": 0, "--count": 120, "--tolerance": 1e-5}.items():
        parser.add_argument(flag, type=type(default), default=default)
    parser.add_argument("--show", action="store_true")
    args = parser.parse_args()
    logging.captureWarnings(True)
    logging.disable()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    tally, worst = collections.Counter(), 0
    for seed in range(args.first, args.first + args.count):
        with tempfile.TemporaryDirectory() as folder:
            case, model, expected = accepted(args.kinds[seed % len(args.kinds)], Draw(seed), folder, tally, args.show)
            error, found, blameless = compare(args.palate, case, model, expected, folder, args.tolerance)
        verdict = "refused" if error is None else "equal" if error <= args.tolerance else "ill-conditioned" if blameless else "wrong"
        tally.update([case.component, verdict])
        worst = max(worst, 0 if blameless else error or 0)
        if args.show or verdict != "equal":
            shapes = {name: list(value.shape) for name, value in case.inputs.items()}
            print(f"{seed} {case.component} {found} config {json.dumps(case.config)} inputs {json.dumps(shapes)}", flush=True)
    names = "unet", "vae-encode", "vae-decode", "text", "text2", "equal", "ill-conditioned", "wrong", "refused", "refused by diffusers"
    print(f"{', '.join(f'{tally[name]} {name}' for name in names)}; worst error {worst:.2g}")
    raise SystemExit(tally["equal"] + tally["ill-conditioned"] < args.count)


if __name__ == "__main__":
    main()
