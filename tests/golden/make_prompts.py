"""How prompts are read, inpainting and tiling, on tiny_pipeline (make_pipeline.py) with its text encoder made calm (golden_file.py):

    make_prompts.py LPW      LPW is diffusers' examples/community/lpw_stable_diffusion.py (0.42)

prompts.json: parse_prompt_attention of many prompts, and the prompts of the tensors.
prompts.safetensors: weighted.I [1, 77 n, D] of long, weighted prompts; embedding.* and inverted [1, 77, D] of textual inversion;
inpaint.* of StableDiffusionInpaintPipeline, told.* of it with a U-Net of nine channels; tiled.* of AutoencoderKL.enable_tiling().
"""
import importlib.util
import json
import pathlib
import sys
import tempfile

import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, HeunDiscreteScheduler, StableDiffusionInpaintPipeline, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import save_file

import golden_file
from golden_file import HERE, calm, in_both, write

FOLDER = HERE / "tiny_pipeline"
PARSED = [
    "normal text", "an (important) word", "(unbalanced", "\\(literal\\]", "(unnecessary)(parens)", "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).", "", "a:b (c:d) e", "[[x]] y]",
    "(a:+1.5)(b:-0.5)(c:.7)", "\\\\ \\q (:1.2)", "a) b] (c", "(é ü:1.1) 日本 [語]", "(a:1.2 ) b:1.3)", "((a:2):2)", "[a (b:1.4) c]",
]
WEIGHTED = [
    "a (red:1.4) circle", "a photo of a [dull] (bright (blue:1.5)) square", ("two red circles and a blue square " * 20) + "(green:1.3) star", "", "word " * 75, "word " * 76, "(cat:0) dog",
]
INVERTED = "a photo of <my-cat>, and <one> red"


generator = torch.Generator()  # not the default one: new words draw from that, in their own precision


def draw(*shape):
    return golden_file.draw(*shape, generator=generator)


def lpw(path):
    spec = importlib.util.spec_from_file_location("lpw", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pipeline(cls):
    pipe = calm(cls.from_pretrained(FOLDER, safety_checker=None, requires_safety_checker=False)).to(torch.get_default_dtype())
    pipe.set_progress_bar_config(disable=True)
    return pipe


def inversion(tensors):
    pipe = pipeline(StableDiffusionPipeline)
    width = pipe.text_encoder.config.hidden_size
    with tempfile.TemporaryDirectory() as folder:
        for name, count in (("<my-cat>", 3), ("<One>", 1)):
            vectors = 0.5 * draw(count, width)
            tensors[f"embedding.{name}"] = vectors
            save_file({name: vectors if count > 1 else vectors[0]}, pathlib.Path(folder) / "e.safetensors")
            pipe.load_textual_inversion(folder, weight_name="e.safetensors")
    tensors["inverted"] = pipe.encode_prompt(INVERTED, "cpu", 1, False)[0]


def inpaint(tensors):
    pipe = pipeline(StableDiffusionInpaintPipeline)
    clean, noise = draw(1, 4, 8, 8), draw(2, 4, 8, 8)
    mask = torch.zeros(1, 1, 8, 8)
    mask[:, :, 2:6, 3:7] = 1
    factor = pipe.vae_scale_factor
    tensors.update({"inpaint.clean": clean, "inpaint.noise": noise, "inpaint.mask": mask})
    module = sys.modules[StableDiffusionInpaintPipeline.__module__]
    module.randn_tensor = lambda *a, **k: noise
    pixels = mask.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    for name, cls in {"ddim": DDIMScheduler, "euler": EulerDiscreteScheduler, "heun": HeunDiscreteScheduler}.items():
        pipe.scheduler = cls.from_config(pipe.scheduler.config)
        for strength in (1.0, 0.7):
            made = pipe(["a photo of a Cat!", "a red circle"], image=clean.clone(), mask_image=pixels, masked_image_latents=clean.clone(), height=8 * factor, width=8 * factor, strength=strength, num_inference_steps=5, guidance_scale=5.0,
                        output_type="latent").images
            tensors[f"inpaint.{name}.{strength}"] = made


def inpaint_model(tensors):
    """The same with a U-Net that was made for it: the mask and the masked picture are channels of its input."""
    pipe = pipeline(StableDiffusionInpaintPipeline)
    state = pipe.unet.state_dict()
    state["conv_in.weight"] = 0.3 * draw(state["conv_in.weight"].shape[0], 9, 3, 3)
    unet = UNet2DConditionModel.from_config(dict(pipe.unet.config, in_channels=9))
    unet.load_state_dict(state)
    pipe.register_modules(unet=unet.to(torch.get_default_dtype()).eval())
    masked, factor = draw(1, 4, 8, 8), pipe.vae_scale_factor
    tensors.update({"told.conv_in.weight": state["conv_in.weight"], "told.masked": masked})
    sys.modules[StableDiffusionInpaintPipeline.__module__].randn_tensor = lambda *a, **k: tensors["inpaint.noise"]
    pixels = tensors["inpaint.mask"].repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    for name, cls in {"ddim": DDIMScheduler, "euler": EulerDiscreteScheduler}.items():
        pipe.scheduler = cls.from_config(pipe.scheduler.config)
        for strength in (1.0, 0.7):
            tensors[f"told.{name}.{strength}"] = pipe(["a photo of a Cat!", "a red circle"], image=tensors["inpaint.clean"].clone(), mask_image=pixels, masked_image_latents=masked.clone(), height=8 * factor, width=8 * factor,
                                                      strength=strength, num_inference_steps=5, guidance_scale=5.0, output_type="latent").images


def tiled(tensors):
    vae = pipeline(StableDiffusionPipeline).vae
    vae.enable_tiling()
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    latents, pixels = draw(1, 4, 20, 13), torch.rand(1, 3, 20 * factor, 13 * factor, dtype=torch.float32, generator=generator)
    with torch.no_grad():
        tensors["tiled.latents"], tensors["tiled.decoded"] = latents, vae.decode(latents).sample
        tensors["tiled.pixels"], tensors["tiled.mean"] = (pixels * 255).round().to(latents.dtype), None
        posterior = vae.encode(tensors["tiled.pixels"] / 127.5 - 1).latent_dist
        tensors["tiled.mean"], tensors["tiled.logvar"] = posterior.mean, posterior.logvar


def compute(module):
    generator.manual_seed(31)
    tensors = {}
    pipe = pipeline(StableDiffusionPipeline)
    pipe.text_encoder.__dict__["text_model"] = pipe.text_encoder  # as transformers 4 had it
    with torch.no_grad():
        for i, prompt in enumerate(WEIGHTED):
            tensors[f"weighted.{i}"] = module.get_weighted_text_embeddings(pipe, prompt, max_embeddings_multiples=9)[0].contiguous()
        inversion(tensors)
        inpaint(tensors)
        tiled(tensors)
        inpaint_model(tensors)
    return tensors


def main():
    if len(sys.argv) < 2:  # ./run golden
        return print("make_prompts.py: left as they are: it needs diffusers' lpw_stable_diffusion.py as its argument")
    module = lpw(sys.argv[1])
    write("prompts.safetensors", *in_both(lambda: compute(module)))
    parsed = [{"prompt": p, "pieces": module.parse_prompt_attention(p)} for p in PARSED]
    (HERE / "prompts.json").write_text(json.dumps({"parsed": parsed, "weighted": WEIGHTED, "inverted": INVERTED}, indent=1) + "\n")


if __name__ == "__main__":
    main()
