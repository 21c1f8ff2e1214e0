// A copy of tiny_pipeline or tiny_pipeline_xl whose text encoders are well conditioned, as calm() in tests/golden/golden_file.py makes
// them for the goldens: as drawn, their softmax picks one token, and the mean of what they give is rounding alone.
#pragma once

#include <filesystem>
#include <string>

namespace palate::test {

std::filesystem::path calm_model(const std::string& name);

}  // namespace palate::test
