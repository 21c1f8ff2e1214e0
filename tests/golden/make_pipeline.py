"""A tiny random Stable Diffusion model and what diffusers' StableDiffusionPipeline makes of it.

tiny_pipeline/ is the folder as save_pretrained writes it (its tokenizer is tokenizer/, as tokenizer.json). pipeline.safetensors, of that model with
its text encoder made calm (golden_file.py):
text [3, 77, D] of the prompts, start [2, 4, 8, 8], NAME.latents after 5 steps from it for each scheduler, NAME.images in [0, 1],
pixels uint8 [2, 3, 16, 16], their posterior's mean and logvar, noise, and the scaled sample; and inputs and
outputs of single components (input_ids -> text, pooler_output; sample, timestep, encoder_hidden_states -> unet); pipeline.json: the arguments.
"""
import json
import shutil

import torch
from diffusers import AutoencoderKL, DDIMScheduler, DDPMScheduler, EulerDiscreteScheduler, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.schedulers import scheduling_ddpm
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from golden_file import HERE, calm, draw, in_both, write

PROMPTS = ["a photo of a Cat!", "two red circles and a blue square " * 12, ""]
NEGATIVE = "blurry, low quality"
RESCALE = {"euler": 0.7}
SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def make_model():
    torch.manual_seed(11)
    tokenizer = CLIPTokenizer.from_pretrained(HERE / "tokenizer")
    text = CLIPTextModel(CLIPTextConfig(vocab_size=len(tokenizer), hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
                                        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, initializer_factor=20.0))
    unet = UNet2DConditionModel(sample_size=8, block_out_channels=(16, 32), layers_per_block=1, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
                                up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), cross_attention_dim=16, attention_head_dim=2, norm_num_groups=8)
    vae = AutoencoderKL(block_out_channels=(8, 16), down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4,
                        norm_num_groups=4, sample_size=16, scaling_factor=0.6)
    with torch.no_grad():
        for module in (unet, vae):
            for name, parameter in module.named_parameters():
                if name.endswith("bias"):
                    parameter.normal_(std=0.05)
    scheduler = PNDMScheduler(skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1, **SD)
    return StableDiffusionPipeline(vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet, scheduler=scheduler, safety_checker=None, feature_extractor=None,
                                   requires_safety_checker=False).to("cpu")


def compute():
    pipe = calm(StableDiffusionPipeline.from_pretrained(HERE / "tiny_pipeline", safety_checker=None, requires_safety_checker=False)).to(torch.get_default_dtype())
    pipe.set_progress_bar_config(disable=True)
    torch.manual_seed(13)
    tensors = {}
    with torch.no_grad():
        tensors["text"] = torch.cat([pipe.encode_prompt(p, "cpu", 1, False)[0] for p in PROMPTS])
        start, noise = draw(2, 4, 8, 8), draw(6, 2, 4, 8, 8)
        tensors.update({"start": start, "step_noise": noise})
        schedulers = {
            "pndm": pipe.scheduler,
            "ddim": DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1, **SD),
            "euler": EulerDiscreteScheduler(steps_offset=1, timestep_spacing="leading", **SD),
            "ddpm": DDPMScheduler(clip_sample=False, steps_offset=1, **SD),
        }
        for name, scheduler in schedulers.items():
            calls = iter(range(6))
            scheduling_ddpm.randn_tensor = lambda *a, **k: noise[next(calls)]
            pipe.scheduler = scheduler
            latents = pipe(PROMPTS[:2], negative_prompt=[NEGATIVE] * 2, num_inference_steps=5, guidance_scale=5.0, guidance_rescale=RESCALE.get(name, 0.0),
                           latents=start.clone(), output_type="latent").images
            tensors[f"{name}.latents"] = latents
            tensors[f"{name}.images"] = (pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample / 2 + 0.5).clamp(0, 1)
        pixels = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
        posterior = pipe.vae.encode(pixels.to(start.dtype) / 127.5 - 1).latent_dist
        eps = draw(*posterior.mean.shape)
        tensors.update({"pixels": pixels, "mean": posterior.mean, "logvar": posterior.logvar, "posterior_noise": eps,
                        "encoded": (posterior.mean + posterior.std * eps) * pipe.vae.config.scaling_factor})
        ids = pipe.tokenizer(PROMPTS, padding="max_length", truncation=True, return_tensors="pt").input_ids
        sample, timestep, states = draw(2, 4, 8, 8), torch.tensor([3, 700]), tensors["text"][:2].clone()
        tensors.update({"input_ids": ids, "sample": sample, "timestep": timestep, "encoder_hidden_states": states,
                        "pooler_output": pipe.text_encoder(ids).pooler_output, "unet": pipe.unet(sample, timestep, states).sample})
    return tensors


def main():
    pipe = make_model()
    shutil.rmtree(HERE / "tiny_pipeline", ignore_errors=True)
    pipe.save_pretrained(HERE / "tiny_pipeline")
    values, others = in_both(compute)
    for name, tensor in values.items():
        assert not tensor.is_floating_point() or tensor.abs().max() > 1e-3, name
    write("pipeline.safetensors", values, others)
    runs = [{"sampler": name[:-8], "steps": 5, "guidance_scale": 5.0, "guidance_rescale": RESCALE.get(name[:-8], 0.0)} for name in values if name.endswith(".latents")]
    HERE.joinpath("pipeline.json").write_text(json.dumps({"prompts": PROMPTS, "negative": NEGATIVE, "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
