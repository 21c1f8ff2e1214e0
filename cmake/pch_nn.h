#ifndef PALATE_PCH_NN_H
#define PALATE_PCH_NN_H
#include <torch/types.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/pimpl.h>
#endif
