"""A tiny random SDXL model and what diffusers' StableDiffusionXLPipeline makes of it.

tiny_pipeline_xl/ is the folder as save_pretrained writes it (both tokenizers are tokenizer/; the second pads with "!"). pipeline_xl.safetensors, of that
model with its text encoders made calm (golden_file.py):
text [3, 77, D] and text_embeds [3, P] of the prompts, start [2, 4, 8, 8], and latents after 4 steps from it without a negative prompt
(nothing.latents: zeros, as force_zeros_for_empty_prompt says) and with one (negative.latents).
"""
import json
import shutil

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from golden_file import HERE, calm, draw, in_both, write

PROMPTS = ["a photo of a Cat!", "two red circles and a blue square " * 12, ""]
NEGATIVE = "blurry, low quality"


def make_model():
    torch.manual_seed(12)
    tokenizer = CLIPTokenizer.from_pretrained(HERE / "tokenizer")
    tokenizer_2 = CLIPTokenizer.from_pretrained(HERE / "tokenizer", pad_token="!")
    shared = dict(vocab_size=len(tokenizer), num_attention_heads=2, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, initializer_factor=5.0)
    text = CLIPTextModel(CLIPTextConfig(hidden_size=16, intermediate_size=24, num_hidden_layers=2, pad_token_id=tokenizer.pad_token_id, **shared))
    text_2 = CLIPTextModelWithProjection(CLIPTextConfig(hidden_size=24, intermediate_size=32, num_hidden_layers=3, hidden_act="gelu", projection_dim=12,
                                                        pad_token_id=tokenizer_2.pad_token_id, **shared))
    unet = UNet2DConditionModel(sample_size=8, block_out_channels=(8, 16), layers_per_block=1, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                                up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), transformer_layers_per_block=(1, 2), cross_attention_dim=40, attention_head_dim=(2, 4),
                                use_linear_projection=True, norm_num_groups=4, addition_embed_type="text_time", addition_time_embed_dim=4,
                                projection_class_embeddings_input_dim=12 + 6 * 4)
    vae = AutoencoderKL(block_out_channels=(8, 16), down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4,
                        norm_num_groups=4, sample_size=16, scaling_factor=0.13025, force_upcast=True)
    with torch.no_grad():
        for module in (unet, vae):
            for name, parameter in module.named_parameters():
                if name.endswith("bias"):
                    parameter.normal_(std=0.05)
    scheduler = EulerDiscreteScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, steps_offset=1, timestep_spacing="leading")
    return StableDiffusionXLPipeline(vae=vae, text_encoder=text, text_encoder_2=text_2, tokenizer=tokenizer, tokenizer_2=tokenizer_2, unet=unet, scheduler=scheduler,
                                     add_watermarker=False).to("cpu")


def compute():
    pipe = calm(StableDiffusionXLPipeline.from_pretrained(HERE / "tiny_pipeline_xl", add_watermarker=False)).to(torch.get_default_dtype())
    pipe.set_progress_bar_config(disable=True)
    torch.manual_seed(14)
    with torch.no_grad():
        encoded = [pipe.encode_prompt(p, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False) for p in PROMPTS]
        start = draw(2, 4, 8, 8)
        tensors = {"text": torch.cat([e[0] for e in encoded]), "text_embeds": torch.cat([e[2] for e in encoded]), "start": start}
        for name, negative in {"nothing": None, "negative": [NEGATIVE] * 2}.items():
            tensors[f"{name}.latents"] = pipe(PROMPTS[:2], negative_prompt=negative, num_inference_steps=4, guidance_scale=5.0, latents=start.clone(),
                                              output_type="latent").images
    return tensors


def main():
    pipe = make_model()
    shutil.rmtree(HERE / "tiny_pipeline_xl", ignore_errors=True)
    pipe.save_pretrained(HERE / "tiny_pipeline_xl")
    values, others = in_both(compute)
    for name, tensor in values.items():
        assert tensor.abs().max() > 1e-3, name
    write("pipeline_xl.safetensors", values, others)
    HERE.joinpath("pipeline_xl.json").write_text(json.dumps({"prompts": PROMPTS, "negative": NEGATIVE}, indent=1) + "\n")


if __name__ == "__main__":
    main()
