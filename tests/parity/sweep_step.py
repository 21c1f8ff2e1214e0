#!/usr/bin/env python3
"""Compares `palate step` with diffusers, peft and torch's float64 on random tiny models, for every loss and error space.

    sweep_step.py --palate build/palate [--methods dpo,cpo] [--spaces output] [--first SEED] [--count N] [--tolerance 1e-5] [--show]

A seed draws a model (SD1.5-like, v-prediction or SDXL-like), its LoRA, a batch, and for each method its constants. Everything is written
down once more here, in the fewest words: a method is a function of `Seen`, what policy and reference made of the pictures, and gives its
losses (METHODS); a space embeds a prediction (SPACES). Compared are loss, losses, logits, errors, terms and every gradient of the LoRA,
each by the largest difference over the tensor's largest value, with the true one in float64. Where that is above the tolerance, torch's
own float32 is asked: a case is ill-conditioned, not wrong, where palate is as near to float64 as that. Exit status 1 if anything was wrong.
"""
import argparse
import collections
import inspect
import json
import logging
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler, UNet2DConditionModel
from peft import LoraConfig
from safetensors.torch import load_file, save_file

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "golden"))
from golden_file import in_float64  # noqa: E402

Method = collections.namedtuple("Method", "name objective kind function draws")
METHODS, SPACES = {}, {}
TEXT, POOLED, SIZES = 12, 10, 4  # widths


class Draw(random.Random):
    def normal(self, *shape):
        return torch.randn(shape, generator=torch.Generator().manual_seed(self.getrandbits(32)))

    def value(self, what):
        """A list is a choice of its items, a pair of numbers a range of magnitudes."""
        return self.choice(what) if isinstance(what, list) else round(what[0] * (what[1] / what[0]) ** self.random(), 4)


# Models and batches


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
    given["weights"] = torch.tensor([r.choice([1.0, 0.5, 2.0]) for _ in range(b)])
    return given


PAIRS = ("latents_win", "latents_lose", "preference")
SINGLES = {"label": ("labels",), "single": ("weights",)}


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
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale + (vector and name.endswith("weight")))
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
    """A World in the default precision. Everything that several methods need is made once."""

    def __init__(self, world):
        self.world, dtype = world, torch.get_default_dtype()
        self.scheduler = DDPMScheduler(**world.schedule)
        self.networks = dict(zip(("reference", "policy"), (network.to(dtype) for network in world.networks()), strict=True))
        self.given = {name: value.to(dtype) if value.is_floating_point() else value for name, value in world.given.items()}
        self.abar, self.v, self.kept = self.scheduler.alphas_cumprod, world.kind == "v", {}

    def predict(self, network, x, t, text=""):
        states, added = self.given[text + "encoder_hidden_states"], None
        if self.world.kind == "sdxl":
            added = {name: self.given[text + name] for name in ("text_embeds", "time_ids")}
        with torch.set_grad_enabled(network == "policy" and torch.is_grad_enabled()):
            return self.networks[network](x, t, states, added_cond_kwargs=added).sample

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
        key = (network, view, space, text, json.dumps({name: constants.get(name) for name in ("noising", "inversion_eta", "inversion_steps", "tap")}))
        if key not in self.kept:
            (x_t, noise), t, x0 = self.noised(view, constants), self.given["timesteps"], self.given["latents_" + view]
            alpha, sigma = self.levels(t)
            target = alpha * noise - sigma * x0 if self.v else noise
            predicted = self.predict(network, x_t, t, text)
            embed = SPACES[space]
            self.kept[key] = embed(self, x_t, predicted, constants) - embed(self, x_t, target, constants)
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


class Seen:
    """What a method looks at: residuals e(network, view), their mean squares d(network, view) and the labels."""

    def __init__(self, computed, space, constants, text=""):
        self.computed, self.space, self.constants, self.text = computed, space, constants, text
        self.p = computed.given.get("preference", torch.ones(len(computed.given["noise"])))
        self.y, self.w = computed.given["labels"], computed.given["weights"]
        self.terms = {}

    def e(self, network, view):
        return self.computed.residual(network, view, self.space, self.constants, self.text if network == "reference" else "")

    def d(self, network, view):
        d, mu = self.e(network, view).square().flatten(1).mean(1), self.constants.get("safeguard", 0)
        if (network, view) != ("policy", "lose") or mu == 0:
            return d
        # Diffusion-SDPO (2511.03317): the loser's gradient alone is scaled.
        win, along = self.e("policy", "win").detach(), (self.e("policy", "win") * self.e("policy", "lose")).detach().flatten(1).mean(1)
        scale = torch.where(along > 0, ((1 - mu) * win.square().flatten(1).mean(1) / along).clamp(max=1), torch.ones_like(along))
        self.terms["lambda"] = scale
        return d.detach() + scale * (d - d.detach())

    def gain(self, view):
        return self.d("reference", view) - self.d("policy", view)


# Spaces: space(computed, x_t, prediction, constants), what is compared of a prediction


def space(name):
    return lambda function: SPACES.setdefault(name, function)


@space("output")
def output(computed, x_t, prediction, constants):
    return prediction


# Methods: method(seen, **constants) gives losses [B], and logits [B] where it has them; `draws` are its constants by palate's names


def method(name, kind="pair", objective=None, **draws):
    return lambda function: METHODS.setdefault(name, Method(name, objective or name, kind, function, draws))


BETA = dict(beta=(1, 100), beta_convention=["palate", "diffusers", "per-T"])
PAIR = dict(margin=[0, 0, 0.3], label_smoothing=[0, 0, 0.1], anchor=[0, 0, 0.5])
INVERTED = dict(noising=["inverted"], inversion_eta=[0, 0.1], inversion_steps=[5, 10])


def factor(beta, beta_convention):
    return {"palate": 0.5, "diffusers": 1, "per-T": 500}[beta_convention] * beta


def either(s, first, second, label_smoothing, anchor, p=None):
    """The mean over which picture is the preferred one."""
    p = s.p * (1 - label_smoothing) + (1 - s.p) * label_smoothing if p is None else p
    own = anchor * (s.p * s.d("policy", "win") + (1 - s.p) * s.d("policy", "lose"))
    if anchor:
        s.terms["anchor"] = own
    return p * first + (1 - p) * second + own


@method("sft", kind="single")
def sft(s):
    return s.d("policy", "win"), None


@method("dpo", **BETA, **PAIR, loss_type=["sigmoid", "hinge", "ipo", "robust"])
@method("inpo", objective="dpo", **BETA, **PAIR, **INVERTED, loss_type=["sigmoid"])
def dpo(s, beta, beta_convention, loss_type, margin, label_smoothing, anchor):
    k, m = factor(beta, beta_convention), s.gain("win") - s.gain("lose")
    link = {"sigmoid": lambda m: -F.logsigmoid(k * m - margin), "hinge": lambda m: F.relu(1 - k * m + margin),
            "ipo": lambda m: (m - (margin + 0.5) / k) ** 2}
    link["robust"] = lambda m: ((1 - label_smoothing) * link["sigmoid"](m) - label_smoothing * link["sigmoid"](-m)) / (1 - 2 * label_smoothing)
    link = link[loss_type]
    return either(s, link(m), link(-m), label_smoothing, anchor, s.p if loss_type == "robust" else None), k * m - margin


@method("cpo", **BETA, **PAIR)
def cpo(s, beta, beta_convention, margin, label_smoothing, anchor):
    z = factor(beta, beta_convention) * (s.d("policy", "lose") - s.d("policy", "win"))
    return either(s, -F.logsigmoid(z - margin), -F.logsigmoid(-z - margin), label_smoothing, anchor), z - margin


@method("orpo", beta=(0.05, 10), **PAIR)
def orpo(s, beta, margin, label_smoothing, anchor):
    z = s.d("policy", "lose") - s.d("policy", "win")
    return either(s, -beta * F.logsigmoid(z - margin), -beta * F.logsigmoid(-z - margin), label_smoothing, anchor), z - margin


@method("mapo", beta=(0.05, 10), snr_value=(0.1, 1), mapo_scale=(1, 100), **PAIR)
def mapo(s, beta, snr_value, mapo_scale, margin, label_smoothing, anchor):
    h = {view: snr_value * s.d("policy", view) / torch.expm1(snr_value * s.d("policy", view)) for view in ("win", "lose")}
    s.terms |= {"score_" + view: value for view, value in h.items()}
    z = mapo_scale * (h["win"] - h["lose"])
    return either(s, -beta * F.logsigmoid(z - margin), -beta * F.logsigmoid(-z - margin), label_smoothing, anchor), z - margin


@method("dspo", **BETA, **PAIR, form=["sd15", "sdxl"])
def dspo(s, beta, beta_convention, form, margin, label_smoothing, anchor):
    k, m = factor(beta, beta_convention), s.gain("win") - s.gain("lose")

    def side(view, z):
        gate, move = torch.sigmoid(-z), s.e("policy", view) - s.e("reference", view)
        if form == "sd15":
            return (s.e("policy", view) - 2 * k * gate.view(-1, *[1] * (move.dim() - 1)) * move).square().flatten(1).mean(1)
        size = move.square().flatten(1).mean(1)
        return gate ** 2 * torch.where(size >= 0.1, size, torch.ones_like(size))

    return either(s, side("win", k * m - margin), side("lose", -k * m - margin), label_smoothing, anchor), k * m - margin


@method("kto", kind="label", **BETA, desirable_weight=[1, 1.5], undesirable_weight=[1, 0.5])
def kto(s, beta, beta_convention, desirable_weight, undesirable_weight):
    k, g = factor(beta, beta_convention), s.gain("win")
    q = g.detach().mean().clamp(min=0)
    z = k * s.y * (g - q)
    s.terms["kl"] = k * q
    return torch.where(s.y > 0, desirable_weight, undesirable_weight) * torch.sigmoid(-z), z


# Comparing


def evaluate(computed, method, space, constants):
    """What palate should write, by name."""
    s = Seen(computed, space, constants)
    own = {name: value for name, value in constants.items() if name in inspect.signature(method.function).parameters}
    losses, logits = method.function(s, **own)
    policy = computed.networks["policy"]
    parameters = lora_parameters(policy)
    gradients = torch.autograd.grad(losses.mean(), list(parameters.values()), retain_graph=True, allow_unused=True)
    out = {"grad." + name: torch.zeros_like(p) if g is None else g for (name, p), g in zip(parameters.items(), gradients, strict=True)}
    out |= dict(losses=losses, loss=losses.mean(), **({} if logits is None else {"logits": logits}))
    out |= {"terms." + name: value for name, value in s.terms.items()}
    for view in ("win", "lose") if method.kind == "pair" else ("win",):
        out["policy_" + view] = s.d("policy", view)
    return {name: value.detach() for name, value in out.items()}


def errors(got, want):
    """Of values, and of gradients: the largest, each by its tensor's largest value; a gradient by 1 % of the largest of all at least."""
    largest = max(value.abs().max().item() for name, value in want.items() if name.startswith("grad."))
    worst = {"values": (0, ""), "gradients": (0, "")}
    for name, value in want.items():
        group, least = ("gradients", 1e-2 * largest) if name.startswith("grad.") else ("values", 0)
        scale = max(value.abs().max().item(), least, 1e-12)
        wrong = name not in got or got[name].shape != value.shape
        error = torch.inf if wrong else torch.nan_to_num((got[name].double() - value.double()).abs().max() / scale, nan=torch.inf).item()
        worst[group] = max(worst[group], (error, name))
    return worst


def run_palate(program, method, space, constants, folder):
    settings = [f"error_space={space}", *(f"{name}={value}" for name, value in constants.items())]
    command = [program, "step", "--model", "model", "--lora", "lora.safetensors", "--in", f"{method.kind}.safetensors", "--out", "out.safetensors"]
    done = subprocess.run([*command, "--objective", method.objective, *settings], cwd=folder, capture_output=True, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode:
        return None, f"refused: {' '.join(done.stderr.split())} (exit status {done.returncode})"
    return load_file(f"{folder}/out.safetensors"), ""


def draw_constants(r, method, others):
    constants = {name: r.value(what) for name, what in (method.draws | others).items()}
    if method.kind == "pair" and r.random() < 0.3:
        constants["safeguard"] = r.choice([0.1, 0.6, 0.9])
    if constants.get("beta_convention") == "per-T":
        constants["beta"] = constants["beta"] / 1000
    return constants


def compare(program, method, space, constants, single, double, folder, tolerance):
    """What came of it (equal, ill-conditioned, wrong, refused), the worst error, and what to say."""
    got, refusal = run_palate(program, method, space, constants, folder)
    if got is None:
        return "refused", 0, refusal
    with in_float64():
        truth = evaluate(double(), method, space, constants)
    ours = errors(got, truth)
    error, name = max(ours.values())
    if error <= tolerance:
        return "equal", error, f"{name} error {error:.2g}"
    theirs = errors(evaluate(single(), method, space, constants), truth)
    near = all(ours[group][0] <= max(tolerance, 3 * theirs[group][0]) for group in ours)
    said = f"{name} error {error:.2g}; from float64 torch's float32 is {max(theirs.values())[0]:.2g}"
    return ("ill-conditioned" if near else "wrong"), error, said


def once(make):
    kept = []
    return lambda: (kept or kept.append(make()) or kept)[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--palate", type=os.path.abspath, required=True)
    parser.add_argument("--methods", type=lambda text: text.split(","), default=list(METHODS))
    parser.add_argument("--spaces", type=lambda text: text.split(","), default=list(SPACES))
    for flag, default in {"--first": 0, "--count": 20, "--tolerance": 1e-5}.items():
        parser.add_argument(flag, type=type(default), default=default)
    parser.add_argument("--show", action="store_true")
    args = parser.parse_args()
    logging.disable()
    torch.set_num_threads(1)
    tally, worst = collections.Counter(), 0
    for seed in range(args.first, args.first + args.count):
        world = World(Draw(seed))
        with tempfile.TemporaryDirectory() as folder:
            world.save(folder)
            for kind in ("pair", "label", "single"):
                save_file(file_of(world.given, kind), f"{folder}/{kind}.safetensors")
            single, double = once(lambda: Computed(world)), once(lambda: Computed(world))
            for name in args.methods:
                for space in args.spaces:
                    constants = draw_constants(Draw(f"{seed} {name} {space}"), METHODS[name], {"timesteps": ["uniform", "turbo"]})
                    verdict, error, said = compare(args.palate, METHODS[name], space, constants, single, double, folder, args.tolerance)
                    tally[verdict] += 1
                    worst = max(worst, error if verdict == "equal" else 0)
                    if args.show or verdict in ("wrong", "refused"):
                        print(f"{seed} {world.kind} {name} {space} {verdict}: {said} {json.dumps(constants)}", flush=True)
    print(f"{', '.join(f'{tally[name]} {name}' for name in ('equal', 'ill-conditioned', 'wrong', 'refused'))}; worst error of the equal {worst:.2g}")
    raise SystemExit(tally["wrong"] + tally["refused"] > 0)


if __name__ == "__main__":
    main()
