#include "palate/train/run_config.h"

#include "palate/core/error.h"
#include "palate/objective/statistics.h"
#include "palate/objective/step_loss.h"
#include "palate/train/lr_schedule.h"

namespace palate {

void OptimizerConfig::visit(Fields& f) {
  visit_choice(
      f, "name", name, constants, optimizers(),
      "how weights move: adamw; adamw8bit (moments in 8 bits), adafactor (next to none kept), lion (set beta2 = 0.99), prodigy (finds "
      "the rate: set lr = 1)",
      {"optimizer", "optim"});
  f("lr", lr, "peak learning rate", {.min = 0, .aliases = {"learning_rate"}});
  visit_choice(f, "lr_schedule", lr_schedule, schedule_constants, lr_schedules(), "the learning rate over time, by diffusers' names",
               {"lr_scheduler", "lr_scheduler_type"});
  f("warmup_steps", warmup_steps, "steps over which the rate rises from 0", {.min = 0, .max = 1e12, .aliases = {"lr_warmup_steps"}});
  f("clip_norm", clip_norm, "largest norm of the whole gradient; 0: no clipping", {.min = 0, .aliases = {"max_grad_norm"}});
  f.require(name != "prodigy" || lr >= 0.01,
            "optimizer.lr: prodigy finds the rate itself and takes lr as a factor of it: set optimizer.lr = 1");
  f.require(lr_schedule != "polynomial" || lr > 1e-7, "optimizer.lr: polynomial decays to 1e-7, so the rate must be above that");
}

void TextConfig::visit(Fields& f) {
  f("lora", lora, "train a LoRA of lora.rank on the text encoders, too", {.aliases = {"train_text_encoder"}});
  f("lr", lr, "their learning rate; 0: optimizer.lr", {.min = 0, .aliases = {"text_encoder_lr"}});
  f("targets", targets, "layers of the text encoders to adapt");
  f("word", word, "a new word that prompts use, learned in every text encoder (textual inversion), for example <my-dog>; empty: none",
    {.aliases = {"placeholder_token"}});
  f("initializer", initializer, "what the word begins as, and what the reference reads in its place, for example dog",
    {.aliases = {"initializer_token"}});
  f("vectors", vectors, "vectors that the word stands for", {.min = 1, .max = 64, .aliases = {"num_vectors"}});
  f.require(word.empty() || !initializer.empty(),
            "text.initializer: text.word needs a word that the model knows to begin from, for example \"dog\"");
  f.require(!lora || !targets.empty(), "text.targets is empty: name at least one layer, for example [\"q_proj\", \"v_proj\"]");
}

void PriorConfig::visit(Fields& f) {
  f("preservation", preservation, "insist on pictures of the class: a run without them is refused",
    {.aliases = {"with_prior_preservation"}});
  f("class_prompt", class_prompt,
    "what the pictures of the class show, for example \"a photo of a dog\"; they are learned beside data.images with "
    "data.prior_loss_weight, as often as those; empty: none");
  f("folder", folder, "pictures of the class that are there already; empty: the base model draws them before training",
    {.aliases = {"class_data_dir"}});
  f("pictures", pictures, "how many it draws (200 in the paper)", {.min = 1, .max = 1e6, .aliases = {"num_class_images"}});
  f("steps", steps, "sampling steps of each", {.min = 1, .max = 1e6});
  f("guidance_scale", guidance_scale, "classifier-free guidance; 1 or less: off");
  f("sampler", sampler, "a name of palate sample --scheduler; empty: the model folder's own");
  f("batch", batch, "pictures at once", {.min = 1, .max = 4096, .aliases = {"sample_batch_size"}});
  f.require(folder.empty() || any(), "prior.folder: say what the pictures show with prior.class_prompt, for example \"a photo of a dog\"");
}

void TrainConfig::visit(Fields& f) {
  f("steps", steps, "optimizer steps", {.min = 0, .max = 1e9, .aliases = {"max_train_steps", "max_steps"}});
  f("batch", batch, "pairs in one forward pass", {.min = 1, .max = 65536, .aliases = {"train_batch_size", "per_device_train_batch_size"}});
  f("accumulation", accumulation, "forward passes for one step; batch times accumulation pairs make a step",
    {.min = 1, .max = 1e6, .aliases = {"gradient_accumulation_steps"}});
  f("dtype", dtype, "compute and frozen weights; trained weights and sums are float32 in any case",
    {.choices = {"float32", "bf16"}, .aliases = {"mixed_precision"}});
  f("gradient_checkpointing", gradient_checkpointing, "recompute activations in the backward pass: less memory, a third more time");
  f("ema", ema, "decay of a running mean of the weights, which is then what is validated and saved; 0: off", {.min = 0, .max = 1});
  f("checkpoint_every", checkpoint_every, "steps between checkpoints; 0: only when interrupted",
    {.min = 0, .max = 1e12, .aliases = {"checkpointing_steps", "save_steps"}});
  f("keep_checkpoints", keep_checkpoints, "how many of the last ones stay; 0: all",
    {.min = 0, .max = 1e9, .aliases = {"checkpoints_total_limit", "save_total_limit"}});
  f("validate_every", validate_every, "steps between validations on held-out pairs; 0: none",
    {.min = 0, .max = 1e12, .aliases = {"validation_steps", "eval_steps"}});
  f("validation_pairs", validation_pairs, "held-out pairs to look at; 0: all", {.min = 0, .max = 1e9});
  f("validation_draws", validation_draws, "fixed draws of (t, noise) for each of them", {.min = 1, .max = 1e4});
  f("keep_best", keep_best, "the result is the state with the best held-out preference accuracy, not the last");
  f("log_every", log_every, "steps that one line of metrics.jsonl is the mean of", {.min = 1, .max = 1e12, .aliases = {"logging_steps"}});
  f.require(!keep_best || validate_every > 0,
            "train.keep_best: needs validations: set train.validate_every above 0, or train.keep_best = false");
}

void SampleConfig::visit(Fields& f) {
  f("prompts", prompts, "fixed prompts of the grids that are drawn while training; empty: no grids", {.aliases = {"validation_prompt"}});
  f("every", every, "steps between grids; 0: only one before the first step and one at the end (none without prompts)",
    {.min = 0, .max = 1e12});
  f("steps", steps, "sampling steps of a picture", {.min = 1, .max = 1e6});
  f("guidance_scale", guidance_scale, "classifier-free guidance; 1 or less: off");
  f("sampler", sampler, "a name of palate sample --scheduler; empty: the model folder's own");
}

namespace {

// What holds between [rollout] and the rest.
void require_rollout(Fields& f, const RunConfig& c) {
  const bool steps = is_step_loss(c.objective.loss), own = c.rollout.any();
  f.require(own || !steps, "objective.loss: '" + c.objective.loss +
                               "' learns from pictures that the model makes: name prompts in rollout.prompts, for example "
                               "rollout.prompts = [\"world:64\"]");
  f.require(
      own || c.objective.reference != "snapshot",
      "objective.reference: snapshot is for training on the model's own pictures (rollout.prompts): choose adapters_off or frozen_copy");
  if (!own) return;
  const StepNeeds needs = steps ? step_needs_of(c.objective) : StepNeeds{};
  f.require(steps || needs_of(c.objective).rejected,
            "rollout.prompts: the loss '" + c.objective.loss +
                "' learns neither from rewards nor from pairs: choose ddpo, dpok, d3po, spo, flow-grpo, or dpo (online DPO)");
  f.require(c.data.pairs.empty() && c.data.images.empty(), "rollout.prompts and data.pairs or data.images are both given: keep one");
  f.require(c.train.accumulation == 1,
            "train.accumulation: the model's own pictures are shared among rollout.updates steps, in parts of train.batch: leave it at 1");
  f.require(!c.train.keep_best, "train.keep_best: there are no held-out pairs where the model makes its own pictures: set it to false");
  f.require(!c.text.any(), "text: text encoders are not trained on the model's own pictures: set text.lora = false and text.word = \"\"");
  f.require(c.lora.dropout == 0, "lora.dropout: the policy that is trained must be the one that sampled: set it to 0");
  f.require(c.objective.reference != "cached",
            "objective.reference: errors on disk are of pictures known ahead: choose adapters_off, frozen_copy or snapshot");
  f.require(!steps || c.rollout.eta > 0, "rollout.eta is 0: steps without noise have no density to train on; 1 is usual");
  const bool compared = (!steps || needs.compares == Compares::paths || needs.groups || c.rollout.advantage == "group");
  f.require(!compared || c.rollout.pictures >= 2,
            "rollout.pictures: pictures of one prompt are compared with each other, so there must be at least 2 of them");
}

}  // namespace

void RunConfig::visit(Fields& f) {
  f("task", task, "align a diffusion model, or train a reward-model: a CLIPModel on data.pairs, which is a judge then",
    {.choices = {"align", "reward-model"}});
  f("model", model, "model folder in diffusers' layout; of a reward model a CLIPModel's",
    {.aliases = {"pretrained_model_name_or_path", "model_name_or_path"}});
  f("variant", variant, "of the weights: fp16 takes diffusion_pytorch_model.fp16.safetensors; empty: those without one");
  f("output", output, "run folder; must not exist yet, unless resume is given", {.aliases = {"output_dir"}});
  f("resume", resume, "latest, or a checkpoint folder: go on from there; empty: a new run", {.aliases = {"resume_from_checkpoint"}});
  f("device", device, "cpu, cuda or cuda:N");
  f("seed", seed, "names every draw of the run", {.min = 0});
  f("threads", threads, "processor threads; 0: what the machine has", {.min = 0, .max = 4096});
  f("full", full, "train the whole U-Net instead of a LoRA");
  f.table("data", data, "preference pairs, or pictures with captions");
  f.table("objective", objective, "what is minimised");
  f.table("rollout", rollout, "the model's own pictures, instead of data");
  f.table("lora", lora, "adapters (unless full)");
  f.table("text", text, "training of the text encoders");
  f.table("prior", prior, "pictures of the class beside those that are learned (prior preservation)");
  f.table("optimizer", optimizer, "how weights move");
  f.table("train", train, "how long, how much at once, what is kept");
  f.table("sample", sample, "grids of pictures while training");
  f.table("reward", reward, "of task = \"reward-model\": the model and its loss");
  f.require(!model.empty(), "model: name the model folder, for example model = \"models/sd15\"");
  f.require(!output.empty(), "output: name the run folder, for example output = \"runs/first\"");
  f.require(!full || objective.reference != "adapters_off" || !needs_of(objective).reference,
            "objective.reference: with full = true there are no adapters to switch off; use \"frozen_copy\" (a second copy of the weights) "
            "or \"cached\" (errors on disk)");
  const Needs needs = needs_of(objective);
  f.require(data.images.empty() || !needs.rejected,
            "objective.loss: '" + objective.loss +
                "' compares a preferred picture with a rejected one, and data.images has no rejected ones: give data.pairs, or set "
                "objective.loss = \"sft\"");
  f.require(data.pairs.empty() || !needs.rewards,
            "objective.loss: '" + objective.loss +
                "' weighs pictures by their rewards, which preference pairs do not have: give data.images with rewards, or set "
                "objective.loss = \"dpo\"");
  f.require(data.positive_ratio == 0 || needs.labels,
            "data.positive_ratio: the loss '" + objective.loss + "' does not learn from thumbs: it is for objective.loss = \"kto\"");
  f.require(!prior.any() || (!data.images.empty() && !needs.labels && !needs.rejected && !needs.rewards),
            "prior.class_prompt: pictures of the class go with data.images and a loss on good pictures: dreambooth, dco or sft");
  const bool said = data.images.size() == 1 && data.images[0].ends_with(".toml");  // there, as is_reg
  f.require(!prior.preservation || prior.any() || said || (data.images.empty() && data.pairs.empty()),
            "prior.class_prompt: prior preservation needs pictures of the class: say what they show, for example \"a photo of a dog\"");
  f.require(!prior.any() || data.max_pairs == 0, "data.max_pairs counts the pictures of the class, too: set it to 0");
  const bool pairs = data.images.empty();  // which become single pictures
  const int64_t seen = needs.labels && pairs ? needs.pictures() * train.batch : train.batch;
  f.require(seen >= needs.least_batch,
            concat("train.batch: the loss '", objective.loss, "' compares the pictures of a batch with each other and needs at least ",
                   needs.least_batch, " of them, found ", seen));
  f.require(!full || !text.any(),
            "full: training the whole U-Net goes without training the text encoders: set text.lora = false and text.word = \"\"");
  f.require(!train.keep_best || data.held_out > 0,
            "train.keep_best: needs held-out pairs: set data.held_out above 0, or train.keep_best = false");
  f.require(sample.every == 0 || !sample.prompts.empty(),
            "sample.every: needs prompts to draw: name some in sample.prompts, or set sample.every = 0");
  f.require(optimizer.lr_schedule != "polynomial" || optimizer.warmup_steps < train.steps || train.steps == 0,
            "optimizer.warmup_steps: polynomial needs fewer of them than train.steps");
  require_rollout(f, *this);
  require_reward_model(f, *this);
}

}  // namespace palate
