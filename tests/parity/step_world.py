"""Random tiny models with a LoRA and a batch, for sweep_step.py, and what their networks make of it in torch's default precision."""
import random

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from peft import LoraConfig
from safetensors.torch import save_file

TEXT, POOLED, SIZES = 12, 10, 4  # widths
PICTURE_CONSTANTS = "noising", "inversion_eta", "inversion_steps", "tap"  # what residuals depend on besides network, view and space


class Draw(random.Random):
    def normal(self, *shape):
        return torch.randn(shape, generator=torch.Generator().manual_seed(self.getrandbits(32)), dtype=torch.float32)

    def value(self, what):
        """A list is a choice of its items, a pair of numbers a range of magnitudes."""
        return self.choice(what) if isinstance(what, list) else round(what[0] * (what[1] / what[0]) ** self.random(), 4)


def draw_unet(r, kind):
    groups, n = r.choice([1, 2, 4]), r.choice([1, 2, 2])
    cross = [r.random() < 0.7 for _ in range(n - 1)] + [True]
    config = dict(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=[groups * r.choice([2, 4]) * 2 for _ in range(n)],
        norm_num_groups=groups, layers_per_block=1, attention_head_dim=r.choice([1, 2]), cross_attention_dim=TEXT,
        down_block_types=["CrossAttnDownBlock2D" if c else "DownBlock2D" for c in cross],
        up_block_types=["CrossAttnUpBlock2D" if c else "UpBlock2D" for c in reversed(cross)], use_linear_projection=r.random() < 0.5)
    if kind == "sdxl":
        config |= dict(addition_embed_type="text_time", addition_time_embed_dim=SIZES, projection_class_embeddings_input_dim=POOLED + 6 * SIZES,
                       transformer_layers_per_block=r.choice([1, 2]), use_linear_projection=True)
    return config


def draw_batch(r, kind):
    b, h, w, length = r.randint(2, 3), r.choice([4, 8]), r.choice([4, 8]), r.choice([1, 5])
    given = {name: r.normal(b, 4, h, w) for name in ("latents_win", "latents_lose", "noise", "step_noise")}
    given["timesteps"] = torch.tensor([r.choice([0, 999, r.randrange(1000), r.randrange(1000), r.randrange(1000)]) for _ in range(b)])
    for prefix in ("", "base_"):
        given[prefix + "encoder_hidden_states"] = r.normal(b, length, TEXT)
        if kind == "sdxl":
            given[prefix + "text_embeds"] = r.normal(b, POOLED)
            given[prefix + "time_ids"] = torch.tensor([[r.choice([0.0, 64.0, 512.0]) for _ in range(6)] for _ in range(b)])
    if r.random() < 0.4:
        given["preference"] = torch.tensor([r.choice([0.5, 0.8, 1.0]) for _ in range(b)])
    given["labels"] = torch.tensor([1.0, -1.0] + [r.choice([1.0, -1.0]) for _ in range(b - 2)])
    if r.random() < 0.3:
        given["features_timesteps"] = torch.tensor([r.randrange(1000) for _ in range(b)])
    given["weights"] = torch.tensor([r.choice([1.0, 0.5, 2.0]) for _ in range(b)])
    given["prior"] = torch.tensor([r.choice([0.0, 0.0, 1.0]) for _ in range(b)])
    given["rewards"] = torch.tensor([round(r.uniform(-1, 1), 3) for _ in range(b)])
    return given


PAIRS = ("latents_win", "latents_lose", "preference")
SINGLES = {"label": ("labels",), "single": ("weights", "prior", "rewards")}


def file_of(given, kind):
    """The tensors that palate is given for a method of this kind: pair, label (single pictures with thumbs) or single."""
    base = () if kind == "single" else tuple(name for name in given if name.startswith("base_"))
    left_out = {*base, *(() if kind == "pair" else PAIRS), *(name for k, names in SINGLES.items() if k != kind for name in names)}
    return {name: value for name, value in given.items() if name not in left_out} | ({} if kind == "pair" else {"latents": given["latents_win"]})


def fill(model, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            vector = parameter.dim() == 1
            scale = 0.3 if vector else (0.25 if "lora_" in name else 0.6) / max(1, parameter[0].numel()) ** 0.5
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float32) * scale + (vector and name.endswith("weight")))
    return model.eval()


class World:
    """A model with a LoRA, and a batch; and once for each precision what its networks make of it."""

    def __init__(self, r):
        self.kind = r.choice(["sd15", "v", "sdxl"])
        self.config, self.given = draw_unet(r, self.kind), draw_batch(r, self.kind)
        self.schedule = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
                             prediction_type="v_prediction" if self.kind == "v" else "epsilon",
                             rescale_betas_zero_snr=self.kind == "v" and r.random() < 0.3)
        targets = ["to_q", "to_k", "to_v", "to_out.0"] + r.choice([[], ["conv1", "time_emb_proj"], ["proj_in", "ff.net.0.proj"]])
        rank = r.choice([1, 2, 4])
        self.lora = LoraConfig(r=rank, lora_alpha=rank, target_modules=targets)
        self.seed = r.getrandbits(32)

    def networks(self):
        base, policy = (fill(UNet2DConditionModel(**self.config), self.seed).requires_grad_(False) for _ in "ab")
        policy.add_adapter(self.lora)
        lora = torch.nn.ParameterDict()
        for name, parameter in policy.named_parameters():
            if "lora_" in name:
                lora[name.replace(".", "/")] = parameter
        fill(lora, self.seed + 1)
        return base, policy

    def save(self, folder):
        base, policy = self.networks()
        base.save_pretrained(f"{folder}/model/unet")
        DDPMScheduler(**self.schedule).save_pretrained(f"{folder}/model/scheduler")
        save_file(lora_tensors(policy), f"{folder}/lora.safetensors", metadata={"format": "pt"})


def lora_parameters(policy):
    return {"unet." + name.replace(".default", ""): parameter for name, parameter in policy.named_parameters() if "lora_" in name}


def lora_tensors(policy):
    return {name: parameter.detach().contiguous() for name, parameter in lora_parameters(policy).items()}


class Computed:
    """A World in the default precision. Everything that several methods need is made once. With a `jitter`, a seed, all numbers are first moved
    by a rounding error of float32: another result that float32 could have."""

    def __init__(self, world, jitter=None):
        self.world, dtype = world, torch.get_default_dtype()
        self.scheduler = DDPMScheduler(**world.schedule)
        self.networks = dict(zip(("reference", "policy"), (network.to(dtype) for network in world.networks()), strict=True))
        self.given = {name: value.to(dtype, copy=True) if value.is_floating_point() else value for name, value in world.given.items()}
        if jitter is not None:
            draw = torch.Generator().manual_seed(jitter)
            values = [p.data for network in self.networks.values() for p in network.parameters()]
            for value in values + [value for value in self.given.values() if value.is_floating_point()]:
                value.mul_(1 + 2**-23 * torch.randint(-1, 2, value.shape, generator=draw))
        self.abar, self.v, self.kept = self.scheduler.alphas_cumprod, world.kind == "v", {}

    def predict(self, network, x, t, text=""):
        with torch.set_grad_enabled(network == "policy" and torch.is_grad_enabled()):
            return self.networks[network](x, t, *self.condition(text)).sample

    def condition(self, text):
        added = {name: self.given[text + name] for name in ("text_embeds", "time_ids")} if self.world.kind == "sdxl" else None
        return self.given[text + "encoder_hidden_states"], None, None, None, None, added

    def features(self, x, t, text):
        """Of the frozen network: what its last down block and its mid block give."""
        unet, found = self.networks["reference"], {}
        hooks = [unet.down_blocks[-1].register_forward_hook(lambda module, given, out: found.update(down=out[0])),
                 unet.mid_block.register_forward_hook(lambda module, given, out: found.update(mid=out))]
        unet(x, t, *self.condition(text))
        for hook in hooks:
            hook.remove()
        return found

    def levels(self, t):
        kept = self.abar[t].view(-1, 1, 1, 1)
        return kept.sqrt(), (1 - kept).sqrt()

    def noised(self, view, constants):
        """x_t and the noise that made it of x0."""
        x0, noise, t = self.given["latents_" + view], self.given["noise"], self.given["timesteps"]
        if constants.get("noising") == "inverted":
            return inverted(self, x0, noise, t, constants)
        alpha, sigma = self.levels(t)
        return alpha * x0 + sigma * noise, noise

    def residual(self, network, view, space, constants, text=""):
        key = (network, view, space.name, text, *(constants.get(name) for name in PICTURE_CONSTANTS))
        if key not in self.kept:
            (x_t, noise), t, x0 = self.noised(view, constants), self.given["timesteps"], self.given["latents_" + view]
            alpha, sigma = self.levels(t)
            target = alpha * noise - sigma * x0 if self.v else noise
            predicted = self.predict(network, x_t, t, text if network == "reference" else "")
            truth = space.embed(self, x_t, target, constants, text).detach()
            self.kept[key] = space.embed(self, x_t, predicted, constants, text) - truth
        return self.kept[key]


def inverted(computed, x0, z, t, constants):
    """InPO (2503.18454) with diffusers' DDIMInverseScheduler, which starts at the clean picture; the given noise at each node."""
    steps, x = constants.get("inversion_steps", 10), x0
    stride = 1000 // steps
    with torch.no_grad():
        for node in range(0, stride * steps, stride):
            here = torch.full_like(t, node)
            alpha, sigma = computed.levels(here - stride) if node > 0 else (1.0, 0.0)
            said = computed.predict("policy", x, here)
            clean, noise = (alpha * x - sigma * said, sigma * x + alpha * said) if computed.v else ((x - sigma * said) / alpha, said)
            a, s = computed.levels(here)
            a_next, s_next = computed.levels((here + stride).clamp(max=999))
            std = s / s_next * (1 - (a_next / a) ** 2).sqrt()
            there = a * clean + s * noise + constants.get("inversion_eta", 0.1) * std * z
            x = torch.where((t > node).view(-1, 1, 1, 1), there, x)
        alpha, sigma = computed.levels(t)
        return x, (x - alpha * x0) / sigma
