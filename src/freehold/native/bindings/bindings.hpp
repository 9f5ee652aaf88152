#pragma once

#include <nanobind/nanobind.h>

namespace freehold {

void bind_graphs(nanobind::module_& module);
void bind_weights(nanobind::module_& module);
void bind_products(nanobind::module_& module);
void bind_rows(nanobind::module_& module);
void bind_attention(nanobind::module_& module);
void bind_delta(nanobind::module_& module);
void bind_experts(nanobind::module_& module);
void bind_sampling(nanobind::module_& module);

}  // namespace freehold
