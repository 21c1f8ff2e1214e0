"""Goldens of rectified flows from diffusers: flow.safetensors.

For each shift, `SHIFT.timesteps` [1000] and `SHIFT.sigmas` as FlowMatchEulerDiscreteScheduler is made with, from the cleanest to the
noisiest; `x0`, `noise` [5, 2, 2, 2, 2], and for the rows of those tables in `rows` [5]: `SHIFT.x_t` as scale_noise makes it. `stepped`
is a step of the scheduler from each row of shift 1, with the true target as prediction, to half of its timestep.
"""
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from golden_file import draw, under_settings, write


def compute():
    torch.manual_seed(13)
    x0, noise = draw(5, 2, 2, 2, 2), draw(5, 2, 2, 2, 2)
    rows = torch.tensor([3, 250, 500, 800, 999])
    tensors = {"x0": x0, "noise": noise, "rows": rows}
    for shift in (1.0, 3.0, 5.0):
        scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
        timesteps, sigmas = scheduler.timesteps.flip(0), scheduler.sigmas.flip(0)
        tensors |= {f"{shift:.0f}.timesteps": timesteps, f"{shift:.0f}.sigmas": sigmas, f"{shift:.0f}.x_t": scheduler.scale_noise(x0, timesteps[rows], noise)}
    stepped = []
    for row, x, target in zip(rows, tensors["1.x_t"], noise - x0):
        scheduler = FlowMatchEulerDiscreteScheduler()
        level = float(tensors["1.sigmas"][row])
        scheduler.set_timesteps(sigmas=[level, level / 2])
        stepped.append(scheduler.step(target, scheduler.timesteps[0], x).prev_sample)
    return tensors | {"stepped": torch.stack(stepped)}


if __name__ == "__main__":
    write("flow.safetensors", *under_settings(compute))
