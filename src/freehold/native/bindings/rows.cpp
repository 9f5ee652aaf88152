#include "runtime/rows.hpp"

#include <nanobind/stl/string.h>

#include <cmath>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"

namespace freehold {
namespace {

void bind_rms_norm(const Array& x, const Array& weight, float epsilon, const WritableArray& out) {
    const auto from = rows_of(x, "x", 2);
    const auto columns = static_cast<int64_t>(x.shape(1));
    const auto* scales = vector_of<float>(weight, "weight", columns);
    if (!(epsilon >= 0) || !std::isfinite(epsilon)) refuse("epsilon is ", epsilon, ", must be finite and not negative");
    auto* to = writable_matrix<float>(out, "out", from.rows, columns);
    nb::gil_scoped_release release;
    rms_norm(from.data, from.stride, scales, epsilon, from.rows, columns, to);
}

void bind_rotation(const Array& positions, const Array& frequencies, float scale, const WritableArray& cosines,
                   const WritableArray& sines) {
    const auto* at = vector_of<int32_t>(positions, "positions");
    const auto* steps = vector_of<float>(frequencies, "frequencies");
    const auto rows = static_cast<int64_t>(positions.shape(0));
    const auto count = static_cast<int64_t>(frequencies.shape(0));
    auto* cosine = writable_matrix<float>(cosines, "cosines", rows, count);
    auto* sine = writable_matrix<float>(sines, "sines", rows, count);
    nb::gil_scoped_release release;
    rotation(at, rows, steps, count, scale, cosine, sine);
}

void bind_rope(const WritableArray& x, const Array& cosines, const Array& sines) {
    const auto rows = rows_of(x, "x", 3);
    const auto heads = static_cast<int64_t>(x.shape(1));
    const auto head_dim = static_cast<int64_t>(x.shape(2));
    require_dimensions(cosines, "cosines", 2);
    require_dimensions(sines, "sines", 2);
    const int64_t pairs = in_range("cosines.shape[1]", static_cast<int64_t>(cosines.shape(1)), 0, head_dim / 2);
    for (const auto& [array, name] : {std::pair{&cosines, "cosines"}, {&sines, "sines"}}) {
        require_size(*array, name, 0, rows.rows);
        require_size(*array, name, 1, pairs);
    }
    const auto* cosine = contiguous<Array, const float>(cosines, "cosines");
    const auto* sine = contiguous<Array, const float>(sines, "sines");
    nb::gil_scoped_release release;
    rope(rows.data, rows.stride, rows.rows, heads, head_dim, cosine, sine, pairs);
}

void bind_add(const WritableArray& x, const Array& y) {
    const auto to = rows_of(x, "x", 2);
    const auto from = rows_of(y, "y", 2);
    const auto columns = static_cast<int64_t>(x.shape(1));
    require_size(y, "y", 0, to.rows);
    require_size(y, "y", 1, columns);
    nb::gil_scoped_release release;
    add(to.data, to.stride, from.data, from.stride, to.rows, columns);
}

void bind_gate(const WritableArray& gate_up, const std::string& activation) {
    const auto rows = rows_of(gate_up, "gate_up", 2);
    const auto columns = static_cast<int64_t>(gate_up.shape(1));
    if (columns % 2 != 0) refuse("gate_up.shape[1] is ", columns, ", must be even");
    if (activation != "silu" && activation != "gelu_tanh")
        refuse("activation is '", activation, "', must be silu or gelu_tanh");
    const Activation kind = activation == "silu" ? Activation::silu : Activation::gelu_tanh;
    nb::gil_scoped_release release;
    gate(rows.data, rows.stride, rows.rows, columns / 2, kind);
}

}  // namespace

void bind_rows(nb::module_& module) {
    using namespace nb::literals;
    module.def("rms_norm", bind_rms_norm, "x"_a, "weight"_a, "epsilon"_a, "out"_a);
    module.def("rotation", bind_rotation, "positions"_a, "frequencies"_a, "scale"_a, "cosines"_a, "sines"_a);
    module.def("rope", bind_rope, "x"_a, "cosines"_a, "sines"_a);
    module.def("add", bind_add, "x"_a, "y"_a);
    module.def("gate", bind_gate, "gate_up"_a, "activation"_a);
}

}  // namespace freehold
