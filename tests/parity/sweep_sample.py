#!/usr/bin/env python3
"""Compares `palate sample` with diffusers' pipelines: every sampler, spacing and family of tiny random models, from the same latents.

    sweep_sample.py --palate build/palate [--steps 20] [--tolerance 1e-4] [--families sd1,sd2,sd2_zero_snr,sdxl] [--samplers euler,...]

Prints the final latents' error (the largest difference over the largest value) of each case; stochastic samplers get the same noise of each step.
Where a loop of such a random model amplifies rounding (DDIM with clip_sample), both are compared with diffusers in float64. Exit status 1 if a
case is wrong.
"""
import argparse
import importlib
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import diffusers
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden"
KARRAS, SDE, PLAIN = dict(use_karras_sigmas=True), dict(algorithm_type="sde-dpmsolver++"), dict(algorithm_type="dpmsolver++", solver_order=2)
SAMPLERS = {
    "ddpm": ("DDPMScheduler", {}), "ddim": ("DDIMScheduler", {}), "pndm": ("PNDMScheduler", {}), "euler": ("EulerDiscreteScheduler", {}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}), "heun": ("HeunDiscreteScheduler", {}), "dpm++_2m": ("DPMSolverMultistepScheduler", PLAIN),
    "dpm++_2m_sde": ("DPMSolverMultistepScheduler", {**PLAIN, **SDE}), "dpm++_2m_karras": ("DPMSolverMultistepScheduler", {**PLAIN, **KARRAS}),
    "dpm++_2m_sde_karras": ("DPMSolverMultistepScheduler", {**PLAIN, **SDE, **KARRAS}), "unipc": ("UniPCMultistepScheduler", {}), "lcm": ("LCMScheduler", {}),
}
PROMPTS, NEGATIVE = ["a photo of a cat", "two red circles"], "blurry"


def sd2(folder, zero_snr):
    """SD2.1: v-prediction, linear projections, float32 scores, OpenCLIP's text encoder and padding."""
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(GOLDEN / "tiny_pipeline", safety_checker=None, requires_safety_checker=False)
    torch.manual_seed(7)
    tokenizer = CLIPTokenizer.from_pretrained(GOLDEN / "tokenizer", pad_token="!")
    text = CLIPTextModel(CLIPTextConfig(vocab_size=len(tokenizer), hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, hidden_act="gelu",
                                        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, initializer_factor=20.0))
    unet = diffusers.UNet2DConditionModel.from_config({**pipe.unet.config, "use_linear_projection": True, "upcast_attention": True, "attention_head_dim": [2, 4]})
    scheduler = diffusers.DDIMScheduler.from_config({**pipe.scheduler.config, "prediction_type": "v_prediction", "clip_sample": False, "rescale_betas_zero_snr": zero_snr})
    diffusers.StableDiffusionPipeline(vae=pipe.vae, text_encoder=text, tokenizer=tokenizer, unet=unet, scheduler=scheduler, safety_checker=None, feature_extractor=None,
                                      requires_safety_checker=False).save_pretrained(folder)


def make(family, folder):
    if family.startswith("sd2"):
        sd2(folder, family.endswith("zero_snr"))
    else:
        shutil.copytree(GOLDEN / ("tiny_pipeline" if family == "sd1" else "tiny_pipeline_xl"), folder)


def reference(folder, sampler, start, noise, steps, dtype=torch.float32):
    cls = diffusers.StableDiffusionXLPipeline if (folder / "text_encoder_2").exists() else diffusers.StableDiffusionPipeline
    pipe = cls.from_pretrained(folder, **({} if cls is diffusers.StableDiffusionXLPipeline else dict(safety_checker=None, requires_safety_checker=False)))
    pipe = pipe.to(dtype)
    pipe.set_progress_bar_config(disable=True)
    name, options = SAMPLERS[sampler]
    scheduler = getattr(diffusers, name)
    pipe.scheduler = scheduler.from_config(pipe.scheduler.config, **options)
    module, calls = importlib.import_module(scheduler.__module__), iter(range(len(noise)))
    if hasattr(module, "randn_tensor"):
        module.randn_tensor = lambda *a, **k: noise[next(calls)].to(dtype)
    with torch.no_grad():
        return pipe(PROMPTS, negative_prompt=[NEGATIVE] * 2, num_inference_steps=steps, guidance_scale=4.0, latents=start.to(dtype), output_type="latent").images


def distance(a, b):
    return ((a - b).abs().max() / b.abs().max()).item()


def ours(palate, folder, sampler, work, steps):
    shutil.rmtree(work / "out", ignore_errors=True)
    command = [palate, "sample", "-q", "--model", folder, *(w for p in PROMPTS for w in ("--prompt", p)), "--negative", NEGATIVE, "--scheduler", sampler, "--steps", str(steps),
               "--guidance-scale", "4", "--latents", work / "in.safetensors", "--save-latents", work / "latents.safetensors", "--out", work / "out", "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    return (load_file(work / "latents.safetensors")["latents"], "") if done.returncode == 0 else (None, done.stderr.strip())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--palate", required=True)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--families", default="sd1,sd2,sd2_zero_snr,sdxl")
    parser.add_argument("--samplers", default=",".join(SAMPLERS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    diffusers.utils.logging.set_verbosity_error()
    bad, count, unstable, worst = 0, 0, 0, 0.0
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        generator = torch.Generator().manual_seed(5)
        start, noise = torch.randn(2, 4, 8, 8, generator=generator), torch.randn(2 * args.steps, 2, 4, 8, 8, generator=generator)
        save_file({"latents": start, "step_noise": noise}, work / "in.safetensors")
        for family in args.families.split(","):
            folder = work / family
            make(family, folder)
            for spacing in ("leading", "linspace", "trailing"):
                config = json.loads((folder / "scheduler/scheduler_config.json").read_text())
                (folder / "scheduler/scheduler_config.json").write_text(json.dumps({**config, "timestep_spacing": spacing}))
                for sampler in args.samplers.split(","):
                    try:
                        wanted, why = reference(folder, sampler, start, noise, args.steps), ""
                    except Exception as error:  # what diffusers cannot do we need not
                        wanted, why = None, f"{type(error).__name__}: {error}"
                    found, refused = ours(args.palate, folder, sampler, work, args.steps)
                    label = f"{family:13} {spacing:9} {sampler:20}"
                    if wanted is None or not wanted.isfinite().all():
                        print(label, "diffusers has no result:", why or "not finite", "| palate:", refused or "finite")
                        continue
                    count += 1
                    error, remark, exact = float("inf") if found is None else distance(found, wanted), refused, None
                    if args.tolerance < error < float("inf"):  # a loop that amplifies rounding: who is nearer to float64?
                        exact = reference(folder, sampler, start, noise, args.steps, torch.float64)
                        remark = f"from float64: ours {distance(found, exact):.1e}, diffusers {distance(wanted, exact):.1e}"
                    wrong = error > args.tolerance and (exact is None or distance(found, exact) > 2 * distance(wanted, exact))
                    unstable += exact is not None and not wrong
                    bad += wrong
                    worst = max(worst, error if exact is None else 0)
                    print(label, f"{error:.1e}", remark, "WRONG" if wrong else "", flush=True)
    print(f"{count} cases, {bad} wrong, {unstable} where diffusers' own rounding is above {args.tolerance:g}, worst of the others {worst:.1e}")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
