#include "runtime/sampling.hpp"

#include <cmath>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "runtime/philox.hpp"

namespace freehold {
namespace {

// A number per row, each in [least, most]. NaN lies nowhere.
template <typename T>
const T* option(const Array& array, const char* name, int64_t rows, T least, T most) {
    const auto* values = vector_of<T>(array, name, rows);
    for (int64_t i = 0; i < rows; ++i)
        if (!(values[i] >= least && values[i] <= most))
            refuse(name, "[", i, "] is ", values[i], ", must be from ", least, " to ", most);
    return values;
}

const int64_t* ragged_offsets(const Array& array, const char* name, int64_t rows, int64_t total) {
    const auto* offsets = vector_of<int64_t>(array, name, rows + 1);
    if (offsets[0] != 0) refuse(name, " begin at ", offsets[0], ", must begin at 0");
    for (int64_t i = 0; i < rows; ++i)
        if (offsets[i + 1] < offsets[i]) refuse(name, " fall from ", offsets[i], " to ", offsets[i + 1]);
    if (offsets[rows] != total) refuse(name, " end at ", offsets[rows], ", but there are ", total, " entries");
    return offsets;
}

const int32_t* ids_of(const Array& array, const char* name, int64_t vocabulary) {
    const auto* ids = vector_of<int32_t>(array, name);
    for (size_t i = 0; i < array.shape(0); ++i)
        if (ids[i] < 0 || ids[i] >= vocabulary)
            refuse(name, "[", i, "] is ", ids[i], ", but the vocabulary has ", vocabulary, " tokens");
    return ids;
}

void set_masks(SamplingJob& job, const Array& masks, const Array& mask_rows) {
    require_dimensions(masks, "masks", 2);
    job.masks = contiguous<Array, const uint32_t>(masks, "masks");
    job.mask_words = (job.vocabulary + 31) / 32;
    const auto count = in_range("masks.shape[0]", static_cast<int64_t>(masks.shape(0)), 0, most_int32);
    if (count > 0) require_size(masks, "masks", 1, job.mask_words);
    job.mask_rows = option<int32_t>(mask_rows, "mask_rows", job.rows, -1, static_cast<int32_t>(count - 1));
}

void set_outputs(SamplingJob& job, const WritableArray& token_ids, const WritableArray& logprobs,
                 const WritableArray& status, const WritableArray& top_ids, const WritableArray& top_values) {
    job.token_ids = writable_vector<int32_t>(token_ids, "token_ids", job.rows);
    job.logprobs = writable_vector<float>(logprobs, "logprobs", job.rows);
    job.status = writable_vector<uint8_t>(status, "status", job.rows);
    require_dimensions(top_ids, "top_ids", 2);
    job.top_width = static_cast<int64_t>(top_ids.shape(1));
    job.top_ids = writable_matrix<int32_t>(top_ids, "top_ids", job.rows, job.top_width);
    job.top_values = writable_matrix<float>(top_values, "top_values", job.rows, job.top_width);
}

void bind_sample(const Array& logits, const Array& temperature, const Array& top_k, const Array& top_p,
                 const Array& min_p, const Array& repetition_penalty, const Array& presence_penalty,
                 const Array& frequency_penalty, const Array& seed, const Array& position, const Array& history,
                 const Array& history_offsets, const Array& output_starts, const Array& bias_ids,
                 const Array& bias_values, const Array& bias_offsets, const Array& masks, const Array& mask_rows,
                 const Array& top_logprobs, const WritableArray& token_ids, const WritableArray& logprobs,
                 const WritableArray& status, const WritableArray& top_ids, const WritableArray& top_values) {
    constexpr float most_float = 3e38f;
    constexpr float least_penalty = 1e-6f;
    SamplingJob job{};
    const auto rows = rows_of(logits, "logits", 2);
    job.rows = rows.rows;
    job.vocabulary = in_range("logits.shape[1]", static_cast<int64_t>(logits.shape(1)), 1, most_int32);
    job.logits = rows.data;
    job.logits_stride = rows.stride;
    job.temperature = option<float>(temperature, "temperature", job.rows, 0, most_float);
    job.top_k = option<int32_t>(top_k, "top_k", job.rows, 0, most_int32);
    job.top_p = option<float>(top_p, "top_p", job.rows, 0, 1);
    job.min_p = option<float>(min_p, "min_p", job.rows, 0, 1);
    job.repetition_penalty =
        option<float>(repetition_penalty, "repetition_penalty", job.rows, least_penalty, 1 / least_penalty);
    job.presence_penalty = option<float>(presence_penalty, "presence_penalty", job.rows, -most_float, most_float);
    job.frequency_penalty = option<float>(frequency_penalty, "frequency_penalty", job.rows, -most_float, most_float);
    job.seed = vector_of<uint64_t>(seed, "seed", job.rows);
    job.position = vector_of<uint64_t>(position, "position", job.rows);
    job.history = ids_of(history, "history", job.vocabulary);
    job.history_offsets =
        ragged_offsets(history_offsets, "history_offsets", job.rows, static_cast<int64_t>(history.shape(0)));
    job.output_starts = option<int64_t>(output_starts, "output_starts", job.rows, 0, most_elements);
    job.bias_ids = ids_of(bias_ids, "bias_ids", job.vocabulary);
    const auto biases = static_cast<int64_t>(bias_ids.shape(0));
    job.bias_values = option<float>(bias_values, "bias_values", biases, -most_float, most_float);
    job.bias_offsets = ragged_offsets(bias_offsets, "bias_offsets", job.rows, biases);
    set_masks(job, masks, mask_rows);
    set_outputs(job, token_ids, logprobs, status, top_ids, top_values);
    const auto most_top = static_cast<int32_t>(std::min(job.top_width, job.vocabulary));
    job.top_logprobs = option<int32_t>(top_logprobs, "top_logprobs", job.rows, -1, most_top);
    nb::gil_scoped_release release;
    sample(job);
}

}  // namespace

void bind_sampling(nb::module_& module) {
    using namespace nb::literals;
    module.def("uniform", uniform, "seed"_a, "position"_a);
    module.def("sample", bind_sample, nb::kw_only(), "logits"_a, "temperature"_a, "top_k"_a, "top_p"_a, "min_p"_a,
               "repetition_penalty"_a, "presence_penalty"_a, "frequency_penalty"_a, "seed"_a, "position"_a, "history"_a,
               "history_offsets"_a, "output_starts"_a, "bias_ids"_a, "bias_values"_a, "bias_offsets"_a, "masks"_a,
               "mask_rows"_a, "top_logprobs"_a, "token_ids"_a, "logprobs"_a, "status"_a, "top_ids"_a, "top_values"_a);
}

}  // namespace freehold
