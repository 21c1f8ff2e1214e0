# Tiny CLIP models: embeddings and scores of both towers with every gradient, ten steps of a Bradley-Terry loss, and what CLIPImageProcessor makes of
# pictures.
# run: python tests/golden/make_clip_model.py
import copy
import json
import shutil

import torch
import torch.nn.functional as F
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPVisionConfig, CLIPVisionModel

from golden_file import HERE, write
from golden_model import draw, fill, store

TEXT = dict(vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=9, bos_token_id=0, pad_token_id=1)
VISION = dict(hidden_size=20, intermediate_size=28, num_hidden_layers=2, num_attention_heads=2, image_size=12, patch_size=4)
IDS = [[38, 5, 6, 39, 1, 1, 1, 1, 1], [38, 7, 2, 3, 4, 5, 8, 39, 1], [38, 9, 39, 1, 1, 1, 1, 1, 1], [38, 11, 12, 39, 1, 1, 1, 1, 1]]
MODELS = {
    # eos_token_id 2 is the old rule: the end is the largest id. OpenAI's own models have quick_gelu, those of open_clip, PickScore among them, gelu.
    "quick": dict(projection_dim=10, text_config=dict(TEXT, hidden_act="quick_gelu", eos_token_id=2), vision_config=dict(VISION, hidden_act="quick_gelu")),
    "gelu": dict(projection_dim=14, text_config=dict(TEXT, hidden_act="gelu", eos_token_id=39, layer_norm_eps=1e-4),
                 vision_config=dict(VISION, hidden_act="gelu", num_hidden_layers=3, patch_size=3, num_attention_heads=5)),
}
PROCESSORS = {
    "square": dict(size={"shortest_edge": 24}, crop_size={"height": 24, "width": 24}),
    "squeezed": dict(size={"height": 20, "width": 28}, do_center_crop=False, image_mean=[0.5, 0.4, 0.3], image_std=[0.5, 0.25, 0.2]),
    "padded": dict(size={"shortest_edge": 13}, crop_size={"height": 24, "width": 18}, resample=2),
}
PICTURES = [(40, 30), (24, 24), (13, 50), (65, 25), (31, 47)]  # height, width


def weighted(tensors, outputs, seed, dtype):
    """A sum of all outputs with weights of their own, which are stored beside them."""
    loss = 0
    for key, value in outputs.items():
        tensors[key] = value
        tensors["loss_weights." + key] = draw(seed, *value.shape)
        loss = loss + (value * tensors["loss_weights." + key].to(dtype)).sum()
    loss.backward()
    return tensors


def scores(model, images, texts):
    """exp(logit_scale) cos: one picture, one text."""
    return model.logit_scale.exp() * F.cosine_similarity(images, texts.repeat(len(images) // len(texts), 1))


def embeds(model, pixels, ids):
    images = model.visual_projection(model.vision_model(pixels.to(model.dtype)).pooler_output)
    return images, model.text_projection(model.text_model(ids).pooler_output)


def compute_model(model, seed):
    tensors = {"input_ids": torch.tensor(IDS), "pixel_values": draw(seed, 8, 3, 12, 12)}
    images, texts = embeds(model, tensors["pixel_values"], tensors["input_ids"])
    return weighted(tensors, {"image_embeds": images, "text_embeds": texts, "scores": scores(model, images, texts)}, seed + 1, model.dtype)


def compute_vision(model, seed):
    tensors = {"pixel_values": draw(seed, 2, 3, 12, 12)}
    out = model(tensors["pixel_values"].to(model.dtype), output_hidden_states=True)
    outputs = {"last_hidden_state": out.last_hidden_state, "pooler_output": out.pooler_output}
    outputs |= {f"hidden_states.{i}": states for i, states in enumerate(out.hidden_states)}
    return weighted(tensors, outputs, seed + 1, model.dtype)


def ten_steps(model, seed):
    """Pairs of pictures 0 to 3 (preferred) and 4 to 7, one of them a tie and one with a confidence; AdamW as PickScore's, but with an eps that does not
    magnify rounding."""
    tensors = {"input_ids": torch.tensor(IDS), "pixel_values": draw(seed, 8, 3, 12, 12), "label": torch.tensor([1, 0.5, 0.8, 1])}
    label, initial = tensors["label"].to(model.dtype), copy.deepcopy(model.state_dict())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, eps=1e-3, weight_decay=0.3)
    losses, norms = [], []
    for _ in range(10):
        win, lose = scores(model, *embeds(model, tensors["pixel_values"], tensors["input_ids"])).chunk(2)
        logits = torch.stack([win, lose], -1)
        loss = (label * F.cross_entropy(logits, torch.zeros(4).long(), reduction="none") + (1 - label) * F.cross_entropy(logits, torch.ones(4).long(), reduction="none")).mean()
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0))
        optimizer.step()
        losses.append(loss.detach())
    tensors |= {"losses": torch.stack(losses), "norms": torch.stack(norms)}
    return tensors | {"moved." + name: value.detach() - initial[name] for name, value in model.named_parameters()}


def prefixed(name):
    return "vision_model." + name


def make_models():
    for index, (name, config) in enumerate(MODELS.items()):
        model = fill(CLIPModel(CLIPConfig(**config)), 720 + index)
        model.logit_scale.data.fill_(1.5)
        store(f"clip_model_{name}", model, {"architectures": ["CLIPModel"], **config}, "model", lambda each: compute_model(each, 730 + index))
        model.zero_grad()
        write(f"clip_model_{name}/steps.safetensors", ten_steps(copy.deepcopy(model), 740 + index), [ten_steps(copy.deepcopy(model).float(), 740 + index)])
    config = dict(VISION, hidden_act="gelu", layer_norm_eps=1e-4)
    model = fill(CLIPVisionModel(CLIPVisionConfig(**config)), 722)
    store("clip_vision", model, {"architectures": ["CLIPVisionModel"], **config}, "model", lambda each: compute_vision(each, 732), prefixed)


def make_processors():
    generator = torch.Generator().manual_seed(750)
    values = {}
    for i, (height, width) in enumerate(PICTURES):
        values[f"picture.{i}"] = torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)
    for name, settings in PROCESSORS.items():
        processor = CLIPImageProcessorPil(**settings)
        folder = HERE / "clip_processors" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "preprocessor_config.json").write_text(json.dumps(settings | {"image_processor_type": "CLIPImageProcessor"}, indent=2) + "\n")
        for i in range(len(PICTURES)):
            picture = Image.fromarray(values[f"picture.{i}"].permute(1, 2, 0).numpy())
            values[f"{name}.{i}"] = torch.as_tensor(processor(picture, return_tensors="pt")["pixel_values"][0])
    write("clip_processors/pixel_values.safetensors", values, [])


make_models()
make_processors()
