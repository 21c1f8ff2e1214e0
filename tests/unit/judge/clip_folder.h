// A folder with a tiny CLIPModel of fresh weights and the embedded world's tokenizer.
#pragma once

#include <filesystem>

namespace palate::test {

std::filesystem::path clip_folder();

}  // namespace palate::test
