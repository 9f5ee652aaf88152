#include "runtime/experts.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>

#include "bindings/activations.hpp"
#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "bindings/graphs.hpp"
#include "bindings/weights.hpp"

namespace freehold {
namespace {

// One weight for each expert, or head; all of one shape.
struct ExpertsWeight {
    std::vector<Weight> weights;
    std::vector<std::vector<Matrix>> matrices;  // they keep the memory alive

    int64_t count() const { return static_cast<int64_t>(weights.size()); }
    int64_t inputs() const { return weights.front().inputs(); }
    int64_t outputs() const { return weights.front().outputs(); }
};

ExpertsWeight make_experts(std::vector<LinearWeight> experts) {
    if (experts.empty()) refuse("a weight of experts needs at least one expert");
    ExpertsWeight result;
    for (LinearWeight& expert : experts) {
        result.weights.push_back(std::move(expert.weight));
        result.matrices.push_back(std::move(expert.matrices));
        const Weight& weight = result.weights.back();
        if (weight.inputs() != result.inputs() || weight.outputs() != result.outputs())
            refuse("expert ", result.count() - 1, " is ", weight.outputs(), " x ", weight.inputs(),
                   ", but expert 0 is ", result.outputs(), " x ", result.inputs());
    }
    return result;
}

Routing routing_of(int64_t experts, int64_t top_k, const std::string& scoring, bool normalise, float scale,
                   int64_t groups, int64_t groups_kept) {
    if (scoring != "softmax" && scoring != "sigmoid") refuse("scoring is '", scoring, "', must be softmax or sigmoid");
    in_range("groups", groups, 1, experts);
    if (experts % groups != 0) refuse(experts, " experts cannot be divided into ", groups, " groups");
    in_range("groups_kept", groups_kept, 1, groups);
    in_range("top_k", top_k, 1, experts / groups * groups_kept);
    if (!std::isfinite(scale)) refuse("scale is ", scale, ", must be finite");
    return {top_k, scoring == "softmax", normalise, scale, groups, groups_kept};
}

void bind_mix(const Array& x, const Array& router_logits, const ExpertsWeight& gate_up, const ExpertsWeight& down,
              const std::optional<Array>& selection_bias, int64_t top_k, const std::string& scoring, bool normalise,
              float scale, int64_t groups, int64_t groups_kept, bool weigh_inputs, const std::string& activation,
              std::optional<float> limit, const WritableArray& out) {
    const int64_t experts = gate_up.count();
    if (down.count() != experts) refuse("down has ", down.count(), " experts, but gate_up has ", experts);
    if (gate_up.outputs() != 2 * down.inputs())
        refuse("gate_up has ", gate_up.outputs(), " outputs, must have twice down's ", down.inputs(), " inputs");
    const auto rows = rows_of(x, "x", 2);
    require_size(x, "x", 1, gate_up.inputs());
    const auto logits = rows_of(router_logits, "router_logits", 2);
    require_size(router_logits, "router_logits", 0, rows.rows);
    require_size(router_logits, "router_logits", 1, experts);
    const auto* bias = selection_bias ? vector_of<float>(*selection_bias, "selection_bias", experts) : nullptr;
    const ExpertsJob job{
        .gate_up = &gate_up.weights,
        .down = &down.weights,
        .x = rows.data,
        .x_stride = rows.stride,
        .logits = {logits.data, logits.stride, rows.rows, experts, bias},
        .routing = routing_of(experts, top_k, scoring, normalise, scale, groups, groups_kept),
        .weigh_inputs = weigh_inputs,
        .gating = gating_of(activation, limit),
        .out = writable_matrix<float>(out, "out", rows.rows, down.outputs()),
    };
    perform([=] { mix_experts(job); }, x, router_logits, gate_up, down, selection_bias, out);
}

void bind_head_linear(const Array& x, const ExpertsWeight& weight, const WritableArray& out) {
    require_dimensions(x, "x", 3);
    require_size(x, "x", 1, weight.count());
    require_size(x, "x", 2, weight.inputs());
    const ConstVectors from = vectors_of(x, "x", false);
    require_dimensions(out, "out", 3);
    require_size(out, "out", 0, from.rows);
    require_size(out, "out", 1, weight.count());
    require_size(out, "out", 2, weight.outputs());
    auto* to = contiguous<WritableArray, float>(out, "out");
    perform([=, held = &weight.weights] { head_linear(*held, from, to); }, x, weight, out);
}

}  // namespace

void bind_experts(nb::module_& module) {
    using namespace nb::literals;
    nb::class_<ExpertsWeight>(module, "ExpertsWeight")
        .def(nb::new_(&make_experts), "experts"_a)
        .def_prop_ro("count", &ExpertsWeight::count)
        .def_prop_ro("inputs", &ExpertsWeight::inputs)
        .def_prop_ro("outputs", &ExpertsWeight::outputs)
        .def_ro("parts", &ExpertsWeight::matrices)
        .def_prop_ro("experts", [](const ExpertsWeight& weight) {
            std::vector<LinearWeight> experts;
            for (size_t i = 0; i < weight.weights.size(); ++i)
                experts.push_back({weight.weights[i], weight.matrices[i]});
            return experts;
        }, nb::rv_policy::move);
    module.def("experts", bind_mix, "x"_a, "router_logits"_a, "gate_up"_a, "down"_a, nb::kw_only(),
               "selection_bias"_a.none(), "top_k"_a, "scoring"_a, "normalise"_a, "scale"_a, "groups"_a,
               "groups_kept"_a, "weigh_inputs"_a, "activation"_a, "limit"_a.none(), "out"_a);
    module.def("head_linear", bind_head_linear, "x"_a, "weight"_a, "out"_a);
}

}  // namespace freehold
