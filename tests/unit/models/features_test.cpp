// Activations of a U-Net taken as features: what is run, what is not, and whose gradients they carry.
#include <doctest/doctest.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/models/registry.h"
#include "palate/nn/layers.h"
#include "tests/support/draw.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"

namespace palate {

using test::draw;
namespace {

// A tiny U-Net of two levels, and something to ask it.
struct Asked {
  std::unique_ptr<Denoiser> model = load_denoiser(test::golden("unet_sd1"));
  Tensor x = draw({2, 4, 8, 8}, 1), t = torch::tensor({981, 7}), text = draw({2, 5, 12}, 2);

  Condition condition() const { return {{"encoder_hidden_states", text}}; }
  std::vector<Tensor> features(const Tensor& sample, const std::vector<std::string>& taps) const {
    return model->features(sample, t, condition(), taps);
  }
  Tensor features(const std::string& tap) const { return features(x, {tap}).at(0); }
  // Of sum(features * weights), by the sample.
  Tensor gradient(const std::string& tap) const {
    const Tensor sample = x.clone().set_requires_grad(true), out = features(sample, {tap}).at(0);
    (out * draw(out.sizes().vec(), 3)).sum().backward();
    return sample.grad();
  }
};

const std::vector<std::string> names = {"conv_in", "down_blocks.0", "down_blocks.1", "mid_block", "up_blocks.0", "up_blocks.1"};

// Whether a parameter belongs to a block behind `tap`.
bool is_behind(const std::string& parameter, const std::string& tap) {
  bool behind = false;
  for (const auto& name : names) {
    if (behind && parameter.starts_with(name + ".")) return true;
    behind = behind || name == tap;
  }
  return parameter.starts_with("conv_norm_out.") || parameter.starts_with("conv_out.");
}

// 0.1 times what the layer was given, where that has the shape of its output.
class Echo final : public Adapter {
 public:
  Tensor delta(const Tensor& input) override { return 0.1 * input; }
};

void hang_echoes(Denoiser& model) {
  for_each_adaptable(model.module(), [](const std::string& name, Adaptable& layer) {
    if (name.ends_with("attn1.to_q")) layer.adapters.push_back(std::make_shared<Echo>());
  });
}

}  // namespace

TEST_CASE("features: several taps at once are the taps one by one, in the order asked, and the down path ends with its last block") {
  const Asked asked;
  const std::vector<std::string> taps = {"mid_block", "conv_in", "down_blocks.1", "down_blocks.0", "down_blocks.1"};
  const auto together = asked.features(asked.x, taps);
  REQUIRE(together.size() == taps.size());
  for (size_t i = 0; i < taps.size(); ++i) test::expect_equal(taps[i], together[i], asked.features(taps[i]));
  test::expect_equal("down_blocks", asked.features("down_blocks"), asked.features("down_blocks.1"));
  CHECK(asked.features("down_blocks").sizes() == std::vector<int64_t>{2, 16, 4, 4});
}

TEST_CASE("features: nothing behind the deepest tap is used") {
  for (const auto& tap : names) {
    CAPTURE(tap);
    const Asked asked;
    const Tensor before = asked.features(tap);
    for (auto& item : asked.model->module().named_parameters()) {
      if (is_behind(item.key(), tap)) item.value().fill_(std::numeric_limits<double>::quiet_NaN());
      item.value().set_requires_grad(true);
    }
    const Tensor after = asked.features(tap);
    test::expect_equal("among weights that are no numbers", after.detach(), before);
    after.sum().backward();
    for (const auto& item : asked.model->module().named_parameters()) {
      CAPTURE(item.key());
      if (is_behind(item.key(), tap)) CHECK_FALSE(item.value().grad().defined());
      if (item.key() == "conv_in.weight") CHECK(item.value().grad().defined());
    }
  }
}

TEST_CASE("features: the sample's gradient equals finite differences") {
  const Asked asked;
  const Tensor along = draw({2, 4, 8, 8}, 4);
  for (const std::string tap : {"down_blocks.0", "down_blocks", "mid_block"}) {
    const auto value = [&](double step) {
      const Tensor out = asked.features(asked.x + step * along, {tap}).at(0).to(torch::kFloat64);
      return (out * draw(out.sizes().vec(), 3)).sum().item<double>();
    };
    const auto slope = [&](double step) { return (value(step) - value(-step)) / (2 * step); };
    const double expected = (4 * slope(0.02) - slope(0.04)) / 3;  // the error of order step^2 cancels
    const double found = (asked.gradient(tap) * along).to(torch::kFloat64).sum().item<double>();
    CAPTURE(tap);
    CHECK(std::abs(expected) > 0.1);
    CHECK(found == doctest::Approx(expected).epsilon(1e-3));
  }
}

TEST_CASE("features: under gradient checkpointing features and the sample's gradient are the same bits, adapters on or off") {
  const Asked asked;
  hang_echoes(*asked.model);
  const auto run = [&](const std::string& tap, bool checkpointing, bool adapters) {
    std::optional<AdaptersOff> off;
    if (!adapters) off.emplace();
    asked.model->set_gradient_checkpointing(checkpointing);
    return std::pair{asked.features(tap), asked.gradient(tap)};
  };
  for (const std::string tap : {"down_blocks.0", "down_blocks", "mid_block"}) {
    for (const bool adapters : {true, false}) {
      const auto plain = run(tap, false, adapters), rerun = run(tap, true, adapters);
      test::expect_equal(tap, rerun.first, plain.first);
      test::expect_equal(tap + "'s gradient", rerun.second, plain.second);
    }
    CHECK(test::relative_error(run(tap, false, true).first, run(tap, false, false).first) > 1e-4);
  }
}

TEST_CASE("features: with the adapters off they are the base model's, and the backward pass remembers that they were off") {
  const Asked base, adapted;
  hang_echoes(*adapted.model);
  adapted.model->set_gradient_checkpointing(true);
  const Tensor sample = adapted.x.clone().set_requires_grad(true);
  Tensor out;
  {
    const AdaptersOff off;
    out = adapted.features(sample, {"mid_block"}).at(0);
  }
  test::expect_equal("features", out.detach(), base.features("mid_block"));
  (out * draw(out.sizes().vec(), 3)).sum().backward();  // with the adapters on again
  test::expect_equal("gradient", sample.grad(), base.gradient("mid_block"));
}

TEST_CASE("features: an unknown tap is refused with the names that there are, and so is none") {
  const Asked asked;
  CHECK_THROWS_WITH_AS(asked.features("mid_blok"),
                       doctest::Contains("no block 'mid_blok' to take features from: expected conv_in, down_blocks.0, down_blocks.1, "
                                         "mid_block, up_blocks.0 or up_blocks.1 (did you mean 'mid_block'?)"),
                       UsageError);
  CHECK_THROWS_WITH_AS(asked.features("down_blocks.2"), doctest::Contains("no block 'down_blocks.2'"), UsageError);
  CHECK_THROWS_WITH_AS(asked.features(asked.x, {}), doctest::Contains("found none"), UsageError);
  CHECK_THROWS_WITH_AS(asked.features(torch::zeros({2, 3, 8, 8}), {"conv_in"}), doctest::Contains("[B, 4, H, W]"), UsageError);
}

TEST_CASE("features: a kind of network that has none says so") {
  struct Plain final : Denoiser {
    Tensor predict(const Tensor& x_t, const Tensor&, const Condition&) override { return x_t; }
    torch::nn::Module& module() override { fail("none"); }
    const Json& config() const override { fail("none"); }
    int64_t latent_channels() const override { return 4; }
    int64_t sample_size() const override { return 8; }
    int64_t text_width() const override { return 0; }
    void set_gradient_checkpointing(bool) override {}
  } plain;
  CHECK(plain.in_channels() == 4);
  CHECK_THROWS_WITH_AS(plain.features({}, {}, {}, {"mid_block"}), doctest::Contains("cannot be taken as features"), UsageError);
}

TEST_CASE("denoiser: what goes in and what is predicted have channels of their own") {
  const auto model = load_denoiser(test::golden("unet_uneven"));
  CHECK(model->in_channels() == 9);
  CHECK(model->latent_channels() == 3);
}

}  // namespace palate
