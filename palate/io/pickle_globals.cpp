// What globals mean to the machine: the list of those that are known, and what calling one builds.
#include <array>

#include "palate/core/error.h"
#include "palate/io/pickle_machine.h"

namespace palate {
namespace {

constexpr size_t most_dimensions = 64;

// What a global stands for. `inert` ones are values that training programs leave beside the tensors; they are kept as nothing.
enum class Meaning : uint8_t { storage, dtype, rebuild_tensor, rebuild_typed, rebuild_parameter, ordered_dict, size, inert };

struct Global {
  std::string_view module, name;
  Meaning meaning;
  const char* dtype = "";
};

constexpr std::array globals = {
    Global{"torch", "DoubleStorage", Meaning::storage, "F64"},
    Global{"torch", "FloatStorage", Meaning::storage, "F32"},
    Global{"torch", "HalfStorage", Meaning::storage, "F16"},
    Global{"torch", "BFloat16Storage", Meaning::storage, "BF16"},
    Global{"torch", "LongStorage", Meaning::storage, "I64"},
    Global{"torch", "IntStorage", Meaning::storage, "I32"},
    Global{"torch", "ShortStorage", Meaning::storage, "I16"},
    Global{"torch", "CharStorage", Meaning::storage, "I8"},
    Global{"torch", "ByteStorage", Meaning::storage, "U8"},
    Global{"torch", "BoolStorage", Meaning::storage, "BOOL"},
    Global{"torch", "ComplexFloatStorage", Meaning::storage, "C64"},
    Global{"torch.storage", "UntypedStorage", Meaning::storage, "U8"},
    Global{"torch", "float64", Meaning::dtype, "F64"},
    Global{"torch", "float32", Meaning::dtype, "F32"},
    Global{"torch", "float16", Meaning::dtype, "F16"},
    Global{"torch", "bfloat16", Meaning::dtype, "BF16"},
    Global{"torch", "int64", Meaning::dtype, "I64"},
    Global{"torch", "int32", Meaning::dtype, "I32"},
    Global{"torch", "int16", Meaning::dtype, "I16"},
    Global{"torch", "int8", Meaning::dtype, "I8"},
    Global{"torch", "uint8", Meaning::dtype, "U8"},
    Global{"torch", "uint16", Meaning::dtype, "U16"},
    Global{"torch", "uint32", Meaning::dtype, "U32"},
    Global{"torch", "uint64", Meaning::dtype, "U64"},
    Global{"torch", "bool", Meaning::dtype, "BOOL"},
    Global{"torch", "float8_e4m3fn", Meaning::dtype, "F8_E4M3"},
    Global{"torch", "float8_e5m2", Meaning::dtype, "F8_E5M2"},
    Global{"torch", "complex64", Meaning::dtype, "C64"},
    Global{"torch", "Size", Meaning::size},
    Global{"torch._utils", "_rebuild_tensor_v2", Meaning::rebuild_tensor},
    Global{"torch._utils", "_rebuild_tensor_v3", Meaning::rebuild_typed},
    Global{"torch._utils", "_rebuild_parameter", Meaning::rebuild_parameter},
    Global{"torch._utils", "_rebuild_parameter_with_state", Meaning::rebuild_parameter},
    Global{"collections", "OrderedDict", Meaning::ordered_dict},
    // NumPy scalars and Lightning's callbacks stand in the original Stable Diffusion checkpoints, beside their state_dict.
    Global{"numpy.core.multiarray", "scalar", Meaning::inert},
    Global{"numpy._core.multiarray", "scalar", Meaning::inert},
    Global{"numpy", "dtype", Meaning::inert},
    Global{"_codecs", "encode", Meaning::inert},
    Global{"pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint", Meaning::inert},
    Global{"pytorch_lightning.callbacks", "ModelCheckpoint", Meaning::inert},
};

}  // namespace

void PickleMachine::push_global(std::string_view module, std::string_view name) {
  for (size_t i = 0; i < globals.size(); ++i) {
    if (globals[i].module == module && globals[i].name == name) return push(pickle_value(PickleKind::global, i));
  }
  const auto shown = [](std::string_view text) {  // a hostile name is no reason for a hostile message
    std::string plain(text.substr(0, 80));
    for (char& c : plain) c = c >= 32 && c < 127 ? c : '?';
    return plain;
  };
  complain("names the global '", shown(module), ".", shown(name), "', which tensors do not need; it is refused, and nothing of it was run");
}

// Attributes: OrderedDict's _metadata, what a callback remembers. None is needed.
void PickleMachine::build() {
  pop();
  const PickleKind kind = top().kind;
  if (kind != PickleKind::dict && kind != PickleKind::other) complain("sets attributes of ", name_of(kind));
}

void PickleMachine::reduce() {
  const PickleValue arguments = pop(), callee = pop();
  if (callee.kind != PickleKind::global || arguments.kind != PickleKind::tuple)
    complain("calls ", name_of(callee.kind), " with ", name_of(arguments.kind));
  const Global& global = globals[callee.at];
  const auto& given = items(arguments);  // a reference: a hostile file calls with a long tuple very often
  switch (global.meaning) {
    case Meaning::rebuild_tensor:
      return rebuild_tensor(given, false);
    case Meaning::rebuild_typed:
      return rebuild_tensor(given, true);
    case Meaning::rebuild_parameter:
      if (given.empty() || given[0].kind != PickleKind::tensor) complain("has a parameter without a tensor");
      return push(given[0]);
    case Meaning::ordered_dict:
      if (!given.empty()) complain("builds an OrderedDict from arguments, which torch.save does not");
      return push_container(PickleKind::dict, {});
    case Meaning::size:
      if (given.size() != 1 || given[0].kind != PickleKind::tuple) complain("has a torch.Size without a tuple");
      return push(given[0]);
    case Meaning::inert:
      return push(pickle_value(PickleKind::other, 0));
    default:
      complain("calls '", global.module, ".", global.name, "'");
  }
}

// ('storage', torch.FloatStorage, '3', 'cpu', 1024), and in the format before torch 1.6 what it is a view of
void PickleMachine::resolve_storage() {
  const PickleValue id = pop();
  if (id.kind != PickleKind::tuple) complain("has a persistent id that is ", name_of(id.kind));
  const auto& parts = items(id);
  const bool storage = parts.size() >= 5 && parts[0].kind == PickleKind::text && text(parts[0]) == "storage" &&
                       parts[1].kind == PickleKind::global && globals[parts[1].at].meaning == Meaning::storage &&
                       parts[2].kind == PickleKind::text;
  if (!storage) complain("has a persistent id that is no storage");
  if (parts.size() > 5 && parts[5].kind != PickleKind::none)
    complain("has a storage that is a view of another, as torch 0.3 wrote it: load and save it with a current torch");
  if (storages_.size() >= most_pickle_values) complain("names more than ", most_pickle_values, " storages");
  storages_.push_back({text(parts[2]), globals[parts[1].at].dtype, whole_of(parts[4], "a storage's size")});
  push(pickle_value(PickleKind::storage, storages_.size() - 1));
}

// (storage, offset, size, stride, requires_grad, hooks[, dtype][, metadata])
void PickleMachine::rebuild_tensor(const std::vector<PickleValue>& arguments, bool typed) {
  const size_t least = typed ? 7 : 6;
  if (arguments.size() < least || arguments.size() > least + 1 || arguments[0].kind != PickleKind::storage)
    complain("has a tensor without a storage");
  PickleTensor tensor;
  tensor.storage = arguments[0].at;
  tensor.dtype = storages_[tensor.storage].dtype;
  if (typed) {
    const PickleValue dtype = arguments[6];
    if (dtype.kind != PickleKind::global || globals[dtype.at].meaning != Meaning::dtype)
      complain("has a tensor whose dtype is ", name_of(dtype.kind));
    tensor.dtype = globals[dtype.at].dtype;
  }
  const bool flags = arguments.size() > least && arguments[least].kind == PickleKind::dict && !items(arguments[least]).empty();
  if (flags) complain("has a tensor that is conjugated or negated, which is not read here: resolve it before saving");
  tensor.offset = whole_of(arguments[1], "a tensor's offset");
  tensor.shape = wholes_of(arguments[2], "a tensor's shape");
  tensor.strides = wholes_of(arguments[3], "a tensor's strides");
  if (tensor.shape.size() != tensor.strides.size())
    complain("has a tensor with ", tensor.shape.size(), " sides and ", tensor.strides.size(), " strides");
  count_items(2 * tensor.shape.size());
  if (tensors_.size() >= most_pickle_values) complain("holds more than ", most_pickle_values, " tensors");
  tensors_.push_back(std::move(tensor));
  push(pickle_value(PickleKind::tensor, tensors_.size() - 1));
}

uint64_t PickleMachine::whole_of(PickleValue value, const char* what) const {
  if (value.kind != PickleKind::whole || value.whole < 0) complain("has ", what, " that is no whole number from 0");
  return static_cast<uint64_t>(value.whole);
}

std::vector<int64_t> PickleMachine::wholes_of(PickleValue value, const char* what) const {
  if (value.kind != PickleKind::tuple) complain("has ", what, " that is ", name_of(value.kind), ", expected a tuple");
  if (items(value).size() > most_dimensions) complain("has ", what, " of more than ", most_dimensions, " dimensions");
  std::vector<int64_t> numbers;
  for (const auto& item : items(value)) numbers.push_back(static_cast<int64_t>(whole_of(item, what)));
  return numbers;
}

}  // namespace palate
