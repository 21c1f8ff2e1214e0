"""A tiny random Stable Diffusion model and what diffusers' StableDiffusionPipeline makes of it.

tiny_pipeline/ is the folder as save_pretrained writes it (its tokenizer is tokenizer/, as tokenizer.json). pipeline.safetensors:
text [3, 77, D] of the prompts, start [2, 4, 8, 8], NAME.latents after 5 steps from it for each scheduler, NAME.images in [0, 1],
pixels uint8 [2, 3, 16, 16], their posterior's mean and logvar, noise, and the scaled sample; and inputs and
outputs of single components (input_ids -> text, pooler_output; sample, timestep, encoder_hidden_states -> unet); pipeline.json: the arguments.
"""
import json
import pathlib
import shutil

import torch
from diffusers import AutoencoderKL, DDIMScheduler, DDPMScheduler, EulerDiscreteScheduler, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.schedulers import scheduling_ddpm
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

HERE = pathlib.Path(__file__).parent
PROMPTS = ["a photo of a Cat!", "two red circles and a blue square " * 12, ""]
NEGATIVE = "blurry, low quality"
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


def main():
    pipe = make_model()
    pipe.set_progress_bar_config(disable=True)
    shutil.rmtree(HERE / "tiny_pipeline", ignore_errors=True)
    pipe.save_pretrained(HERE / "tiny_pipeline")
    tensors, runs = {}, []
    with torch.no_grad():
        tensors["text"] = torch.cat([pipe.encode_prompt(p, "cpu", 1, False)[0] for p in PROMPTS])
        start = torch.randn(2, 4, 8, 8)
        noise = torch.randn(6, 2, 4, 8, 8)
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
            rescale = 0.7 if name == "euler" else 0.0
            latents = pipe(PROMPTS[:2], negative_prompt=[NEGATIVE] * 2, num_inference_steps=5, guidance_scale=5.0, guidance_rescale=rescale,
                           latents=start.clone(), output_type="latent").images
            tensors[f"{name}.latents"] = latents
            tensors[f"{name}.images"] = (pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample / 2 + 0.5).clamp(0, 1)
            runs.append({"sampler": name, "steps": 5, "guidance_scale": 5.0, "guidance_rescale": rescale})
        pixels = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
        posterior = pipe.vae.encode(pixels.float() / 127.5 - 1).latent_dist
        eps = torch.randn_like(posterior.mean)
        tensors.update({"pixels": pixels, "mean": posterior.mean, "logvar": posterior.logvar, "posterior_noise": eps,
                        "encoded": (posterior.mean + posterior.std * eps) * pipe.vae.config.scaling_factor})
        ids = pipe.tokenizer(PROMPTS, padding="max_length", truncation=True, return_tensors="pt").input_ids
        sample, timestep = torch.randn(2, 4, 8, 8), torch.tensor([3, 700])
        tensors.update({"input_ids": ids, "sample": sample, "timestep": timestep, "encoder_hidden_states": tensors["text"][:2].clone(),
                        "pooler_output": pipe.text_encoder(ids).pooler_output, "unet": pipe.unet(sample, timestep, tensors["text"][:2]).sample})
    for name, tensor in tensors.items():
        assert not tensor.is_floating_point() or (tensor.isfinite().all() and tensor.abs().max() > 1e-3), name
    save_file({k: v.contiguous() for k, v in tensors.items()}, HERE / "pipeline.safetensors")
    HERE.joinpath("pipeline.json").write_text(json.dumps({"prompts": PROMPTS, "negative": NEGATIVE, "runs": runs}, indent=1) + "\n")
    print({k: (list(v.shape), round(v.float().std().item(), 3)) for k, v in tensors.items()})


if __name__ == "__main__":
    main()
