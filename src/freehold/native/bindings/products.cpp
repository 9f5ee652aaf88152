// Products with weights.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <optional>

#include "bindings/activations.hpp"
#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "bindings/graphs.hpp"
#include "bindings/weights.hpp"
#include "runtime/mlp.hpp"

namespace freehold {
namespace {

// What callers of `Ops` call the array that a product goes to.
const char* name_of(bool adds) { return adds ? "onto" : "out"; }

// A product reads all columns of x for each output.
void require_apart(const Rows<const float>& x, const Weight& weight, const float* out, const char* name) {
    if (x.rows == 0) return;
    const float* x_end = x.data + (x.rows - 1) * x.stride + weight.inputs();
    const float* out_end = out + x.rows * weight.outputs();
    if (out < x_end && x.data < out_end) refuse(name, " shares memory with x, must lie apart from it");
}

void bind_linear(const Array& x, const LinearWeight& weight, const WritableArray& out, bool adds) {
    const auto from = rows_of(x, "x", 2);
    require_size(x, "x", 1, weight.weight.inputs());
    auto* to = writable_matrix<float>(out, name_of(adds), from.rows, weight.weight.outputs());
    require_apart(from, weight.weight, to, name_of(adds));
    perform([=, held = &weight.weight] { linear(*held, from.data, from.stride, from.rows, to, adds); }, x, weight, out);
}

void bind_gated_mlp(const Array& x, const LinearWeight& gate_up, const LinearWeight& down,
                    const std::string& activation, std::optional<float> limit, const WritableArray& out,
                    bool adds) {
    const auto from = rows_of(x, "x", 2);
    require_size(x, "x", 1, gate_up.weight.inputs());
    if (gate_up.weight.outputs() != 2 * down.weight.inputs())
        refuse("gate_up has ", gate_up.weight.outputs(), " outputs, but down needs twice its ", down.weight.inputs(),
               " inputs");
    const GatedMlpJob job{
        .gate_up = &gate_up.weight,
        .down = &down.weight,
        .x = from.data,
        .x_stride = from.stride,
        .rows = from.rows,
        .gating = gating_of(activation, limit),
        .out = writable_matrix<float>(out, name_of(adds), from.rows, down.weight.outputs()),
        .adds = adds,
    };
    perform([=] { gated_mlp(job); }, x, gate_up, down, out);
}

void bind_embed(const LinearWeight& table, const Array& token_ids, const WritableArray& out) {
    const auto* ids = vector_of<int32_t>(token_ids, "token_ids");
    const auto count = static_cast<int64_t>(token_ids.shape(0));
    const int64_t vocabulary = table.weight.outputs();
    auto* to = writable_matrix<float>(out, "out", count, table.weight.inputs());
    perform([=, held = &table.weight] {
        for (int64_t i = 0; i < count; ++i)
            if (ids[i] < 0 || ids[i] >= vocabulary)
                refuse("token_ids[", i, "] is ", ids[i], ", but the vocabulary has ", vocabulary, " tokens");
        embed(*held, ids, count, to);
    }, table, token_ids, out);
}

}  // namespace

void bind_products(nb::module_& module) {
    using namespace nb::literals;
    module.def("linear", bind_linear, "x"_a, "weight"_a, "out"_a, "adds"_a = false);
    module.def("gated_mlp", bind_gated_mlp, "x"_a, "gate_up"_a, "down"_a, "activation"_a, "limit"_a.none(), "out"_a,
               "adds"_a = false);
    module.def("embed", bind_embed, "table"_a, "token_ids"_a, "out"_a);
}

}  // namespace freehold
