# Tiny CLIP text models: every hidden state, the pooled output, the projection, and every gradient of one weighted sum of them.
# run: python tests/golden/make_clip.py
import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from golden_model import draw, fill, store

BASE = dict(vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=9)
MODELS = {
    # eos_token_id 2 is the old rule: the end is the largest id. Elsewhere: the first end token, which padding may repeat.
    "legacy": (CLIPTextModel, dict(BASE, hidden_act="quick_gelu", eos_token_id=2, bos_token_id=0, pad_token_id=1),
               [[38, 5, 6, 39, 1, 1, 1, 1, 1], [38, 7, 2, 3, 4, 5, 8, 39, 1]]),
    "padded": (CLIPTextModel, dict(BASE, hidden_size=12, num_attention_heads=1, num_hidden_layers=3, hidden_act="gelu", eos_token_id=30,
                                   bos_token_id=29, pad_token_id=30, layer_norm_eps=1e-4),
               [[29, 5, 36, 30, 30, 30], [29, 30, 30, 30, 30, 30]]),
    "projection": (CLIPTextModelWithProjection, dict(BASE, num_attention_heads=2, hidden_act="gelu", projection_dim=10, eos_token_id=39,
                                                     bos_token_id=38, pad_token_id=0),
                   [[38, 5, 6, 39, 0, 0, 0], [38, 7, 2, 3, 4, 5, 39]]),
    # Tokens that no other token may see, in the middle and at the end.
    "masked": (CLIPTextModel, dict(BASE, num_attention_heads=2, num_hidden_layers=1, hidden_act="gelu_new", eos_token_id=39, bos_token_id=38, pad_token_id=0),
               [[38, 5, 6, 39, 0, 0], [38, 7, 2, 3, 4, 39]]),
}
MASKS = {"masked": [[1, 1, 1, 1, 0, 0], [1, 1, 0, 1, 1, 1]]}


def prefixed(name):
    return name if name.startswith(("text_model.", "text_projection.")) else "text_model." + name


def compute(model, index, ids, mask):
    tensors = {"input_ids": torch.tensor(ids)}
    if mask is not None:
        tensors["attention_mask"] = torch.tensor(mask)
    out = model(tensors["input_ids"], attention_mask=tensors.get("attention_mask"), output_hidden_states=True)
    tensors["last_hidden_state"] = out.last_hidden_state
    if isinstance(model, CLIPTextModelWithProjection):
        tensors["text_embeds"] = out.text_embeds
    else:
        tensors["pooler_output"] = out.pooler_output
    for i, states in enumerate(out.hidden_states):
        tensors[f"hidden_states.{i}"] = states
    loss = 0
    for key in [key for key in tensors if key not in ("input_ids", "attention_mask")]:
        tensors["loss_weights." + key] = draw(710 + index, *tensors[key].shape)
        loss = loss + (tensors[key] * tensors["loss_weights." + key].to(model.dtype)).sum()
    loss.backward()
    return tensors


def main():
    for index, (name, (kind, config, ids)) in enumerate(MODELS.items()):
        model = fill(kind(CLIPTextConfig(**config)), 700 + index)
        store(f"clip_{name}", model, {"architectures": [kind.__name__], **config}, "model", lambda each: compute(each, index, ids, MASKS.get(name)), prefixed)


main()
