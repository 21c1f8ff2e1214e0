// Files of torch.save (.bin, .ckpt, .pt, .pth) without ever executing a pickle: where each tensor lies in the file. Both formats:
// the zip archive since torch 1.6, and the pickles in a row before it.
//
// Names: a dict's keys, and a list's or tuple's places from 0, joined by dots ("model.0.weight"); {"state_dict": ...} at the top stands
// for what it holds, as in diffusers, and the texts, numbers and bools beside it become the metadata. A lone tensor is "tensor".
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace palate {

struct PickleEntry {
  std::string name, dtype;              // dtype as safetensors names it
  std::vector<int64_t> shape, strides;  // strides in elements
  uint64_t begin = 0;                   // bytes from the file's start to the first element
  uint64_t extent = 0;                  // elements from the first to the last, that one included; 0 when it is empty
};

struct PickleContents {
  std::vector<PickleEntry> entries;  // in the order of the dict
  std::map<std::string, std::string> metadata;
};

// Whether the first bytes are those of a zip archive or of a pickle.
bool looks_pickled(std::string_view start);

// `bytes` is the whole file. FormatError for every global and opcode that tensors do not need (pickle_machine.h), tensors outside their
// storage or larger than it, storages outside the file, cycles, depth, names that come twice, and files whose tensors together are
// eight times larger than the file.
PickleContents parse_pickle_file(std::string_view bytes, const std::string& origin);

}  // namespace palate
