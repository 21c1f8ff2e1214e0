// A folder of pictures that goes on where it was cut short: one PNG and one line of manifest.jsonl each, written as they are made.
#pragma once

#include <cstddef>
#include <filesystem>
#include <vector>

#include "palate/io/json.h"
#include "palate/io/manifest.h"

namespace palate {

enum class Existing { refused, goes_on };  // a folder that holds pictures of an earlier call

class SampleFolder {
 public:
  // The pictures that are wanted (named here: 00000.png ...) and how each is made. UsageError for a folder in use, or when what goes on was
  // asked for other pictures or made with other settings; the message names the flags of `palate sample`.
  SampleFolder(std::filesystem::path folder, std::vector<ManifestEntry> entries, Json settings, Existing existing);
  ~SampleFolder();  // a folder that was made here and got no picture goes away
  SampleFolder(const SampleFolder&) = delete;
  SampleFolder& operator=(const SampleFolder&) = delete;

  const PictureSet& pictures() const { return set_; }  // all that are wanted
  std::vector<size_t> missing() const;                 // numbers of the pictures that are not there
  void add(size_t number, const Tensor& picture);      // uint8 [3, H, W]

 private:
  void read_manifest();

  PictureSet set_;
  Json settings_;
  std::vector<bool> done_;
  bool made_ = false;  // the folder, by us
};

}  // namespace palate
