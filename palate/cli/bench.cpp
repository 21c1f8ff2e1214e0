// palate bench: how long a training step, encoding or sampling takes here, as one JSON object. bench/run puts the Python
// peer beside it.
#include <torch/types.h>

#include <ATen/Parallel.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "palate/cli/bench_models.h"
#include "palate/cli/bench_operators.h"
#include "palate/cli/bench_step.h"
#include "palate/cli/command.h"
#include "palate/core/device.h"
#include "palate/diffusion/sampler.h"
#include "palate/train/unet_cost.h"

namespace palate {
namespace {

// Each kind's own sizes, where none are given.
void fill_in(BenchArguments& a) {
  const bool embedded = a.kind == "embedded";
  if (a.model.empty()) a.model = embedded ? asset("base") : "sd15";
  if (a.dtype.empty()) a.dtype = embedded ? "float32" : "bf16";
  if (a.latent == 0) a.latent = embedded ? 16 : 64;
  if (a.pairs == 0) a.pairs = embedded ? 16 : 1;
  if (a.rank == 0) a.rank = embedded ? 16 : 8;
}

// A GPU is handed its work and not waited for: one number of the result is.
void wait_for(const Tensor& result) {
  if (!result.device().is_cpu()) result.flatten()[0].item<double>();
}

// Each gives a function that does the work once.
std::function<Parts()> step_work(const BenchArguments& a) {
  return [bench = std::make_shared<StepBench>(a)] { return bench->step(); };
}

std::function<Parts()> vae_work(const BenchArguments& a) {
  const c10::Device device = parse_device(a.device);
  std::shared_ptr<Autoencoder> autoencoder = bench_autoencoder(a.model, parse_dtype(a.dtype), device);
  const int64_t side = a.latent * autoencoder->factor();
  return [autoencoder, pixels = bench_noise({1, 3, side, side}, 1).to(device)] {
    const torch::NoGradGuard no_grad;
    const auto begin = Clock::now();
    wait_for(autoencoder->encode(pixels).mean);
    return Parts{{"encode", seconds_since(begin)}, {"total", seconds_since(begin)}};
  };
}

std::function<Parts()> sample_work(const BenchArguments& a) {
  const c10::Device device = parse_device(a.device);
  std::shared_ptr<Denoiser> denoiser = bench_denoiser(a.model, parse_dtype(a.dtype), device);
  std::shared_ptr<Sampler> sampler = make_sampler("ddim", bench_scheduler(a.model));
  const Tensor start = bench_noise({a.pairs, denoiser->in_channels(), a.latent, a.latent}, 1).to(device);
  const Tensor states = bench_noise({a.pairs, bench_text_length(a.model), denoiser->text_width()}, 2);
  const Condition text = Condition{{"encoder_hidden_states", states}}.to(device, parse_dtype(a.dtype));
  return [=] {
    constexpr int64_t evaluations = 2;  // with guidance; each takes as long as any other
    sampler->set_timesteps(evaluations);
    const auto begin = Clock::now();
    wait_for(sample_latents(*denoiser, *sampler, start, text, text, SampleOptions()));
    return Parts{{"sampler_step", seconds_since(begin) / evaluations}, {"total", seconds_since(begin)}};
  };
}

// What the machine can do at best: the number that the others are read against.
std::function<Parts()> matrix_work(const BenchArguments& a) {
  constexpr int64_t side = 2048;
  const auto matrix = [&](uint64_t sample) { return bench_noise({side, side}, sample).to(parse_device(a.device), parse_dtype(a.dtype)); };
  const Tensor left = matrix(1), right = matrix(2);
  return [left, right] {
    constexpr int64_t products = 8;
    const auto begin = Clock::now();
    for (int64_t i = 1; i < products; ++i) torch::mm(left, right);
    wait_for(torch::mm(left, right));
    const double seconds = seconds_since(begin) / products;
    return Parts{{"product", seconds}, {"total", seconds}};
  };
}

std::function<Parts()> find_work(const BenchArguments& a) {
  if (a.kind == "vae") return vae_work(a);
  if (a.kind == "sample") return sample_work(a);
  if (a.kind == "matrix") return matrix_work(a);
  return step_work(a);
}

// Of one step, as a model-flops count has it: forward and backward of both pictures of each pair with frozen weights (2 passes of a
// forward's cost), the reference's forward where it is computed; what checkpointing does twice counts once.
double step_flops(const BenchArguments& a) {
  const UnetCost cost = unet_cost(bench_unet_config(a.model), a.latent, bench_text_length(a.model));
  return cost.flops * 2 * static_cast<double>(a.pairs) * (a.reference == "cached" ? 2 : 3);
}

void bench(BenchArguments& a) {
  fill_in(a);
  set_threads(a.threads);
  const auto work = find_work(a);
  work();  // the first run also sets up what later ones find
  Parts least;
  std::vector<double> totals;
  const std::unique_ptr<OperatorTimes> operators = a.operators > 0 ? std::make_unique<OperatorTimes>() : nullptr;
  for (int64_t i = 0; i < a.steps; ++i) {
    const double before = processor_seconds();
    Parts parts = work();
    parts["processor"] = processor_seconds() - before;
    for (const auto& [name, seconds] : parts) least[name] = least.contains(name) ? std::min(least[name], seconds) : seconds;
    totals.push_back(parts.at("total"));
  }
  if (operators) std::fputs(operators->table(static_cast<size_t>(a.operators)).c_str(), stderr);
  std::sort(totals.begin(), totals.end());
  const size_t middle = totals.size() / 2;
  const double median = totals.size() % 2 ? totals[middle] : (totals[middle - 1] + totals[middle]) / 2;
  Json result = {{"palate", PALATE_VERSION},
                 {"kind", a.kind},
                 {"model", a.model},
                 {"latent", a.latent},
                 {"pairs", a.pairs},
                 {"rank", a.rank},
                 {"dtype", a.dtype},
                 {"device", a.device},
                 {"steps", a.steps},
                 {"threads", at::get_num_threads()},
                 {"reference", a.reference},
                 {"work", a.work},
                 {"checkpointing", a.checkpointing},
                 {"objective", a.objective},
                 {"step_min_s", totals.front()},
                 {"step_median_s", median},
                 {"pairs_per_s", static_cast<double>(a.pairs) / median},
                 {"parts", least},
                 {"peak_gb", static_cast<double>(peak_resident_bytes()) / 1e9}};
  if ((a.kind == "step" || a.kind == "embedded") && a.objective.empty()) {
    result["model_tflop"] = step_flops(a) / 1e12;
    result["tflop_per_s"] = step_flops(a) / 1e12 / median;
  }
  if (a.json) return void(std::printf("%s\n", result.dump().c_str()));
  for (const auto& [key, value] : result.items()) std::printf("%-14s %s\n", key.c_str(), value.dump().c_str());
}

}  // namespace

void add_bench(CLI::App& app) {
  auto a = std::make_shared<BenchArguments>();
  app.add_option("kind", a->kind,
                 "step: a DPO step of a LoRA; embedded: the same on the embedded model; vae: encode one picture; sample: two sampler steps "
                 "with guidance; matrix: the product of two matrices of 2048 x 2048")
      ->required()
      ->check(CLI::IsMember({"step", "embedded", "vae", "sample", "matrix"}))
      ->type_name("KIND");
  app.add_flag("--json", a->json, "one JSON object instead of lines");
  app.add_option("--model", a->model,
                 "sd15, sd21 or sdxl (full size, made in memory) or a model folder; default: sd15, or the shipped base for embedded")
      ->type_name("NAME|DIR");
  app.add_option("--latent", a->latent, "side of the latents; default 64, embedded 16")->check(CLI::Range(1, 1024))->type_name("N");
  app.add_option("--pairs", a->pairs, "pairs a step, or pictures at once; default 1, embedded 16")
      ->check(CLI::Range(1, 4096))
      ->type_name("N");
  app.add_option("--rank", a->rank, "of the LoRA; default 8, embedded 16")->check(CLI::Range(1, 4096))->type_name("N");
  app.add_option("--dtype", a->dtype, "bf16 | float32; default bf16, embedded float32")->type_name("NAME");
  app.add_option("--device", a->device, "cpu | cuda")->capture_default_str()->type_name("NAME");
  app.add_option("--steps", a->steps, "how often it is timed, after once without")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str()
      ->type_name("N");
  app.add_option("--threads", a->threads, "0: as many as libtorch takes")->capture_default_str()->type_name("N");
  app.add_option("--reference", a->reference, "computed: adapters off; cached: given")
      ->check(CLI::IsMember({"computed", "cached"}))
      ->capture_default_str()
      ->type_name("NAME");
  app.add_option("--work", a->work, "cached: latents and text states are given; script: encoded at every step")
      ->check(CLI::IsMember({"cached", "script"}))
      ->capture_default_str()
      ->type_name("NAME");
  app.add_option("--operators", a->operators, "on stderr, the N operators that took the most processor time")->type_name("N");
  app.add_flag("--checkpointing", a->checkpointing, "gradient checkpointing");
  app.add_option("overrides", a->objective, "of [objective]: error_space=perceptual tap=mid")->type_name("KEY=VALUE");
  app.footer(
      "Times are of this machine at this moment: compare within one run of bench/run, on a machine that does nothing else.\n"
      "parts.processor is what this process took of the processors, in seconds over all threads: it does not count waiting for others.\n"
      "Example:\n  palate bench step --json --threads 2");
  app.callback([a] { bench(*a); });
}

}  // namespace palate
