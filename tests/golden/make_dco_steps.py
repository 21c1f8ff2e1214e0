#!/usr/bin/env python3
"""Ten optimizer steps of DCO with a new word, written out with diffusers, peft and torch.optim on tiny_pipeline (make_pipeline.py) with its text encoder
made calm (golden_file.py): the policy reads "a photo of <toy>", the base "a photo of cat", the word's vector is scaled back after each step.

dco_steps.safetensors: value.NAME (where the LoRA begins), latents, noise, t of all steps, losses, moved.NAME, moved.text_encoder.token_embedding.
"""
import torch
import torch.nn.functional as F
from diffusers import StableDiffusionPipeline
from peft import LoraConfig

from golden_file import HERE, calm, draw, in_both, write

STEPS, BATCH, BETA, RATE, WORD_RATE, EPS = 10, 2, 200.0, 2e-3, 5e-3, 1e-3
PROMPT, BASE_PROMPT = "a photo of <toy>", "a photo of cat"


class WithWord(torch.nn.Module):
    """A table of embeddings whose last row is trained, and the others are not."""

    def __init__(self, table, vector):
        super().__init__()
        self.table, self.vector = table.detach(), torch.nn.Parameter(vector.clone())

    @property
    def weight(self):
        return torch.cat([self.table, self.vector])

    def forward(self, ids):
        return F.embedding(ids, self.weight)


def compute():
    g = torch.Generator().manual_seed(83)
    pipe = calm(StableDiffusionPipeline.from_pretrained(HERE / "tiny_pipeline", safety_checker=None, requires_safety_checker=False))
    pipe = pipe.to(torch.get_default_dtype())
    unet, encoder, tokenizer, scheduler = pipe.unet, pipe.text_encoder, pipe.tokenizer, pipe.scheduler
    unet.requires_grad_(False)
    encoder.requires_grad_(False)
    with torch.no_grad():
        base = pipe.encode_prompt([BASE_PROMPT] * BATCH, "cpu", 1, False)[0]
    table = encoder.get_input_embeddings().weight
    [cat] = tokenizer("cat", add_special_tokens=False).input_ids
    tokenizer.add_tokens(["<toy>"])
    word = WithWord(table, table[cat:cat + 1].detach())
    encoder.set_input_embeddings(word)
    unet.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_k", "to_v", "to_out.0"], init_lora_weights="gaussian"))
    trained = {name.replace(".default.", "."): p for name, p in unet.named_parameters() if "lora_" in name}
    out, begin = {}, {}
    with torch.no_grad():
        for name, p in trained.items():
            p.copy_(0.2 * draw(*p.shape, generator=g))
            begin[name] = p.detach().clone()
            out[f"value.{name}"] = begin[name]
    norm, first = word.vector.detach().norm(), word.vector.detach().clone()
    optimizer = torch.optim.AdamW([dict(params=list(trained.values()), lr=RATE), dict(params=[word.vector], lr=WORD_RATE)], betas=(0.9, 0.999), eps=EPS,
                                  weight_decay=1e-4)
    latents, noise = draw(STEPS, BATCH, 4, 8, 8, generator=g), draw(STEPS, BATCH, 4, 8, 8, generator=g)
    t = torch.randint(0, 1000, (STEPS, BATCH), generator=g)
    abar = scheduler.alphas_cumprod.to(torch.get_default_dtype())[t][..., None, None, None]
    x = abar.sqrt() * latents + (1 - abar).sqrt() * noise
    losses = []
    for step in range(STEPS):
        error = lambda text: (unet(x[step], t[step], text).sample - noise[step]).square().mean((1, 2, 3))
        with torch.no_grad():
            unet.disable_adapters()
            reference = error(base)
            unet.enable_adapters()
        for p in trained.values():  # which switching adapters off takes back
            p.requires_grad_(True)
        loss = -F.logsigmoid(-BETA * (error(pipe.encode_prompt([PROMPT] * BATCH, "cpu", 1, False)[0]) - reference)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            word.vector.mul_(norm / word.vector.norm())
        losses.append(loss.detach())
    out |= {"latents": latents, "noise": noise, "t": t, "losses": torch.stack(losses)}
    out |= {f"moved.{name}": p.detach() - begin[name] for name, p in trained.items()}
    out["moved.text_encoder.token_embedding"] = word.vector.detach() - first
    return out


if __name__ == "__main__":
    write("dco_steps.safetensors", *in_both(compute))
