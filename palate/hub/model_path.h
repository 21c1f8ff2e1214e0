// Where a model is that a person named: a folder, or a repository in the Hugging Face cache. Never asks the network.
#pragma once

#include <filesystem>
#include <string>

namespace palate {

// What is given, when there is such a folder or file. Else, of ORG/NAME[@REVISION], its snapshot in the cache. UsageError when it is
// neither here nor there; it says where it was looked for, and of a repository how to fetch it.
std::filesystem::path model_path(const std::filesystem::path& given);

// The commit of the snapshot that model_path() gives; "" for a folder or file.
std::string model_commit(const std::filesystem::path& given);

}  // namespace palate
