"""Gradients that reach the text encoders: LoRA on their attention and a new word of two vectors, on tiny_pipeline and tiny_pipeline_xl (make_pipeline.py,
make_pipeline_xl.py) with their text encoders made calm (golden_file.py), by peft and transformers.

text_training.safetensors, for FOLDER of sd and xl: FOLDER.value.NAME, FOLDER.gradient.NAME (names as palate/train/text_training.h has them, the LoRA's and
COMPONENT.token_embedding), FOLDER.x, .target, .t, .loss.
"""
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from peft import LoraConfig

from golden_file import HERE, calm, draw, in_both, write

TARGETS = ["q_proj", "k_proj", "v_proj", "out_proj"]
PROMPTS = ["a photo of <toy>", "two <toy> circles"]


def add_word(tokenizer, encoder, vectors):
    tokenizer.add_tokens(["<toy>", "<toy>_1"])
    encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    table = encoder.get_input_embeddings().weight
    with torch.no_grad():
        table[-2:] = vectors
    return table


def ours(component, name):
    name = name.replace(".default", "").replace("base_model.model.", "")
    return f"{component}.{name if name.startswith('text_model.') else 'text_model.' + name}"


def compute():
    generator = torch.Generator().manual_seed(41)  # not the default one: adapters draw from that, in their own precision
    tensors = {}
    for label, cls, folder in (("sd", StableDiffusionPipeline, "tiny_pipeline"), ("xl", StableDiffusionXLPipeline, "tiny_pipeline_xl")):
        pipe = cls.from_pretrained(HERE / folder, **({} if label == "xl" else dict(safety_checker=None, requires_safety_checker=False)))
        pipe = calm(pipe).to(torch.get_default_dtype())
        parts = {name: (getattr(pipe, name), getattr(pipe, "tokenizer" + name[len("text_encoder"):])) for name in (["text_encoder"] if label == "sd" else ["text_encoder", "text_encoder_2"])}
        tables = {}
        for name, (encoder, tokenizer) in parts.items():
            encoder.requires_grad_(False)
            vectors = 0.3 * draw(2, encoder.config.hidden_size, generator=generator)
            tensors[f"{label}.value.{name}.token_embedding"] = vectors
            tables[name] = add_word(tokenizer, encoder, vectors)
            tables[name].requires_grad_(True)
            encoder.add_adapter(LoraConfig(r=3, lora_alpha=3, target_modules=TARGETS, init_lora_weights="gaussian"))
            for key, value in encoder.named_parameters():
                if "lora_" in key:
                    value.data = 0.2 * draw(*value.shape, generator=generator)
                    tensors[f"{label}.value.{ours(name, key)}"] = value.detach().clone()
            tables[name].requires_grad_(True)  # which add_adapter takes back
        extra = {}  # encode_prompt makes "<toy> <toy>_1" of "<toy>" by itself
        if label == "xl":
            text, _, pooled, _ = pipe.encode_prompt(PROMPTS, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False)
            extra = {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": torch.tensor([[16.0, 16, 0, 0, 16, 16]] * 2)}}
        else:
            text = pipe.encode_prompt(PROMPTS, "cpu", 1, False)[0]
        pipe.unet.requires_grad_(False)
        x, target, t = draw(2, 4, 8, 8, generator=generator), draw(2, 4, 8, 8, generator=generator), torch.tensor([100, 800])
        loss = (pipe.unet(x, t, text, **extra).sample - target).square().mean()
        loss.backward()
        tensors.update({f"{label}.x": x, f"{label}.target": target, f"{label}.t": t, f"{label}.loss": loss.detach(), f"{label}.text": text.detach()})
        for name, (encoder, _) in parts.items():
            tensors[f"{label}.gradient.{name}.token_embedding"] = tables[name].grad[-2:].clone()
            for key, value in encoder.named_parameters():
                if "lora_" in key:
                    tensors[f"{label}.gradient.{ours(name, key)}"] = value.grad if value.grad is not None else torch.zeros_like(value)
    return tensors


if __name__ == "__main__":
    write("text_training.safetensors", *in_both(compute))
