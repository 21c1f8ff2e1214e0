// The names that other trainers' users type: flags of diffusers' scripts, of DiffusionDPO and kohya, keys of TRL and LLaMA-Factory. They
// are translated into settings of our own.
#pragma once

#include <string>
#include <vector>

namespace palate {

struct ForeignKey {
  std::string name;   // "train_batch_size"
  std::string value;  // as typed; "" for a flag alone
  std::string where;  // "--train_batch_size", or "run.toml:3", for messages
};

struct Translation {
  std::vector<std::string> overrides;  // "train.batch=4"
  std::vector<std::string> wheres;     // of each override, the `where` of the key that it comes from
  std::vector<std::string> notes;      // what was read how, and what has no effect here
};

bool is_foreign_key(const std::string& name);
bool foreign_key_is_flag(const std::string& name);  // takes no value on a command line

// UsageError for keys whose meaning is not supported: it says what to do instead. `beta_dpo` is diffusers' (z = beta * margin) unless a
// flag that only the DiffusionDPO repository has is there, too: then it is the paper's (z = beta / 2 * margin).
Translation translate_foreign_keys(const std::vector<ForeignKey>& keys);

}  // namespace palate
