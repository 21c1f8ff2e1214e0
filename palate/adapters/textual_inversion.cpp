#include "palate/adapters/textual_inversion.h"

#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/io/safetensors.h"
#include "palate/io/tensor_file.h"

namespace palate {
namespace {

Tensor vectors(const TensorFile& file, const std::string& name) {
  const Tensor value = file.tensor(name);
  const bool fits = (value.dim() == 1 || value.dim() == 2) && value.numel() > 0 && value.is_floating_point();
  check<FormatError>(fits, file.path().string(), ": '", name, "' has dtype ", file.dtype(name), " and shape ", show_shape(value.sizes()),
                     ", expected numbers [width] or [vectors, width]");
  check<FormatError>(value.isfinite().all().item<bool>(), file.path().string(), ": '", name, "' has values that are not finite");
  return value.dim() == 1 ? value.unsqueeze(0) : value;
}

}  // namespace

TextualInversion read_textual_inversion(const std::filesystem::path& path) {
  check<UsageError>(std::filesystem::exists(path), path.string(), ": there is no such file");
  const TensorFile file(path);
  TextualInversion out;
  const auto said = file.metadata().find("palate.token");
  out.token = said == file.metadata().end() ? path.stem().string() : said->second;
  for (const auto& [name, component] : {std::pair{"clip_l", "text_encoder"},
                                        {"clip_g", "text_encoder_2"},
                                        {"emb_params", "text_encoder"},
                                        {"string_to_param.*", "text_encoder"}}) {
    if (file.contains(name)) out.vectors[component] = vectors(file, name);
  }
  if (!out.vectors.empty()) return out;
  check<FormatError>(file.names().size() == 1, path.string(),
                     ": expected one tensor named by its token, clip_l and clip_g, or emb_params, found ",
                     file.names().size() > 8 ? concat(file.names().size(), " tensors") : one_of(file.names()));
  out.token = file.names()[0];
  out.vectors["text_encoder"] = vectors(file, out.token);
  return out;
}

void write_textual_inversion(const std::filesystem::path& path, const TextualInversion& embedding) {
  check(!embedding.token.empty() && !embedding.vectors.empty(), "a textual inversion without a token or vectors cannot be saved to ",
        path.string());
  TensorMap tensors;
  const bool two = embedding.vectors.contains("text_encoder_2");
  for (const auto& [component, value] : embedding.vectors)
    tensors[two ? (component == "text_encoder_2" ? "clip_g" : "clip_l") : embedding.token] = value.detach().contiguous();
  Metadata metadata = {{"format", "pt"}};
  if (two) metadata["palate.token"] = embedding.token;
  save_safetensors(path, tensors, metadata);
}

}  // namespace palate
