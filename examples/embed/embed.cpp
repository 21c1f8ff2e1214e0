// A program of its own that uses Palate as a library: it loads a model folder, trains a LoRA from two folders of pictures, one preferred
// and one not, and draws a prompt with it.
//
//   embed MODEL PREFERRED REJECTED OUT PROMPT [STEPS]
//
// Two pictures of the same file name are a pair; its prompt is the text of NAME.txt beside the preferred one, or PROMPT.
#include <palate/palate.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

namespace fs = std::filesystem;

std::string quoted(const std::string& text) {
  std::string json = "\"";
  for (const char c : text) json += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c == '\n' ? ' ' : c);
  return json + "\"";
}

// One line of JSON a pair, as Palate reads preferences.
void write_pairs(const fs::path& preferred, const fs::path& rejected, const std::string& prompt, const fs::path& file) {
  std::ofstream lines(file);
  for (const auto& entry : fs::directory_iterator(preferred)) {
    const fs::path other = rejected / entry.path().filename(), text = fs::path(entry.path()).replace_extension(".txt");
    if (entry.path() == text || !fs::exists(other)) continue;
    std::stringstream caption;
    if (fs::exists(text)) caption << std::ifstream(text).rdbuf();
    lines << "{\"prompt\": " << quoted(fs::exists(text) ? caption.str() : prompt) << ", \"chosen\": " << quoted(fs::absolute(entry.path()))
          << ", \"rejected\": " << quoted(fs::absolute(other)) << "}\n";
  }
}

int main(int argc, char** argv) try {
  if (argc < 6) throw palate::UsageError("embed MODEL PREFERRED REJECTED OUT PROMPT [STEPS]");
  const fs::path model = argv[1], out = argv[4];
  fs::create_directories(out);
  write_pairs(argv[2], argv[3], argv[5], out / "pairs.jsonl");

  palate::RunConfig config;  // Diffusion-DPO with a rank-8 LoRA, unless told otherwise
  config.model = model;
  config.output = out / "run";
  config.data.pairs = {out / "pairs.jsonl"};
  config.data.held_out = 0;
  config.optimizer.lr = 1e-4;
  config.train.steps = argc > 6 ? std::stol(argv[6]) : 100;
  const palate::TrainResult result = palate::train(config);

  palate::Pipeline pipeline(model);
  const auto lora = palate::Lora::load(pipeline.denoiser().module(), result.folder / "pytorch_lora_weights.safetensors");
  palate::GenerateOptions options;
  options.steps = 20;
  const auto pictures = pipeline.generate({{argv[5], 1}}, options);  // uint8 [1, 3, H, W]
  palate::write_png(out / "picture.png", pictures[0]);
  std::cout << "loss " << result.metrics.at("loss") << ", picture " << (out / "picture.png").string() << "\n";
} catch (const palate::Error& error) {
  std::cerr << "embed: " << error.what() << "\n";
  return error.exit_status();
}
