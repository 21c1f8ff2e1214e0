#include "palate/adapters/model_layers.h"

#include <algorithm>

#include "palate/core/error.h"
#include "palate/io/safetensors.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

class LayerList {
 public:
  void add(const std::string& name) { layers_[name]; }

  void resnet(const std::string& name) {
    for (const char* part : {".conv1", ".conv2", ".time_emb_proj", ".conv_shortcut"}) add(name + part);
  }

  void attention(const std::string& name) {
    add(name + ".proj_in");
    add(name + ".proj_out");
    for (int block = 0; block < 10; ++block) {
      const std::string inner = name + ".transformer_blocks." + std::to_string(block);
      for (const char* attn : {".attn1", ".attn2"}) {
        for (const char* projection : {".to_q", ".to_k", ".to_v", ".to_out.0"}) add(inner + attn + projection);
      }
      add(inner + ".ff.net.0.proj");
      add(inner + ".ff.net.2");
    }
  }

  // `layers` of each kind in each block: SD has at most three.
  void blocks(const std::string& kind, int layers) {
    for (int block = 0; block < 4; ++block) {
      const std::string name = kind + "." + std::to_string(block);
      for (int i = 0; i < layers; ++i) {
        resnet(name + ".resnets." + std::to_string(i));
        attention(name + ".attentions." + std::to_string(i));
      }
      add(name + (kind == "down_blocks" ? ".downsamplers.0.conv" : ".upsamplers.0.conv"));
    }
  }

  LayerShapes take() { return std::move(layers_); }

 private:
  LayerShapes layers_;
};

LayerShapes unet_layers() {
  LayerList list;
  for (const char* name :
       {"conv_in", "conv_out", "time_embedding.linear_1", "time_embedding.linear_2", "add_embedding.linear_1", "add_embedding.linear_2"})
    list.add(name);
  list.blocks("down_blocks", 2);
  list.blocks("up_blocks", 3);
  list.resnet("mid_block.resnets.0");
  list.resnet("mid_block.resnets.1");
  list.attention("mid_block.attentions.0");
  return list.take();
}

LayerShapes text_layers(int layers) {
  LayerList list;
  list.add("text_projection");
  for (int i = 0; i < layers; ++i) {
    const std::string name = "text_model.encoder.layers." + std::to_string(i);
    for (const char* part : {".self_attn.q_proj", ".self_attn.k_proj", ".self_attn.v_proj", ".self_attn.out_proj", ".mlp.fc1", ".mlp.fc2"})
      list.add(name + part);
  }
  return list.take();
}

}  // namespace

const std::vector<std::string>& lora_components() {
  static const std::vector<std::string> names = {"unet", "text_encoder", "text_encoder_2"};
  return names;
}

const ModelLayers& stable_diffusion_layers() {
  static const ModelLayers layers = {{"unet", unet_layers()}, {"text_encoder", text_layers(24)}, {"text_encoder_2", text_layers(32)}};
  return layers;
}

std::string layer_of_tensor(const std::string& component, const std::string& tensor, size_t dimensions) {
  const std::string_view end = ".weight";
  if (!tensor.ends_with(end) || (dimensions != 2 && dimensions != 4)) return "";
  std::string layer = tensor.substr(0, tensor.size() - end.size());
  if (layer.ends_with("_embedding")) return "";  // a table, not a product
  const bool text = component != "unet";
  if (text && !layer.starts_with("text_model.") && layer != "text_projection")
    layer = "text_model." + layer;  // transformers 5 leaves it out
  return layer;
}

std::vector<fs::path> component_weights(const fs::path& folder) {
  std::vector<fs::path> files;
  if (!fs::is_directory(folder)) return files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.path().extension() == ".safetensors") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

ModelLayers read_model_layers(const fs::path& folder) {
  check<UsageError>(fs::is_directory(folder), folder.string(), ": there is no such model folder");
  ModelLayers model;
  for (const auto& component : lora_components()) {
    for (const auto& path : component_weights(folder / component)) {
      const SafetensorsFile file(path);
      for (const auto& tensor : file.names()) {
        const auto shape = file.shape(tensor);
        const std::string layer = layer_of_tensor(component, tensor, shape.size());
        if (!layer.empty()) model[component][layer] = shape;
      }
    }
  }
  check<UsageError>(
      !model.empty(), folder.string(),
      ": expected unet/ or text_encoder/ with weights as safetensors, found neither: give a model folder in diffusers' layout");
  return model;
}

}  // namespace palate
