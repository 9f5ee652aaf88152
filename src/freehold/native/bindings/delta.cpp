#include "runtime/delta.hpp"

#include <nanobind/stl/optional.h>

#include <optional>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "bindings/graphs.hpp"
#include "runtime/attention.hpp"

namespace freehold {
namespace {

struct Strided {
    const float* data;
    int64_t stride;
};

Strided matrix_of(const Array& array, const char* name, int64_t rows, int64_t columns) {
    const Rows<const float> found = rows_of(array, name, 2);
    require_size(array, name, 0, rows);
    require_size(array, name, 1, columns);
    return {found.data, found.stride};
}

// Takes matrices [slots, value_heads, key_dim, value_dim] and inputs [slots, width - 1, channels].
DeltaStates states_of(const DeltaJob& job, const WritableArray& inputs, const WritableArray& matrices,
                      const Array& reads, const Array& writes, int64_t sequences) {
    require_dimensions(inputs, "inputs", 3);
    require_dimensions(matrices, "matrices", 4);
    DeltaStates states{};
    states.slots = in_range("matrices.shape[0]", static_cast<int64_t>(matrices.shape(0)), 0, most_int32);
    require_size(matrices, "matrices", 1, job.value_heads);
    require_size(matrices, "matrices", 2, job.key_dim);
    require_size(matrices, "matrices", 3, job.value_dim);
    require_size(inputs, "inputs", 0, states.slots);
    require_size(inputs, "inputs", 1, job.width - 1);
    require_size(inputs, "inputs", 2, job.channels);
    states.matrices = contiguous<WritableArray, float>(matrices, "matrices");
    states.inputs = contiguous<WritableArray, float>(inputs, "inputs");
    states.reads = vector_of<int32_t>(reads, "state_reads", sequences);
    states.writes = vector_of<int32_t>(writes, "state_writes", sequences);
    return states;
}

void bind_rule(const Array& qkv, const Array& decay, const Array& beta, const Array& offsets, const Array& state_reads,
               const Array& state_writes, const std::optional<WritableArray>& inputs,
               const std::optional<WritableArray>& matrices, const Array& convolution, const Array& rates,
               const Array& decay_offsets, int64_t key_heads, int64_t key_dim, bool tiled, const WritableArray& out) {
    const Rows<const float> rows = rows_of(qkv, "qkv", 2);
    require_dimensions(convolution, "convolution", 2);
    require_dimensions(out, "out", 3);
    require_size(out, "out", 0, rows.rows);
    DeltaJob job{};
    job.qkv = rows.data, job.qkv_stride = rows.stride;
    job.tiled = tiled;
    job.key_heads = in_range("key_heads", key_heads, 1, most_int32);
    job.key_dim = in_range("key_dim", key_dim, 1, most_int32);
    job.value_heads = in_range("out.shape[1]", static_cast<int64_t>(out.shape(1)), 1, most_int32);
    job.value_dim = in_range("out.shape[2]", static_cast<int64_t>(out.shape(2)), 1, most_int32);
    if (job.value_heads % job.key_heads != 0)
        refuse(job.value_heads, " value heads are not a multiple of ", job.key_heads, " key heads");
    in_range("key_heads * key_dim", job.key_heads * job.key_dim, 1, most_int32);
    in_range("value_heads * value_dim", job.value_heads * job.value_dim, 1, most_int32);
    job.channels = 2 * job.key_heads * job.key_dim + job.value_heads * job.value_dim;
    require_size(qkv, "qkv", 1, job.channels);
    require_size(convolution, "convolution", 0, job.channels);
    job.width = in_range("convolution.shape[1]", static_cast<int64_t>(convolution.shape(1)), 1, most_int32);
    job.out = contiguous<WritableArray, float>(out, "out");

    DeltaControls controls{};
    const Strided decays = matrix_of(decay, "decay", rows.rows, job.value_heads);
    const Strided betas = matrix_of(beta, "beta", rows.rows, job.value_heads);
    controls.decay = decays.data, controls.decay_stride = decays.stride;
    controls.beta = betas.data, controls.beta_stride = betas.stride;
    controls.rates = vector_of<float>(rates, "rates", job.value_heads);
    controls.offsets = vector_of<float>(decay_offsets, "decay_offsets", job.value_heads);

    const auto* begins = vector_of<int32_t>(offsets, "offsets");
    const int64_t sequences = static_cast<int64_t>(offsets.shape(0)) - 1;
    if (sequences < 0) refuse("offsets has 0 entries, must have at least 1");
    std::optional<DeltaStates> states;
    if (inputs && matrices) states = states_of(job, *inputs, *matrices, state_reads, state_writes, sequences);
    const auto* taps = contiguous<Array, const float>(convolution, "convolution");
    perform([=] {
        check_offsets(begins, sequences, rows.rows, "offsets");
        if (states) check(*states, sequences);
        delta_rule(job, controls, taps, begins, sequences, states ? &*states : nullptr);
    }, qkv, decay, beta, offsets, state_reads, state_writes, inputs, matrices, convolution, rates, decay_offsets, out);
}

}  // namespace

void bind_delta(nb::module_& module) {
    using namespace nb::literals;
    module.def("delta_rule", bind_rule, "qkv"_a, "decay"_a, "beta"_a, "offsets"_a, "state_reads"_a, "state_writes"_a,
               "inputs"_a.none(), "matrices"_a.none(), "convolution"_a, "rates"_a, "decay_offsets"_a, "key_heads"_a,
               "key_dim"_a, "tiled"_a, "out"_a);
}

}  // namespace freehold
