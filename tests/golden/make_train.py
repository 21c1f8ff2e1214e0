"""Goldens of training: torch.optim.AdamW, clip_grad_norm_, diffusers' EMAModel and learning-rate schedules, and ten steps on
a tiny U-Net. Writes train_optimizer.safetensors, train_unet.safetensors, train.json."""
import copy
import json

import torch
from diffusers import UNet2DConditionModel
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel

from golden_file import HERE, draw, in_both, write

torch.set_num_threads(1)


def schedules():
    cases = []
    for name, extra in [
        ("constant", {}), ("constant", {"warmup": 10}), ("constant_with_warmup", {"warmup": 10}), ("constant_with_warmup", {"warmup": 0}),
        ("linear", {"warmup": 10}), ("linear", {"warmup": 0}), ("cosine", {"warmup": 7}), ("cosine_with_restarts", {"warmup": 10, "cycles": 3}),
        ("cosine_with_restarts", {"warmup": 0, "cycles": 1}), ("polynomial", {"warmup": 10, "power": 2.0}), ("polynomial", {"warmup": 0, "power": 1.0}),
    ]:
        warmup, cycles, power = extra.get("warmup", 0), extra.get("cycles", 1), extra.get("power", 1.0)
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=3e-4)
        scheduler = get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=100, num_cycles=cycles, power=power)
        rates = []
        for _ in range(106):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        cases.append({"name": name, "warmup": warmup, "cycles": cycles, "power": power, "rates": rates})
    return cases


def optimizer():
    tensors = {}
    torch.manual_seed(1)
    shapes = {"a": (7, 5), "b": (33,), "c": (2, 3, 3, 3)}
    values = {k: torch.nn.Parameter(draw(*s)) for k, s in shapes.items()}
    for k, v in values.items():
        tensors[f"initial.{k}"] = v.detach().clone()
    adam = torch.optim.AdamW(values.values(), lr=1.0, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.05)
    ema = EMAModel(values.values(), decay=0.3)
    norms = []
    for step in range(10):
        for k, v in values.items():
            v.grad = draw(*v.shape) * 10 ** (step % 3 - 2)
            tensors[f"gradient.{step}.{k}"] = v.grad.clone()
        norms.append(torch.nn.utils.clip_grad_norm_(values.values(), 0.5))
        if step == 2:
            for k, v in values.items():
                tensors[f"clipped.{k}"] = v.grad.clone()
        adam.param_groups[0]["lr"] = 1e-2 / (step + 1)
        adam.step()
        ema.step(values.values())
        for k, v in values.items():
            tensors[f"value.{step}.{k}"] = v.detach().clone()
        for (k, v), mean in zip(values.items(), ema.shadow_params):
            tensors[f"ema.{step}.{k}"] = mean.clone()
    tensors["norms"] = torch.stack(norms)
    return tensors


CONFIG = {
    "_class_name": "UNet2DConditionModel", "sample_size": 8, "in_channels": 4, "out_channels": 4, "block_out_channels": [8, 16], "layers_per_block": 1,
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"], "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"], "cross_attention_dim": 12,
    "attention_head_dim": 4, "norm_num_groups": 4,
}


torch.manual_seed(2)
MODEL = UNet2DConditionModel(**{k: v for k, v in CONFIG.items() if k != "_class_name"})


def unet():
    """`moved.NAME` is what ten steps added to a weight. eps is far above a gradient that is rounding only, which Adam would otherwise make a full step of."""
    tensors = {}
    torch.manual_seed(2)
    model = copy.deepcopy(MODEL).to(torch.get_default_dtype())
    for name, value in model.state_dict().items():
        tensors[f"initial.{name}"] = value.clone()
    x, target, text = draw(3, 4, 8, 8), draw(3, 4, 8, 8), draw(3, 5, 12)
    t = torch.tensor([3, 400, 999])
    tensors.update({"x": x, "target": target, "text": text, "t": t})
    adam = torch.optim.AdamW(model.parameters(), lr=1e-3, eps=1e-3, weight_decay=1e-2)
    scheduler = get_scheduler("cosine", adam, num_warmup_steps=2, num_training_steps=10)
    losses, norms = [], []
    for _ in range(10):
        loss = torch.nn.functional.mse_loss(model(x, t, text).sample, target)
        adam.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0))
        adam.step()
        scheduler.step()
        losses.append(loss.detach())
    for name, value in model.state_dict().items():
        tensors[f"moved.{name}"] = value - tensors[f"initial.{name}"]
    tensors.update({"losses": torch.stack(losses), "norms": torch.stack(norms)})
    return tensors


if __name__ == "__main__":
    write("train_optimizer.safetensors", *in_both(optimizer))
    write("train_unet.safetensors", *in_both(unet))
    (HERE / "train.json").write_text(json.dumps({"schedules": schedules(), "unet": CONFIG}))
