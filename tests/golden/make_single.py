"""single_{sd1,sd2,sdxl}.json: small models of each family in a single file as CompVis and Stability name their tensors, and what diffusers' own
converters (diffusers.loaders.single_file_utils) make of them. Tensors are not stored: tensor i of "single" (in this order) holds
(7919 i + 31 j) mod 4093 - 2046 at its element j. "single": {name: shape}; each component: {name: [shape, start of the SHA-256 of its float32s]};
"configs": what a model of diffusers must be built with to take them, which is checked here."""
import hashlib
import json
import pathlib

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils as peer
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

HERE = pathlib.Path(__file__).parent
FAMILIES = {
    # widths, layers, levels with attention and their depth, width of the text states, linear projections, width of SDXL's sizes
    "sd1": dict(widths=(32, 64, 64), layers=2, depth=(1, 1, 0), middle=1, context=64, linear=False, adm=0),
    "sd2": dict(widths=(64, 128), layers=1, depth=(1, 0), middle=1, context=64, linear=True, adm=0),
    "sdxl": dict(widths=(64, 128, 128), layers=2, depth=(0, 1, 3), middle=3, context=192, linear=True, adm=128 + 6 * 256),
}


class Names(dict):
    """Collects names and shapes."""

    def layer(self, name, *shape, bias=True):
        self[name + ".weight"] = list(shape)
        if bias:
            self[name + ".bias"] = [shape[0]]

    def norm(self, name, width):
        self[name + ".weight"] = self[name + ".bias"] = [width]


def resnet(names, at, width_in, width, time):
    names.norm(at + ".in_layers.0", width_in)
    names.layer(at + ".in_layers.2", width, width_in, 3, 3)
    names.layer(at + ".emb_layers.1", width, time)
    names.norm(at + ".out_layers.0", width)
    names.layer(at + ".out_layers.3", width, width, 3, 3)
    if width_in != width:
        names.layer(at + ".skip_connection", width, width_in, 1, 1)


def transformer(names, at, width, depth, context, linear):
    one = () if linear else (1, 1)
    names.norm(at + ".norm", width)
    names.layer(at + ".proj_in", width, width, *one)
    for i in range(depth):
        block = f"{at}.transformer_blocks.{i}"
        for attention, source in (("attn1", width), ("attn2", context)):
            names.layer(f"{block}.{attention}.to_q", width, width, bias=False)
            names.layer(f"{block}.{attention}.to_k", width, source, bias=False)
            names.layer(f"{block}.{attention}.to_v", width, source, bias=False)
            names.layer(f"{block}.{attention}.to_out.0", width, width)
        names.layer(f"{block}.ff.net.0.proj", 8 * width, width)
        names.layer(f"{block}.ff.net.2", width, 4 * width)
        for norm in ("norm1", "norm2", "norm3"):
            names.norm(f"{block}.{norm}", width)
    names.layer(at + ".proj_out", width, width, *one)


def unet(widths, layers, depth, middle, context, linear, adm):
    """openaimodel.py's UNetModel."""
    names, base, time = Names(), widths[0], 4 * widths[0]
    names.layer("time_embed.0", time, base)
    names.layer("time_embed.2", time, time)
    if adm:
        names.layer("label_emb.0.0", time, adm)
        names.layer("label_emb.0.2", time, time)
    names.layer("input_blocks.0.0", base, 4, 3, 3)
    skips, now, block = [base], base, 1
    for level, width in enumerate(widths):
        for _ in range(layers):
            resnet(names, f"input_blocks.{block}.0", now, width, time)
            if depth[level]:
                transformer(names, f"input_blocks.{block}.1", width, depth[level], context, linear)
            now, block = width, block + 1
            skips.append(now)
        if level + 1 < len(widths):
            names.layer(f"input_blocks.{block}.0.op", now, now, 3, 3)
            skips.append(now)
            block += 1
    resnet(names, "middle_block.0", now, now, time)
    transformer(names, "middle_block.1", now, middle, context, linear)
    resnet(names, "middle_block.2", now, now, time)
    block = 0
    for level in reversed(range(len(widths))):
        for i in range(layers + 1):
            resnet(names, f"output_blocks.{block}.0", now + skips.pop(), widths[level], time)
            now, place = widths[level], 1
            if depth[level]:
                transformer(names, f"output_blocks.{block}.1", now, depth[level], context, linear)
                place = 2
            if level and i == layers:
                names.layer(f"output_blocks.{block}.{place}.conv", now, now, 3, 3)
            block += 1
    names.norm("out.0", base)
    names.layer("out.2", 4, base, 3, 3)
    return names


def vae(widths=(32, 64), layers=1, latent=4):
    """model.py's Encoder and Decoder."""
    names = Names()

    def block(at, width_in, width):
        names.norm(at + ".norm1", width_in)
        names.layer(at + ".conv1", width, width_in, 3, 3)
        names.norm(at + ".norm2", width)
        names.layer(at + ".conv2", width, width, 3, 3)
        if width_in != width:
            names.layer(at + ".nin_shortcut", width, width_in, 1, 1)

    def middle(at, width):
        block(at + ".block_1", width, width)
        names.norm(at + ".attn_1.norm", width)
        for part in ("q", "k", "v", "proj_out"):
            names.layer(f"{at}.attn_1.{part}", width, width, 1, 1)
        block(at + ".block_2", width, width)

    names.layer("encoder.conv_in", widths[0], 3, 3, 3)
    now = widths[0]
    for level, width in enumerate(widths):
        for i in range(layers):
            block(f"encoder.down.{level}.block.{i}", now, width)
            now = width
        if level + 1 < len(widths):
            names.layer(f"encoder.down.{level}.downsample.conv", now, now, 3, 3)
    middle("encoder.mid", now)
    names.norm("encoder.norm_out", now)
    names.layer("encoder.conv_out", 2 * latent, now, 3, 3)
    names.layer("decoder.conv_in", now, latent, 3, 3)
    middle("decoder.mid", now)
    for level in reversed(range(len(widths))):
        for i in range(layers + 1):
            block(f"decoder.up.{level}.block.{i}", now, widths[level])
            now = widths[level]
        if level:
            names.layer(f"decoder.up.{level}.upsample.conv", now, now, 3, 3)
    names.norm("decoder.norm_out", now)
    names.layer("decoder.conv_out", 3, now, 3, 3)
    names.layer("quant_conv", 2 * latent, 2 * latent, 1, 1)
    names.layer("post_quant_conv", latent, latent, 1, 1)
    return names


def clip(layers, width, vocabulary):
    names = Names()
    names["text_model.embeddings.position_ids"] = [1, 77]
    names["text_model.embeddings.token_embedding.weight"] = [vocabulary, width]
    names["text_model.embeddings.position_embedding.weight"] = [77, width]
    for i in range(layers):
        at = f"text_model.encoder.layers.{i}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            names.layer(f"{at}.self_attn.{part}", width, width)
        names.layer(f"{at}.mlp.fc1", 2 * width, width)
        names.layer(f"{at}.mlp.fc2", width, 2 * width)
        names.norm(f"{at}.layer_norm1", width)
        names.norm(f"{at}.layer_norm2", width)
    names.norm("text_model.final_layer_norm", width)
    return names


def open_clip(layers, width, vocabulary):
    names = Names()
    names["positional_embedding"] = [77, width]
    names["text_projection"] = [width, width]
    names["logit_scale"] = []
    names["token_embedding.weight"] = [vocabulary, width]
    for i in range(layers):
        at = f"transformer.resblocks.{i}"
        names.norm(f"{at}.ln_1", width)
        names[f"{at}.attn.in_proj_weight"] = [3 * width, width]
        names[f"{at}.attn.in_proj_bias"] = [3 * width]
        names.layer(f"{at}.attn.out_proj", width, width)
        names.norm(f"{at}.ln_2", width)
        names.layer(f"{at}.mlp.c_fc", 2 * width, width)
        names.layer(f"{at}.mlp.c_proj", width, 2 * width)
    names.norm("ln_final", width)
    return names


def values(shapes):
    tensors = {}
    for i, (name, shape) in enumerate(shapes.items()):
        count = torch.Size(shape).numel()
        tensors[name] = ((7919 * i + 31 * torch.arange(count)) % 4093 - 2046).float().reshape(shape)
    return tensors


def text_config(layers, width, vocabulary, act, projection=None):
    return dict(vocab_size=vocabulary, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=layers, num_attention_heads=width // 64, hidden_act=act,
                max_position_embeddings=77, projection_dim=projection or width, bos_token_id=0, eos_token_id=2)


def take(model, tensors):
    """Loads them, all of them and none missing; transformers 5 lacks the prefix of CLIPTextModel."""
    own = model.state_dict()
    bare = {name if name in own else name.removeprefix("text_model."): tensor for name, tensor in tensors.items() if not name.endswith("position_ids")}
    model.load_state_dict(bare, strict=True)
    return {name: tensor for name, tensor in tensors.items() if not name.endswith("position_ids")}


def convert(family, tensors, configs):
    with torch.device("meta"):
        models = {"unet": UNet2DConditionModel(**configs["unet"]), "vae": AutoencoderKL(**configs["vae"]), "text_encoder": CLIPTextModel(CLIPTextConfig(**configs["text_encoder"]))}
        if family == "sdxl":
            models["text_encoder_2"] = CLIPTextModelWithProjection(CLIPTextConfig(**configs["text_encoder_2"]))
    models = {name: model.to_empty(device="cpu") for name, model in models.items()}
    found = {"unet": peer.convert_ldm_unet_checkpoint(dict(tensors), models["unet"].config), "vae": peer.convert_ldm_vae_checkpoint(dict(tensors), models["vae"].config)}
    if family == "sd2":
        found["text_encoder"] = peer.convert_open_clip_checkpoint(models["text_encoder"], dict(tensors))
    else:
        found["text_encoder"] = peer.convert_ldm_clip_checkpoint(dict(tensors))
    if family == "sdxl":
        found["text_encoder_2"] = peer.convert_open_clip_checkpoint(models["text_encoder_2"], dict(tensors), prefix="conditioner.embedders.1.model.")
    return {name: take(models[name], part) for name, part in found.items()}


def main(family):
    options = FAMILIES[family]
    shapes = {"model.diffusion_model." + name: shape for name, shape in unet(**options).items()}
    shapes |= {"first_stage_model." + name: shape for name, shape in vae().items()}
    configs = {}
    if family == "sd2":
        shapes |= {"cond_stage_model.model." + name: shape for name, shape in open_clip(24, 64, 96).items()}
        configs["text_encoder"] = text_config(23, 64, 96, "gelu")
    else:
        prefix = "cond_stage_model.transformer." if family == "sd1" else "conditioner.embedders.0.transformer."
        vocabulary = 49408 if family == "sd1" else 96
        shapes |= {prefix + name: shape for name, shape in clip(2, 64, vocabulary).items()}
        configs["text_encoder"] = text_config(2, 64, vocabulary, "quick_gelu")
    if family == "sdxl":
        shapes |= {"conditioner.embedders.1.model." + name: shape for name, shape in open_clip(3, 128, 96).items()}
        configs["text_encoder_2"] = text_config(3, 128, 96, "gelu", 128)
    shapes |= {"model_ema.decay": [], "betas": [10]}  # what training leaves beside
    widths, attends = options["widths"], [bool(d) for d in options["depth"]]
    depth = [max(d, 1) for d in options["depth"]]
    configs["unet"] = dict(block_out_channels=list(widths), layers_per_block=options["layers"], cross_attention_dim=options["context"], use_linear_projection=options["linear"],
                           attention_head_dim=8 if family == "sd1" else [w // 64 for w in widths], transformer_layers_per_block=1 if set(depth) == {1} else depth,
                           down_block_types=["CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attends],
                           up_block_types=["CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)])
    if family == "sdxl":
        configs["unet"] |= dict(addition_embed_type="text_time", addition_time_embed_dim=256, projection_class_embeddings_input_dim=options["adm"])
    configs["vae"] = dict(block_out_channels=[32, 64], layers_per_block=1, latent_channels=4, down_block_types=["DownEncoderBlock2D"] * 2,
                          up_block_types=["UpDecoderBlock2D"] * 2, scaling_factor=0.13025 if family == "sdxl" else 0.18215)
    components = convert(family, values(shapes), configs)
    told = {part: {name: [list(t.shape), hashlib.sha256(t.contiguous().numpy().tobytes()).hexdigest()[:16]] for name, t in sorted(tensors.items())}
            for part, tensors in components.items()}
    lines = [f" {json.dumps(key)}: " + "{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in part.items()) + "\n }"
             for key, part in ({"configs": configs, "single": shapes} | told).items()]
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    (HERE / f"single_{family}.json").write_text(text)
    print(family, len(shapes), "tensors,", {name: len(part) for name, part in told.items()}, len(text), "bytes")


if __name__ == "__main__":
    for each in FAMILIES:
        main(each)
