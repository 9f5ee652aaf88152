#include "runtime/rows.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "bindings/activations.hpp"
#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "bindings/graphs.hpp"

namespace freehold {
namespace {

// [columns], or [heads, columns] for x [rows, heads, columns].
const float* per_head(const std::optional<Array>& array, const char* name, const NormJob& job) {
    if (!array) return nullptr;
    if (job.weight_stride == 0) return vector_of<float>(*array, name, job.x.columns);
    require_dimensions(*array, name, 2);
    require_size(*array, name, 0, job.x.heads);
    require_size(*array, name, 1, job.x.columns);
    return contiguous<Array, const float>(*array, name);
}

NormJob norm_of(const Array& x, const std::optional<Array>& weight, const std::optional<Array>& bias, float epsilon,
                const WritableArray& out) {
    NormJob job{};
    job.x = vectors_of(x, "x", false);
    in_range("x's last dimension", job.x.columns, 1, most_int32);
    const std::optional<Array>& shape = weight ? weight : bias;
    job.weight_stride = shape && shape->ndim() == 2 && x.ndim() == 3 ? job.x.columns : 0;
    job.weight = per_head(weight, "weight", job);
    job.bias = per_head(bias, "bias", job);
    if (!(epsilon >= 0) || !std::isfinite(epsilon)) refuse("epsilon is ", epsilon, ", must be finite and not negative");
    job.epsilon = epsilon;
    require_dimensions(out, "out", x.ndim());
    for (size_t dimension = 0; dimension < x.ndim(); ++dimension)
        require_size(out, "out", dimension, static_cast<int64_t>(x.shape(dimension)));
    job.out = contiguous<WritableArray, float>(out, "out");
    return job;
}

void bind_rms_norm(const Array& x, const std::optional<Array>& weight, float epsilon, const WritableArray& out) {
    const NormJob job = norm_of(x, weight, std::nullopt, epsilon, out);
    perform([=] { rms_norm(job); }, x, weight, out);
}

void bind_layer_norm(const Array& x, const std::optional<Array>& weight, const std::optional<Array>& bias,
                     float epsilon, const WritableArray& out) {
    const NormJob job = norm_of(x, weight, bias, epsilon, out);
    perform([=] { layer_norm(job); }, x, weight, bias, out);
}

void bind_rotation(const Array& positions, const Array& frequencies, float scale, const WritableArray& cosines,
                   const WritableArray& sines) {
    const auto* at = vector_of<int32_t>(positions, "positions");
    const auto* steps = vector_of<float>(frequencies, "frequencies");
    const auto rows = static_cast<int64_t>(positions.shape(0));
    const auto count = static_cast<int64_t>(frequencies.shape(0));
    auto* cosine = writable_matrix<float>(cosines, "cosines", rows, count);
    auto* sine = writable_matrix<float>(sines, "sines", rows, count);
    perform([=] { rotation(at, rows, steps, count, scale, cosine, sine); }, positions, frequencies, cosines, sines);
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
    perform([=] { rope(rows.data, rows.stride, rows.rows, heads, head_dim, cosine, sine, pairs); }, x, cosines, sines);
}

void bind_add(const WritableArray& x, const Array& y) {
    const auto to = rows_of(x, "x", 2);
    const auto from = rows_of(y, "y", 2);
    const auto columns = static_cast<int64_t>(x.shape(1));
    require_size(y, "y", 0, to.rows);
    require_size(y, "y", 1, columns);
    perform([=] { add(to.data, to.stride, from.data, from.stride, to.rows, columns); }, x, y);
}

void bind_copy(const Array& x, const WritableArray& out) {
    require_dimensions(out, "out", x.ndim());
    for (size_t dimension = 0; dimension < x.ndim(); ++dimension)
        require_size(out, "out", dimension, static_cast<int64_t>(x.shape(dimension)));
    const ConstVectors from = vectors_of(x, "x", false);
    const Vectors to = vectors_of(out, "out", false);
    perform([=] { copy(from, to); }, x, out);
}

void bind_activate(const WritableArray& x, const std::string& activation) {
    const Vectors vectors = vectors_of(x, "x", true);
    const Activation kind = activation_of(activation);
    perform([=] { activate(vectors, kind); }, x);
}

void bind_gate(const WritableArray& x, const Array& gates, const std::string& activation) {
    const bool one_for_all = x.ndim() == 2 && gates.ndim() == 2 && gates.shape(1) == 1;
    require_dimensions(gates, "gates", x.ndim());
    for (size_t dimension = 0; dimension < x.ndim(); ++dimension)
        if (dimension == 0 || !one_for_all)
            require_size(gates, "gates", dimension, static_cast<int64_t>(x.shape(dimension)));
    const Vectors to = vectors_of(x, "x", false);
    const ConstVectors from = vectors_of(gates, "gates", false);
    const Activation kind = activation_of(activation);
    perform([=] { gate(to, from, kind); }, x, gates);
}

void bind_softcap(const WritableArray& x, float cap) {
    const Vectors vectors = vectors_of(x, "x", true);
    if (!(cap > 0) || !std::isfinite(cap)) refuse("cap is ", cap, ", must be finite and above 0");
    perform([=] { softcap(vectors, cap); }, x);
}

void bind_scale(const WritableArray& x, float factor) {
    const Vectors vectors = vectors_of(x, "x", true);
    perform([=] { scale(vectors, factor); }, x);
}

void bind_scale_rows(const WritableArray& x, const Array& factors) {
    const Vectors vectors = vectors_of(x, "x", true);
    const auto* values = vector_of<float>(factors, "factors", vectors.rows);
    perform([=] { scale_rows(vectors, values); }, x, factors);
}

void bind_select_rows(const Array& x, const Array& rows, const WritableArray& out) {
    const auto from = rows_of(x, "x", 2);
    const auto columns = static_cast<int64_t>(x.shape(1));
    const auto* wanted = vector_of<int32_t>(rows, "rows");
    const auto count = static_cast<int64_t>(rows.shape(0));
    auto* to = writable_matrix<float>(out, "out", count, columns);
    perform([=] {
        for (int64_t i = 0; i < count; ++i)
            if (wanted[i] < 0 || wanted[i] >= from.rows)
                refuse("rows[", i, "] is ", wanted[i], ", but x has ", from.rows, " rows");
        for (int64_t i = 0; i < count; ++i)
            std::copy_n(from.data + wanted[i] * from.stride, columns, to + i * columns);
    }, x, rows, out);
}

}  // namespace

void bind_rows(nb::module_& module) {
    using namespace nb::literals;
    module.def("rms_norm", bind_rms_norm, "x"_a, "weight"_a.none(), "epsilon"_a, "out"_a);
    module.def("layer_norm", bind_layer_norm, "x"_a, "weight"_a.none(), "bias"_a.none(), "epsilon"_a, "out"_a);
    module.def("rotation", bind_rotation, "positions"_a, "frequencies"_a, "scale"_a, "cosines"_a, "sines"_a);
    module.def("rope", bind_rope, "x"_a, "cosines"_a, "sines"_a);
    module.def("add", bind_add, "x"_a, "y"_a);
    module.def("copy", bind_copy, "x"_a, "out"_a);
    module.def("select_rows", bind_select_rows, "x"_a, "rows"_a, "out"_a);
    module.def("activate", bind_activate, "x"_a, "activation"_a);
    module.def("gate", bind_gate, "x"_a, "gates"_a, "activation"_a);
    module.def("softcap", bind_softcap, "x"_a, "cap"_a);
    module.def("scale", bind_scale, "x"_a, "factor"_a);
    module.def("scale_rows", bind_scale_rows, "x"_a, "factors"_a);
}

}  // namespace freehold
