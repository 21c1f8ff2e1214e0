// What the reader of torch.save's files refuses: pickles that would run something, tensors that are not where they say, archives and
// pickles built to fill the memory or to run for ever.
#include <string>
#include <utility>
#include <vector>

#include "palate/core/error.h"
#include "palate/io/pickle_reader.h"
#include "tests/support/paths.h"
#include "tests/unit/io/message.h"

using namespace palate;
using namespace palate::test;

namespace {

template <class Number>
std::string bytes_of(Number value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

struct Entry {
  std::string name, data;
  uint16_t method = 0, flags = 0;
  int64_t size = -1, place = -1;  // what the table says, where that is not the truth
};

std::string zip_of(const std::vector<Entry>& entries) {
  std::string file, table;
  for (const auto& entry : entries) {
    const auto size = static_cast<uint32_t>(entry.size < 0 ? static_cast<int64_t>(entry.data.size()) : entry.size);
    const auto place = static_cast<uint32_t>(entry.place < 0 ? static_cast<int64_t>(file.size()) : entry.place);
    const auto name_size = static_cast<uint16_t>(entry.name.size());
    const std::string middle =
        bytes_of(entry.flags) + bytes_of(entry.method) + std::string(8, '\0') + bytes_of(size) + bytes_of(size) + bytes_of(name_size);
    file += "PK\x03\x04" + std::string(2, '\0') + middle + std::string(2, '\0') + entry.name + entry.data;
    table += "PK\x01\x02" + std::string(4, '\0') + middle + std::string(12, '\0') + bytes_of(place) + entry.name;
  }
  const auto count = static_cast<uint16_t>(entries.size());
  return file + table + "PK\x05\x06" + std::string(4, '\0') + bytes_of(count) + bytes_of(count) +
         bytes_of(static_cast<uint32_t>(table.size())) + bytes_of(static_cast<uint32_t>(file.size())) + std::string(2, '\0');
}

std::string torch_file(const std::string& pickle, const std::string& storage = std::string(16, 'x')) {
  return zip_of({{"a/data.pkl", pickle}, {"a/data/0", storage}});
}

std::string text(const std::string& words) { return "X" + bytes_of(static_cast<uint32_t>(words.size())) + words; }
std::string whole(int64_t value) { return "\x8a\x08" + bytes_of(value); }

std::string tuple(const std::vector<int64_t>& numbers) {
  std::string code = "(";
  for (const int64_t number : numbers) code += whole(number);
  return code + "t";
}

// Four floats in storage 0, unless said otherwise.
std::string storage(int64_t count = 4, const std::string& key = "0") {
  return "(" + text("storage") + "ctorch\nFloatStorage\n" + text(key) + text("cpu") + whole(count) + "tQ";
}
std::string tensor(const std::vector<int64_t>& shape, const std::vector<int64_t>& strides, int64_t offset = 0,
                   const std::string& held = storage()) {
  return "ctorch._utils\n_rebuild_tensor_v2\n(" + held + whole(offset) + tuple(shape) + tuple(strides) + "\x89" + "N" + "tR";
}
std::string dict(const std::string& items) { return "\x80\x02}(" + items + "u."; }

std::string refusal(const std::string& bytes) {
  return message<FormatError>([&] { parse_pickle_file(bytes, "f"); });
}
std::string refused_pickle(const std::string& pickle) { return refusal(torch_file(pickle)); }
std::string refused_tensor(const std::string& code) { return refused_pickle(dict(text("t") + code)); }

}  // namespace

TEST_CASE("pickle: what the tests below break is accepted whole") {
  const auto contents = parse_pickle_file(torch_file(dict(text("t") + tensor({2, 2}, {2, 1}))), "f");
  REQUIRE(contents.entries.size() == 1);
  CHECK(contents.entries[0].name == "t");
  CHECK(contents.entries[0].extent == 4);
  CHECK(parse_pickle_file(torch_file(dict(text("t") + tensor({2}, {2}, 1))), "f").entries[0].extent == 3);
  CHECK(parse_pickle_file(torch_file(dict(text("t") + tensor({0, 9}, {9, 1}, 4))), "f").entries[0].extent == 0);
  CHECK(parse_pickle_file(torch_file("\x80\x02}."), "f").entries.empty());
}

TEST_CASE("pickle: globals that tensors do not need are refused by name") {
  CHECK(has(refused_pickle("\x80\x02"
                           "cos\nsystem\n(" +
                           text("touch /tmp/x") + "tR."),
            "the global 'os.system'"));
  CHECK(has(refused_pickle("\x80\x02"
                           "c__builtin__\neval\n(" +
                           text("1") + "tR."),
            "'__builtin__.eval'"));
  CHECK(has(refused_pickle("\x80\x02"
                           "cbuiltins\ngetattr\n."),
            "'builtins.getattr'"));
  CHECK(has(refused_pickle("\x80\x04" + text("posix") + text("system") + "\x93."), "'posix.system'"));
  CHECK(has(refused_pickle("\x80\x02"
                           "ctorch\nload\n."),
            "'torch.load'"));
  CHECK(has(refused_pickle("\x80\x02"
                           "ctorch._utils\n_rebuild_tensor_v2.__globals__\n."),
            "_rebuild_tensor_v2.__globals__"));
  CHECK(has(refused_pickle("\x80\x02"
                           "ctorch\nFloatStorage\n(tR."),
            "calls 'torch.FloatStorage'"));
  CHECK(has(refusal(read_text(golden("pickle/refused_module.pt"))), "'torch.nn.modules.linear.Linear'"));
  CHECK(has(refusal(read_text(golden("pickle/refused_function.pt"))), "'functools.partial'"));
}

TEST_CASE("pickle: opcodes that build objects are refused by number, and so is nonsense") {
  CHECK(has(refused_pickle("\x80\x02(i__main__\nX\n."), "opcode 0x69 ('i')"));  // INST
  CHECK(has(refused_pickle("\x80\x02(o."), "opcode 0x6f ('o')"));               // OBJ
  CHECK(has(refused_pickle("\x80\x02}}\x81."), "opcode 0x81"));                 // NEWOBJ
  CHECK(has(refused_pickle("\x80\x02\x82\x01."), "opcode 0x82"));               // EXT1
  CHECK(has(refused_pickle("\x80\x02P7\n."), "opcode 0x50"));                   // PERSID in text
  CHECK(has(refused_pickle("\x80\x09."), "protocol 9"));
  CHECK(has(refused_pickle("\x80\x02}(K\x01u."), "a key but no value"));
  CHECK(has(refused_pickle("\x80\x02K\x01K\x02"
                           "a."),
            "adds items to a number"));
  CHECK(has(refused_pickle("\x80\x02K\x01}b."), "sets attributes of a number"));
  CHECK(has(refused_pickle("\x80\x02t."), "no mark"));
  CHECK(has(refused_pickle("\x80\x02"
                           "0."),
            "empty stack"));
  CHECK(has(refused_pickle("\x80\x02(]"
                           "a."),
            "empty stack"));
  CHECK(has(refused_pickle("\x80\x02}}."), "left on its stack"));
  CHECK(has(refused_pickle("\x80\x02h\x05."), "entry 5 of its memo"));
  CHECK(has(refused_pickle("\x80\x02}r\xff\xff\xff\xff."), "in its memo"));
  CHECK(has(refused_pickle("\x80\x02}"), "truncated"));
  CHECK(has(refused_pickle("\x80\x02X\xff\xff\xff\xff"
                           "abc."),
            "truncated"));
  CHECK(has(refused_pickle(std::string("\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\xff"
                                       "abc.")),
            "truncated"));
  CHECK(has(refused_pickle(""), "truncated"));
}

TEST_CASE("pickle: tensors must lie inside their storage, and storages inside the file") {
  CHECK(has(refused_tensor(tensor({5}, {1})), "'t' [5] reaches outside its storage of 4 elements"));
  CHECK(has(refused_tensor(tensor({2}, {1}, 3)), "outside its storage"));
  CHECK(has(refused_tensor(tensor({2}, {4})), "outside its storage"));
  CHECK(has(refused_tensor(tensor({0}, {1}, 5)), "outside its storage"));
  CHECK(has(refused_tensor(tensor({1}, {1}, INT64_MAX)), "outside its storage"));
  CHECK(has(refused_tensor(tensor({2, INT64_MAX}, {1, 2})), "outside its storage"));
  CHECK(has(refused_tensor(tensor({int64_t{1} << 32, int64_t{1} << 32}, {0, 0})), "outside its storage"));
  CHECK(has(refused_tensor(tensor({2}, {-1}, 1)), "no whole number from 0"));
  CHECK(has(refused_tensor(tensor({-1}, {1})), "no whole number from 0"));
  CHECK(has(refused_tensor(tensor({2}, {1, 1})), "1 sides and 2 strides"));
  CHECK(has(refused_tensor(tensor(std::vector<int64_t>(65, 1), std::vector<int64_t>(65, 1))), "more than 64 dimensions"));
  CHECK(has(refused_tensor(tensor({1000}, {0})), "repeats its storage"));
  CHECK(has(refusal(read_text(golden("pickle/refused_expanded.pt"))), "repeats its storage"));
  CHECK(has(refused_tensor(tensor({1}, {1}, 0, storage(5))), "should hold 20 bytes, the file has 16"));
  CHECK(has(refused_tensor(tensor({1}, {1}, 0, storage(INT64_MAX))), "the file has 16"));
  CHECK(has(refused_tensor(tensor({1}, {1}, 0, storage(-1))), "no whole number from 0"));
  CHECK(has(refused_tensor(tensor({1}, {1}, 0, storage(4, "1"))), "which the file does not hold"));
  CHECK(has(refused_tensor(tensor({1}, {1}, 0, storage(4, "../data.pkl"))), "which the file does not hold"));
  CHECK(has(refused_tensor(tensor({1}, {1}, 0, "N")), "without a storage"));
  CHECK(has(refused_tensor("(" + text("module") + "NNNNtQ"), "no storage"));
  CHECK(has(refused_pickle(dict(text("t") + tensor({1}, {1}) + text("t") + tensor({1}, {1}))), "'t' comes twice"));
  CHECK(has(refused_pickle(dict(")" + tensor({1}, {1}))), "neither text nor a whole number"));
}

TEST_CASE("pickle: structures that hold themselves or each other without end") {
  CHECK(has(refused_pickle("\x80\x02]q\x01h\x01"
                           "a."),
            "deep in each other"));
  std::string deep = "\x80\x02";
  for (int i = 0; i < 200'000; ++i) deep += ']';
  for (int i = 1; i < 200'000; ++i) deep += 'a';
  CHECK(has(refused_pickle(deep + "."), "deep in each other"));
  std::string laughs = "\x80\x02]";  // each list holds the one before it ten times
  for (int i = 0; i < 40; ++i)
    laughs += std::string(
                  "q\x01"
                  "0](hhhhhhhhhhe")
                  .replace(5, 10, "h\x01h\x01h\x01h\x01h\x01h\x01h\x01h\x01h\x01h\x01");
  CHECK(has(refused_pickle(laughs + "."), "hold each other more than"));
  CHECK(has(refused_pickle("\x80\x02" + std::string(1'100'000, 'N') + "."), "values on its stack"));
  CHECK(has(refused_pickle("\x80\x02" + std::string(1'100'000, '(') + "."), "marks on its stack"));
  std::string lists = "\x80\x02";
  for (int i = 0; i < 1'100'000; ++i) lists += "]0";
  CHECK(has(refused_pickle(lists + "."), "lists and dicts"));
  std::string wide = "\x80\x02]q\x01";  // one list, extended by 100 values again and again
  const std::string hundred = "h\x01(" + std::string(100, 'N') + "e0";
  for (int i = 0; i < 41'000; ++i) wide += hundred;
  CHECK(has(refused_pickle(wide + "."), "items in its lists"));
}

TEST_CASE("pickle: many names for the same bytes do not make a small file large") {
  const std::string all = std::string(1u << 20, 'x');
  std::string items = text("first") + tensor({1 << 18}, {1}, 0, storage(1 << 18)) + "q\x01";
  for (int i = 0; i < 20; ++i) items += text("n" + std::to_string(i)) + "h\x01";
  CHECK(has(refusal(torch_file(dict(items), all)), "8 times larger than the file"));
}

TEST_CASE("pickle: archives whose table lies") {
  const std::string pickle = dict(text("t") + tensor({4}, {1}));
  const Entry code = {"a/data.pkl", pickle}, data = {"a/data/0", std::string(16, 'x')};
  const auto with = [&](Entry changed) { return refusal(zip_of({code, std::move(changed)})); };
  CHECK(has(with({"a/data/0", std::string(16, 'x'), 8}), "compressed entry 'a/data/0'"));
  CHECK(has(with({"a/data/0", std::string(16, 'x'), 0, 1}), "encrypted entry"));
  CHECK(has(with({"a/data/0", "x", 0, 0, 1000}), "outside the file"));
  CHECK(has(with({"a/data/0", "x", 0, 0, 4'294'967'294}), "outside the file"));
  CHECK(has(with({"a/data/0", std::string(16, 'x'), 0, 0, -1, 0}), "under another name"));
  CHECK(has(with({"a/data/0", std::string(16, 'x'), 0, 0, -1, 4'000'000'000}), "where there is none"));
  CHECK(has(refusal(zip_of({code, data, data})), "'a/data/0' twice"));
  CHECK(has(refusal(zip_of({code, {"b/data.pkl", pickle}, data})), "more than one data.pkl"));
  CHECK(has(refusal(zip_of({data})), "holds no data.pkl"));
  CHECK(has(refusal(zip_of({code, data, {"a/constants.pkl", ""}})), "TorchScript"));
  CHECK(has(refusal(zip_of({code, data, {"a/byteorder", "big"}})), "big-endian"));
  // One stored entry inside another: the quine's and the bomb's way.
  const std::string inner = zip_of({data}), outer = zip_of({{"a/data.pkl", pickle + inner}, data});
  std::string nested = zip_of({{"a/data.pkl", pickle + inner}, {"a/data/0", "x", 0, 0, 16, static_cast<int64_t>(30 + 10 + pickle.size())}});
  CHECK(has(refusal(nested), "in one place"));
  CHECK(parse_pickle_file(outer, "f").entries.size() == 1);
  const std::string whole_file = zip_of({code, data});
  for (size_t cut = 4; cut < whole_file.size(); cut += 3) refusal(whole_file.substr(0, cut));
  CHECK(has(refusal(whole_file.substr(0, whole_file.size() - 1)), "truncated"));
}

TEST_CASE("pickle: the format before torch 1.6, cut and lied to") {
  const std::string file = read_text(golden("pickle/module_state_old.bin"));
  CHECK(parse_pickle_file(file, "f").entries.size() == 2);
  for (size_t cut = 2; cut < file.size(); ++cut) refusal(file.substr(0, cut));
  CHECK(has(refusal(file.substr(0, file.size() - 1)), "truncated: storage"));
  CHECK(has(refusal("\x80\x02}."), "none that torch.save wrote"));
  CHECK(has(refusal("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\x01\x01."), "unknown version"));
  CHECK(has(refusal("ordinary text"), "neither a zip archive nor a pickle"));
}
