"""Goldens of trajectories from diffusers' DDIM at eta 1 and their log-probabilities as DDPO takes them: rollout.safetensors.

The network is of one line, with guidance 5, on latents [2, 3, 2, 2] and of a video, [2, 3, 2, 2, 2]. Each case (`picture`, `video`) has
`start`, `wave`, `text`, `empty`, `noise` [steps, ...], `x` [steps + 1, ...] and `log_prob` [steps, 2].
"""
import torch
from diffusers import DDIMScheduler

from golden_file import draw, in_both, write

# set_alpha_to_one false as in Stable Diffusion's folders: so the last step draws too.
CONFIG = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False, set_alpha_to_one=False, steps_offset=1)
STEPS, GUIDANCE = 6, 5.0


def network(x, t, text, wave):
    return 0.3 * x + text.mean((1, 2)).view(-1, *[1] * (x.dim() - 1)) * wave + t / 10000


def trajectory(*shape):
    start, noise, wave = draw(2, *shape), draw(STEPS, 2, *shape), draw(1, *shape)
    text, empty = draw(2, 3, 4), draw(2, 3, 4)
    scheduler = DDIMScheduler(**CONFIG)
    scheduler.set_timesteps(STEPS)
    states, densities = [start], []
    for i, t in enumerate(scheduler.timesteps):
        x = states[-1]
        unconditional, conditional = network(x, t, empty, wave), network(x, t, text, wave)
        predicted = unconditional + GUIDANCE * (conditional - unconditional)
        states.append(scheduler.step(predicted, t, x, eta=1.0, variance_noise=noise[i]).prev_sample)
        mean = scheduler.step(predicted, t, x, eta=1.0, variance_noise=torch.zeros_like(x)).prev_sample
        std = scheduler._get_variance(t, t - scheduler.config.num_train_timesteps // STEPS) ** 0.5
        # ddpo_pytorch/diffusers_patch/ddim_with_logprob.py: the mean along all but the batch dimension.
        densities.append(torch.distributions.Normal(mean, std).log_prob(states[-1]).flatten(1).mean(1))
    return {"start": start, "noise": noise, "wave": wave, "text": text, "empty": empty, "x": torch.stack(states), "log_prob": torch.stack(densities)}


def compute():
    torch.manual_seed(11)
    cases = {"picture": trajectory(3, 2, 2), "video": trajectory(3, 2, 2, 2)}
    return {f"{case}.{name}": value for case, tensors in cases.items() for name, value in tensors.items()}


if __name__ == "__main__":
    write("rollout.safetensors", *in_both(compute))
