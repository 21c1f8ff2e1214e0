// What a program that embeds Palate includes (docs/library.md).
#pragma once

#include "palate/adapters/lora.h"      // LoRA on a model in memory; files
#include "palate/config/config.h"      // structs from TOML, and back
#include "palate/core/error.h"         // what is thrown
#include "palate/core/log.h"           // how much is said
#include "palate/eval/paired.h"        // several models on the same prompts and noise
#include "palate/io/image.h"           // pictures as tensors
#include "palate/io/safetensors.h"     // tensors in files
#include "palate/judge/judge.h"        // what scores pictures
#include "palate/models/registry.h"    // single components: U-Nets, autoencoders, text encoders
#include "palate/pipeline/pipeline.h"  // a model folder: prompts to pictures
#include "palate/train/train.h"        // preferences to a LoRA
