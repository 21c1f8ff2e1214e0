"""The methods and error spaces that sweep_step.py compares, written down in Python: the fewest words that say what palate should compute."""
import collections

import torch
import torch.nn.functional as F

Method = collections.namedtuple("Method", "name objective kind function draws")
Space = collections.namedtuple("Space", "name embed draws")
METHODS, SPACES = {}, {}


class Seen:
    """What a method looks at: residuals e(network, view), their mean squares d(network, view) and the labels."""

    def __init__(self, computed, space, constants, text=""):
        self.computed, self.space, self.constants, self.text = computed, SPACES[space], constants, text
        self.p = computed.given.get("preference", torch.ones(len(computed.given["noise"])))
        self.y, self.w = computed.given["labels"], computed.given["weights"]
        self.terms, self.shown, self.asked, self.count = {}, {}, set(), None  # count: what the losses' sum is divided by, if not by all

    def e(self, network, view):
        self.asked.add((network, view))
        return self.computed.residual(network, view, self.space, self.constants, self.text)

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


# Spaces: space(computed, x_t, prediction, constants, text), what is compared of a prediction; `text`: of the frozen network's prompts


def space(name, **draws):
    def keep(function):
        SPACES[name] = Space(name, function, draws)
        return function
    return keep


def told(computed, x_t, prediction):
    """x0 and noise, as a prediction tells them."""
    alpha, sigma = computed.levels(computed.given["timesteps"])
    if computed.v:
        return alpha * x_t - sigma * prediction, sigma * x_t + alpha * prediction
    return (x_t - sigma * prediction) / alpha, prediction


@space("output")
def output(computed, x_t, prediction, constants, text):
    return prediction


@space("epsilon")
def epsilon(computed, x_t, prediction, constants, text):
    return told(computed, x_t, prediction)[1]


@space("x0")
def x0(computed, x_t, prediction, constants, text):
    return told(computed, x_t, prediction)[0]


@space("v")
def v(computed, x_t, prediction, constants, text):
    (clean, noise), (alpha, sigma) = told(computed, x_t, prediction), computed.levels(computed.given["timesteps"])
    return alpha * noise - sigma * clean


@space("velocity")
def velocity(computed, x_t, prediction, constants, text):
    clean, noise = told(computed, x_t, prediction)
    return noise - clean


@space("perceptual", tap=["down", "mid", '["down", "mid"]'])
def perceptual(computed, x_t, prediction, constants, text):
    """NCP (2406.17636): one step of DDPM with the given noise to t - 1, or noised anew to the given timesteps, and the frozen encoder there."""
    t, (clean, noise) = computed.given["timesteps"], told(computed, x_t, prediction)
    if "features_timesteps" in computed.given:
        there = computed.given["features_timesteps"]
        alpha, sigma = computed.levels(there)
        x = alpha * clean + sigma * noise
    else:
        there = (t - 1).clamp(min=0)
        now, then = (computed.abar[each].view(-1, 1, 1, 1) for each in (t, there))
        beta = 1 - now / then
        mean = then.sqrt() * beta / (1 - now) * clean + (now / then).sqrt() * (1 - then) / (1 - now) * x_t
        x = torch.where((t > 0).view(-1, 1, 1, 1), mean + ((1 - then) / (1 - now) * beta).sqrt() * computed.given["step_noise"], x_t)
    taps = [f.flatten(1) for name, f in computed.features(x, there, text).items() if name in constants["tap"]]
    total = sum(f.shape[1] for f in taps)
    return torch.cat([f * (total / (f.shape[1] * len(taps))) ** 0.5 for f in taps], 1)


# Methods: method(seen, **constants) gives losses [B], and logits [B] where it has them; `draws` are its constants by palate's names


def method(name, kind="pair", objective=None, **draws):
    def keep(function):
        METHODS[name] = Method(name, objective or name, kind, function, draws)
        return function
    return keep


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
    links = {"sigmoid": lambda m: -F.logsigmoid(k * m - margin), "hinge": lambda m: F.relu(1 - k * m + margin),
             "ipo": lambda m: (m - (margin + 0.5) / k) ** 2}
    links["robust"] = lambda m: ((1 - label_smoothing) * links["sigmoid"](m) - label_smoothing * links["sigmoid"](-m)) / (1 - 2 * label_smoothing)
    link = links[loss_type]
    return either(s, link(m), link(-m), label_smoothing, anchor, s.p if loss_type == "robust" else None), k * m - margin


@method("cpo", **BETA, **PAIR)
def cpo(s, beta, beta_convention, margin, label_smoothing, anchor):
    z = factor(beta, beta_convention) * (s.d("policy", "lose") - s.d("policy", "win"))
    return either(s, -F.logsigmoid(z - margin), -F.logsigmoid(-z - margin), label_smoothing, anchor), z - margin


@method("dmpo", **BETA, **PAIR, dmpo_alpha=[0.01, 0.2])
def dmpo(s, beta, beta_convention, dmpo_alpha, margin, label_smoothing, anchor):
    k, m = factor(beta, beta_convention), s.gain("win") - s.gain("lose")
    p, q = (torch.sigmoid(z) for z in (k * m - margin, -k * m - margin))
    first, second = (x * (x / (1 - dmpo_alpha)).log() + (1 - x) * ((1 - x) / dmpo_alpha).log() for x in (p, q))
    return either(s, first, second, label_smoothing, anchor), k * m - margin


@method("orpo", beta=(0.05, 10), **PAIR)
def orpo(s, beta, margin, label_smoothing, anchor):
    z = s.d("policy", "lose") - s.d("policy", "win")
    return either(s, -beta * F.logsigmoid(z - margin), -beta * F.logsigmoid(-z - margin), label_smoothing, anchor), z - margin


@method("mapo", beta=(0.05, 10), snr_value=(0.1, 1), mapo_scale=(1, 100), **PAIR)
def mapo(s, beta, snr_value, mapo_scale, margin, label_smoothing, anchor):
    x = {view: snr_value * s.d("policy", view) for view in ("win", "lose")}
    h = {view: torch.where(d > 0, d / torch.expm1(torch.where(d > 0, d, 1.0)), 1.0) for view, d in x.items()}
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


def log_weight(s, network, view, sampled):
    """log p(x_s | x_t) - log q(x_s | x_t, x0) of the step to s, a mean over dimensions: in terms of x0, whose posterior mean has the factor
    sqrt(SNR(s) - SNR(t)) in units of the step's deviation, so what the network predicts does not matter."""
    c, t = s.computed, s.computed.given["timesteps"]
    earlier = (t - 1000 // s.constants["sampler_steps"]).clamp(min=0)
    (alpha, sigma), (a, b) = c.levels(t), c.levels(earlier)
    e = c.residual(network, view, SPACES["output"], s.constants, "").detach()  # prediction - target
    wrong = -sigma * e if c.v else -sigma / alpha * e  # of x0
    root = ((a / b) ** 2 - (alpha / sigma) ** 2).sqrt()
    tilt = root * c.given["step_noise"] * wrong if sampled else 0
    return (tilt - 0.5 * (root * wrong) ** 2).flatten(1).mean(1)


IMPORTANCE = dict(weight=["inside", "outside"], importance=["expected", "sampled"], ratio=["posterior", "reference"], threshold=[0, 0.5, 0.9],
                  quantile=[0, 0, 0.4], clip=[0.02, 0.1, 0.5], sampler_steps=[10, 50])


@method("dpo-cm", **BETA, **PAIR, **IMPORTANCE)
@method("sdpo", **BETA, **PAIR, **IMPORTANCE)
def importance(s, beta, beta_convention, weight, importance, ratio, threshold, quantile, clip, margin, label_smoothing, anchor):
    logs = {view: log_weight(s, "policy", view, importance == "sampled") for view in ("win", "lose")}
    if ratio == "reference":
        logs = {view: value - log_weight(s, "reference", view, importance == "sampled") for view, value in logs.items()}
    w = {view: value.exp() for view, value in logs.items()}
    v = {view: value.clamp(1 - clip, 1 + clip) for view, value in w.items()}
    least, used = torch.minimum(w["win"], w["lose"]), torch.minimum(v["win"], v["lose"])
    mask = (least >= (torch.quantile(least, quantile) if quantile else threshold)).to(least.dtype)
    s.shown, s.count = dict(weight_win=v["win"], weight_lose=v["lose"], mask=mask), mask.sum().clamp(min=1)
    inside, k = weight == "inside", factor(beta, beta_convention)
    s.terms |= dict(importance=least, weight=(v["win"] + v["lose"]) / 2 if inside else used, masked=1 - mask)
    z = k * (v["win"] * s.gain("win") - v["lose"] * s.gain("lose")) if inside else k * (s.gain("win") - s.gain("lose"))
    first, second = (-(1 if inside else used) * F.logsigmoid(sign * z - margin) for sign in (1, -1))
    return mask * either(s, first, second, label_smoothing, anchor), z - margin


@method("kto", kind="label", **BETA, desirable_weight=[1, 1.5], undesirable_weight=[1, 0.5])
def kto(s, beta, beta_convention, desirable_weight, undesirable_weight):
    k, g = factor(beta, beta_convention), s.gain("win")
    q = g.detach().mean().clamp(min=0)
    z = k * s.y * (g - q)
    s.terms["kl"] = k * q
    return torch.where(s.y > 0, desirable_weight, undesirable_weight) * torch.sigmoid(-z), z


def min_snr(s, gamma):
    """2303.09556, as diffusers' scripts have it."""
    if gamma == 0:
        return torch.ones_like(s.w)
    kept = s.computed.abar[s.computed.given["timesteps"]]
    snr = kept / (1 - kept)
    return snr.clamp(max=gamma) / (snr + 1 if s.computed.v else snr)


@method("dco", kind="single", **BETA, snr_gamma=[0, 0, 5])
def dco(s, beta, beta_convention, snr_gamma):
    d, prior = s.d("policy", "win"), s.computed.given["prior"]
    z = factor(beta, beta_convention) * min_snr(s, snr_gamma) * s.gain("win")
    s.terms["prior"] = d * prior
    return torch.where(prior > 0, d, -F.logsigmoid(z)), z


@method("dreambooth", kind="single", snr_gamma=[0, 0, 5])
def dreambooth(s, snr_gamma):
    s.terms["prior"] = s.d("policy", "win") * s.computed.given["prior"]
    return min_snr(s, snr_gamma) * s.d("policy", "win"), None


@method("rwr", kind="single", temperature=(0.2, 5))
def rwr(s, temperature):
    weight = torch.exp(s.computed.given["rewards"] / temperature)
    s.terms |= {"reward": s.computed.given["rewards"], "reward_weight": weight / weight.mean()}
    return weight / weight.mean() * s.d("policy", "win"), None
