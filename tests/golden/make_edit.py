"""What diffusers' StableDiffusionImg2ImgPipeline makes of latents on tiny_pipeline (make_pipeline.py) with its text encoder made calm: SDEdit.

edit.safetensors: clean [2, 4, 8, 8], noise [2, 4, 8, 8], and NAME.latents for three samplers, five steps at strength 0.7.
"""
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, HeunDiscreteScheduler, StableDiffusionImg2ImgPipeline
from diffusers.pipelines.stable_diffusion import pipeline_stable_diffusion_img2img as img2img

from golden_file import HERE, calm, draw, in_both, write

PROMPTS = ["a photo of a Cat!", "two red circles and a blue square " * 12]


def compute():
    torch.manual_seed(21)
    pipe = StableDiffusionImg2ImgPipeline.from_pretrained(HERE / "tiny_pipeline", safety_checker=None, requires_safety_checker=False)
    pipe = calm(pipe).to(torch.get_default_dtype())
    pipe.set_progress_bar_config(disable=True)
    clean, noise = draw(2, 4, 8, 8), draw(2, 4, 8, 8)
    img2img.randn_tensor = lambda *a, **k: noise
    tensors = {"clean": clean, "noise": noise}
    for name, cls in {"ddim": DDIMScheduler, "euler": EulerDiscreteScheduler, "heun": HeunDiscreteScheduler}.items():
        pipe.scheduler = cls.from_config(pipe.scheduler.config)
        tensors[f"{name}.latents"] = pipe(PROMPTS, image=clean.clone(), strength=0.7, num_inference_steps=5, guidance_scale=5.0, output_type="latent").images
    return tensors


if __name__ == "__main__":
    write("edit.safetensors", *in_both(compute))
