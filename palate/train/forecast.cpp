// What a run will need, told from the model's configs and the shapes in its weight files; no model is loaded.
#include <ATen/Parallel.h>
#include <torch/types.h>

#include <time.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "palate/adapters/lora_names.h"
#include "palate/config/config.h"
#include "palate/core/clock.h"
#include "palate/core/device.h"
#include "palate/core/error.h"
#include "palate/data/pairs.h"
#include "palate/hub/model_path.h"
#include "palate/io/tensor_file.h"
#include "palate/models/unet/sample_size.h"
#include "palate/models/weight_files.h"
#include "palate/objective/error_space/perceptual.h"
#include "palate/objective/statistics.h"
#include "palate/objective/step_loss.h"
#include "palate/pipeline/model_folder.h"
#include "palate/pipeline/pipeline.h"
#include "palate/train/optimizer.h"
#include "palate/train/reward/reward_forecast.h"
#include "palate/train/rollout/lesson.h"
#include "palate/train/train.h"
#include "palate/train/unet_cost.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

constexpr int64_t program_bytes = 250'000'000;  // libtorch, the program, the allocator's slack
constexpr double efficiency = 0.68;             // of the matrix rate that a U-Net's pass reaches
constexpr double layer_seconds = 1.2e-3;        // of a residual or transformer block besides its products: norms, dispatch
// Measured activations over the walk's sum. bf16 has kernels that keep less. Float32 over the runs of tests/e2e/train/forecast_test.cpp and
// SD1.5 with a LoRA at 256x256 and 512x512: 0.9 to 1.4 without and 1.4 to 1.6 with gradient checkpointing, the upper ends on a processor
// without AVX-512 bf16.
constexpr double slack_bf16 = 1.05, slack_float32 = 1.3, slack_checkpointed = 1.5;

// The half of the U-Net that a perceptual error space looks through.
struct Encoder {
  UnetCost cost;
  int64_t numbers = 0, largest_layer = 0;  // weights of all of it, and of the one layer that gradient checkpointing runs again at a time
  bool exact = false;                      // computes in float32, whatever the network is held in
};

struct Shapes {
  std::vector<std::pair<std::string, std::vector<int64_t>>> unet;
  int64_t unet_numbers = 0, vae_numbers = 0, text_numbers = 0;
  UnetCost cost;
  std::optional<Encoder> encoder;
  int64_t side = 0, latent_channels = 4, factor = 8, vae_width = 128, tokens = 77, context = 768;
};

std::vector<std::pair<std::string, std::vector<int64_t>>> tensors_of(const fs::path& folder, const std::string& stem,
                                                                     const std::string& variant) {
  std::vector<std::pair<std::string, std::vector<int64_t>>> found;
  if (!fs::is_directory(folder)) return found;
  for (const auto& path : weight_files(folder, stem, variant)) {
    const TensorFile file(path);
    for (const auto& name : file.names()) found.emplace_back(name, file.shape(name));
  }
  return found;
}

int64_t numbers_of(const fs::path& folder, const std::string& stem, const std::string& variant) {
  int64_t count = 0;
  for (const auto& [name, shape] : tensors_of(folder, stem, variant)) count += c10::multiply_integers(shape);
  return count;
}

std::optional<Encoder> encoder_of(const RunConfig& config, const Json& unet, const Shapes& shapes) {
  if (config.objective.error_space != "perceptual") return std::nullopt;
  const auto constants = constants_of<PerceptualConfig>(config.objective.error_space_constants);
  const bool mid = std::find(constants.tap.begin(), constants.tap.end(), "mid") != constants.tap.end();
  Encoder it;
  it.cost = unet_cost(unet, shapes.side, shapes.tokens, mid ? UnetPart::mid : UnetPart::down);
  it.exact = constants.features_dtype == "float32";
  std::map<std::string, int64_t> layers;  // a residual block and the transformer behind it have one number
  for (const auto& [name, shape] : shapes.unet) {
    const int64_t count = c10::multiply_integers(shape);
    const bool down = name.starts_with("down_blocks.");
    if (down || (mid && name.starts_with("mid_block."))) it.numbers += count;
    const size_t kind = name.find(".attentions.") != std::string::npos ? name.find(".attentions.") : name.find(".resnets.");
    if (!down || kind == std::string::npos) continue;
    const size_t number = name.find('.', kind + 1) + 1;
    int64_t& layer = layers[name.substr(0, kind + 1) + name.substr(number, name.find('.', number) - number)];
    it.largest_layer = std::max(it.largest_layer, layer += count);
  }
  return it;
}

Shapes read_shapes(const RunConfig& config) {
  const fs::path model = model_path(config.model);
  const fs::path network = model / unet_component;
  check<UsageError>(fs::exists(network / "config.json"), "model: ", model.string(),
                    " holds no unet/config.json: name a model folder in diffusers' layout");
  Shapes shapes;
  const Json unet = read_json(network / "config.json");
  shapes.unet = tensors_of(network, "diffusion_pytorch_model", config.variant);
  for (const auto& [name, shape] : shapes.unet) shapes.unet_numbers += c10::multiply_integers(shape);
  shapes.latent_channels = unet.value("in_channels", int64_t{4});
  if (unet.contains("cross_attention_dim") && unet["cross_attention_dim"].is_number())
    shapes.context = unet["cross_attention_dim"].get<int64_t>();
  if (fs::exists(model / "vae/config.json")) {
    const Json vae = read_json(model / "vae/config.json");
    if (vae.contains("block_out_channels") && !vae["block_out_channels"].empty()) {
      shapes.factor = int64_t{1} << (vae["block_out_channels"].size() - 1);
      shapes.vae_width = vae["block_out_channels"][0].get<int64_t>();
    }
  }
  if (fs::exists(model / "text_encoder/config.json"))
    shapes.tokens = read_json(model / "text_encoder/config.json").value("max_position_embeddings", int64_t{77});
  const int64_t pixels = largest_side(config.data);
  shapes.side = pixels > 0 ? pixels / shapes.factor : unet_sample_size(unet, (network / "config.json").string());
  shapes.vae_numbers = numbers_of(model / "vae", "diffusion_pytorch_model", config.variant);
  shapes.text_numbers =
      numbers_of(model / "text_encoder", "model", config.variant) + numbers_of(model / "text_encoder_2", "model", config.variant);
  shapes.cost = unet_cost(unet, shapes.side, shapes.tokens);
  shapes.encoder = encoder_of(config, unet, shapes);
  return shapes;
}

struct Adapted {
  int64_t numbers = 0;      // of the adapters' weights
  double convolutions = 0;  // the share of the residual blocks' convolutions that have one
};

Adapted adapted_by(const LoraConfig& lora, const Shapes& shapes) {
  Adapted found;
  double convolutions = 0;
  for (const auto& [name, shape] : shapes.unet) {
    if (shape.size() < 2 || !name.ends_with(".weight")) continue;
    const std::string layer = name.substr(0, name.size() - 7);
    const bool residual = layer.ends_with(".conv1") || layer.ends_with(".conv2");
    convolutions += residual;
    if (std::none_of(lora.targets.begin(), lora.targets.end(), [&](const auto& target) { return matches_target(layer, target); })) continue;
    found.numbers += lora.rank * (shape[0] + c10::multiply_integers(shape) / shape[0]);
    found.convolutions += residual;
  }
  found.convolutions /= std::max(convolutions, 1.0);
  return found;
}

// Seconds of one floating-point operation in a matrix product. On the processor it is counted in its own time, shared among
// the threads, so that other programs of this moment do not tell how long the run will take on a free machine.
double seconds_per_flop(c10::ScalarType dtype, c10::Device device) {
  const torch::NoGradGuard no_grad;
  constexpr int64_t n = 1024;
  const Tensor a = torch::ones({n, n}, torch::TensorOptions().dtype(dtype).device(device));
  const auto began = Clock::now();
  const auto clock = [&] { return device.is_cpu() ? processor_seconds() / at::get_num_threads() : seconds_since(began); };
  double best = 1e9;
  while (seconds_since(began) < 0.5) {
    const double before = clock();
    torch::mm(a, a).sum().to(torch::kFloat).item<float>();
    best = std::min(best, clock() - before);
  }
  return best / (2.0 * n * n * n);
}

struct Roles {
  int64_t rows;    // of the network for one pair, or for one step that the model made
  bool reference;  // a forward pass of its own in each step
  bool second_copy;
};

Roles roles_of(const RunConfig& config) {
  const Needs needs = needs_of(config.objective);
  const std::string& kind = config.objective.reference;
  int64_t rows = config.data.images.empty() ? needs.pictures() : 1;
  if (is_step_loss(config.objective.loss))
    rows = (step_needs_of(config.objective).pairs() ? 2 : 1) * (config.rollout.guidance_scale > 1 ? 2 : 1);
  return {rows, needs.reference && (kind == "adapters_off" || kind == "frozen_copy" || kind == "snapshot"),
          needs.reference && kind == "frozen_copy"};
}

// Pictures of the class, before training.
int64_t drawn_before(const RunConfig& config) { return config.prior.any() && config.prior.folder.empty() ? config.prior.pictures : 0; }

int64_t cache_bytes_of(const RunConfig& config, const Shapes& shapes) {
  if (config.rollout.any()) return 0;
  int64_t pairs = open_pairs(config.data)->rows() + drawn_before(config);
  if (config.data.max_pairs > 0) pairs = std::min(pairs, config.data.max_pairs);
  const int64_t latents = pairs * config.data.variants * (config.data.images.empty() ? 4 : 2) * shapes.latent_channels * shapes.side *
                          shapes.side * 4;  // mean and deviation of each image
  const int64_t width = config.train.dtype == "bf16" && !config.full ? 2 : 4;
  const int64_t errors = pairs * reference_draws(config.objective) * 8;
  return latents + pairs * shapes.tokens * shapes.context * width + errors;
}

// The autoencoder is held in float32, text encoders in the run's dtype of `width` bytes.
int64_t encoder_bytes(const Shapes& shapes, int64_t width) { return 4 * shapes.vae_numbers + width * shapes.text_numbers; }

// While the caches are built: the encoders, and the autoencoder's activations for one picture.
int64_t encoding_bytes(const Shapes& shapes, int64_t width) {
  const int64_t pixels = shapes.side * shapes.factor * shapes.side * shapes.factor;
  return encoder_bytes(shapes, width) + 5 * 4 * shapes.vae_width * pixels;
}

// While grids of sample.prompts are drawn: the same to decode, as many pictures at a time as Pipeline::decode takes.
int64_t sampling_bytes(const RunConfig& config, const Shapes& shapes, int64_t width) {
  const int64_t drawn = std::max(static_cast<int64_t>(config.sample.prompts.size()), std::min(drawn_before(config), config.prior.batch));
  if (drawn == 0) return 0;
  const int64_t pixels = shapes.side * shapes.factor * shapes.side * shapes.factor;
  const int64_t at_once = std::min(pictures_at_once(pixels), drawn);
  return encoder_bytes(shapes, width) + 13 * 4 * shapes.vae_width * pixels * at_once;
}

// An epoch's pictures at all their steps; of SPO the best and the worst next state besides.
int64_t rollout_bytes(const RunConfig& config, const Shapes& shapes) {
  const bool candidates = is_step_loss(config.objective.loss) && step_needs_of(config.objective).compares == Compares::candidates;
  return config.rollout.samples() * (config.rollout.steps + 1) * (candidates ? 3 : 1) * shapes.latent_channels * shapes.side * shapes.side *
         4;
}

void add_memory(Forecast& it, const RunConfig& config, const Shapes& shapes) {
  const Roles roles = roles_of(config);
  const int64_t width = config.train.dtype == "bf16" ? 2 : 4;
  const Adapted lora = adapted_by(config.lora, shapes);
  const int64_t trained = config.full ? shapes.unet_numbers : lora.numbers;
  it.weights_bytes = shapes.unet_numbers * width * (roles.second_copy ? 2 : 1);
  const int64_t masters = !config.full ? trained * 4 : width == 2 ? trained * 4 : 0;
  const int64_t ema = config.train.ema > 0 ? trained * 4 : 0;
  it.optimizer_bytes = masters + ema + optimizer_state_bytes(config.optimizer.name, trained) + trained * 4;  // and the gradients
  const UnetCost& cost = shapes.cost;
  const bool rerun = config.train.gradient_checkpointing;
  const auto bytes = [&](int64_t numbers, int64_t wide) {
    const double slack = wide == 2 ? slack_bf16 : rerun ? slack_checkpointed : slack_float32;
    return static_cast<int64_t>(slack * static_cast<double>(numbers * wide * roles.rows * config.train.batch));
  };
  const int64_t adapted = cost.saved_frozen + static_cast<int64_t>(lora.convolutions * static_cast<double>(cost.conv_inputs));
  const int64_t kept = rerun ? cost.boundaries : config.full ? cost.saved_trained : adapted;
  const int64_t at_once = bytes(rerun ? cost.largest_block : cost.largest_block / 2, width);
  it.activation_bytes = bytes(kept, width) + at_once;
  if (shapes.encoder) {  // its graph is gone when the network's own goes backward
    const Encoder& e = *shapes.encoder;
    const int64_t wide = e.exact ? 4 : width, through = bytes(rerun ? e.cost.boundaries + e.cost.largest_block : e.cost.saved_frozen, wide);
    const int64_t cast = wide == width ? 0 : 4 * (rerun ? e.largest_layer : e.numbers);  // weights in float32, which the graph keeps
    it.activation_bytes = bytes(kept, width) + std::max(at_once, through + cast);
    if (config.full && !roles.second_copy) it.weights_bytes += shapes.unet_numbers * width;
  }
  if (config.text.any()) it.weights_bytes += shapes.text_numbers * width;  // which are freed otherwise
  int64_t held = it.weights_bytes + it.optimizer_bytes;
  if (config.rollout.any()) held += encoder_bytes(shapes, width) + rollout_bytes(config, shapes);
  it.peak_bytes =
      program_bytes + std::max({held + it.activation_bytes, encoding_bytes(shapes, width), held + sampling_bytes(config, shapes, width)});
}

// Seconds of one floating-point operation, of the network and of a perceptual space's encoder.
struct Rates {
  double network, encoder;
};

void add_time(Forecast& it, const RunConfig& config, const Shapes& shapes, const Rates& rates) {
  const Roles roles = roles_of(config);
  const double again = config.train.gradient_checkpointing ? 1 : 0, reference = roles.reference ? 1 : 0;
  const auto latest = static_cast<double>(config.train.batch) / static_cast<double>(config.train.batch + 1);  // of a batch's t, in T
  const double inversion = config.objective.noising == "inverted" ? static_cast<double>(config.objective.inversion_steps) * latest : 0;
  const auto rows = static_cast<double>(roles.rows * config.train.batch);
  auto parts = static_cast<double>(config.train.accumulation);
  const RolloutConfig& own = config.rollout;
  if (own.any()) parts = std::ceil(static_cast<double>(most_lesson_rows(config)) / static_cast<double>(config.train.batch));
  const auto seconds = [&](double passes, const UnetCost& cost, double rate) {
    return parts * passes * (rows * cost.flops * rate / efficiency + static_cast<double>(cost.blocks) * layer_seconds);
  };
  it.seconds_per_step = seconds((config.full ? 3 : 2) + again + reference + inversion, shapes.cost, rates.network);
  // The policy's prediction there and back, the truth, the reference's prediction.
  if (shapes.encoder) it.seconds_per_step += seconds(3 + again + reference, shapes.encoder->cost, rates.encoder);
  if (own.any()) {
    const auto evaluations = static_cast<double>(own.samples() * own.steps) * (own.guidance_scale > 1 ? 2 : 1);
    it.seconds_per_step += evaluations * shapes.cost.flops * rates.network / efficiency / static_cast<double>(own.steps_per_epoch());
  }
  const auto passes_before = static_cast<double>(drawn_before(config) * config.prior.steps) * (config.prior.guidance_scale > 1 ? 2 : 1);
  it.seconds =
      it.seconds_per_step * static_cast<double>(config.train.steps) + passes_before * shapes.cost.flops * rates.network / efficiency;
}

Forecast estimate(const RunConfig& config, const Shapes& shapes, const Rates& rates) {
  Forecast it;
  it.cache_bytes = cache_bytes_of(config, shapes);
  add_memory(it, config, shapes);
  add_time(it, config, shapes, rates);
  return it;
}

struct Change {
  std::string text;
  std::function<bool(RunConfig&)> apply;  // false: no change
};

// The same result in parts, unless the loss compares a pass's examples with each other.
bool in_parts(RunConfig& c) {
  if (c.train.batch == 1 || needs_of(c.objective).least_batch > 1) return false;
  if (!c.rollout.any()) c.train.accumulation *= c.train.batch;  // the model's own pictures are in parts already
  c.train.batch = 1;
  return true;
}

// In the order of what they cost the person.
std::vector<Change> changes() {
  return {{"train.batch = 1 with train.accumulation raised to match (the same result)", in_parts},
          {"train.dtype = \"bf16\"", [](RunConfig& c) { return c.train.dtype != "bf16" && (c.train.dtype = "bf16", true); }},
          {"objective.reference = \"cached\"",
           [](RunConfig& c) { return c.objective.reference == "frozen_copy" && (c.objective.reference = "cached", true); }},
          {"train.gradient_checkpointing = true (a third more time)",
           [](RunConfig& c) { return !c.train.gradient_checkpointing && (c.train.gradient_checkpointing = true, true); }},
          {"train.ema = 0", [](RunConfig& c) { return c.train.ema > 0 && (c.train.ema = 0, true); }},
          {"full = false (a LoRA)", [](RunConfig& c) { return c.full && (c.full = false, c.objective.reference = "adapters_off", true); }}};
}

std::string advise(const RunConfig& config, const Shapes& shapes, int64_t limit) {
  const auto gb = [](int64_t bytes) { return concat(std::round(static_cast<double>(bytes) / 1e8) / 10, " GB"); };
  for (const auto& change : changes()) {
    RunConfig other = config;
    if (!change.apply(other)) continue;
    Forecast it;
    add_memory(it, other, shapes);
    if (it.peak_bytes <= limit) return concat("does not fit into ", gb(limit), "; it would with ", change.text, ": ", gb(it.peak_bytes));
  }
  RunConfig all = config;
  std::string names;
  for (const auto& change : changes()) {
    if (!change.apply(all)) continue;
    names += (names.empty() ? "" : ", ") + change.text;
    Forecast it;
    add_memory(it, all, shapes);
    if (it.peak_bytes <= limit)
      return concat("does not fit into ", gb(limit), "; it would with all of these: ", names, ": ", gb(it.peak_bytes));
  }
  return concat("does not fit into ", gb(limit),
                ", nor would any change of settings help: a smaller data.resolution or another machine is needed");
}

}  // namespace

Forecast forecast(const RunConfig& given) {
  RunConfig config = given, whole;
  load_config({.file_name = "config", .file_text = config_to_toml([&](Fields& f) { config.visit(f); }), .overrides = {}},
              [&](Fields& f) { whole.visit(f); });
  const ThreadCount threads(whole.threads);
  const c10::Device device = parse_device(whole.device);
  if (whole.task == "reward-model") return forecast_reward(whole, seconds_per_flop(torch::kFloat, device));
  const Shapes shapes = read_shapes(whole);
  const c10::ScalarType dtype = parse_dtype(whole.train.dtype);
  Rates rates{.network = seconds_per_flop(dtype, device), .encoder = 0};
  const bool exact = shapes.encoder && shapes.encoder->exact && dtype != torch::kFloat32;
  rates.encoder = exact ? seconds_per_flop(torch::kFloat32, device) : rates.network;
  Forecast it = estimate(whole, shapes, rates);
  const int64_t limit = total_memory_bytes() / 100 * 95;
  if (device.is_cpu() && it.peak_bytes > limit) it.advice = advise(whole, shapes, limit);
  return it;
}

}  // namespace palate
