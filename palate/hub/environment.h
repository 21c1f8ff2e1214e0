// What Hugging Face's environment variables say, read as huggingface_hub reads them (its constants.py). An empty variable counts as
// one that is not set.
#pragma once

#include <filesystem>
#include <string>

namespace palate {

// HF_HUB_CACHE, else $HF_HOME/hub, else $XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub. The folder need not be there.
std::filesystem::path hub_cache();

// HF_HUB_OFFLINE is 1, true, yes or on, in any case.
bool hub_offline();

// HF_ENDPOINT, else "https://huggingface.co"; no slash at the end. UsageError when it is no http or https address.
std::string hub_endpoint();

// HF_TOKEN, else the file $HF_HOME/token; "" when there is none. UsageError when it holds what no HTTP header may hold; the token
// itself is never shown.
std::string hub_token();

}  // namespace palate
