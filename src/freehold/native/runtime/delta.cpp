#include "runtime/delta.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "runtime/isa.hpp"
#include "runtime/memory.hpp"
#include "runtime/thread_pool.hpp"

namespace freehold {
namespace {

constexpr int64_t grain_of_heads = 16;
constexpr int64_t nobody = -1;

using std::to_string;

[[noreturn]] void refuse(const std::string& message) { throw std::invalid_argument(message); }

float softplus(float x) { return x > 20.0f ? x : std::log1p(std::exp(x)); }

// factors = exp(rate * softplus(decay + offset)), strengths = sigmoid(beta).
void fill_controls(const DeltaJob& job, const DeltaControls& controls, int64_t tokens, float* factors,
                   float* strengths) {
    parallel_ranges(tokens, 32, [&](int64_t first, int64_t last) {
        for (int64_t row = first; row < last; ++row)
            for (int64_t head = 0; head < job.value_heads; ++head) {
                const float decay = controls.decay[row * controls.decay_stride + head] + controls.offsets[head];
                factors[row * job.value_heads + head] = std::exp(controls.rates[head] * softplus(decay));
                const float beta = controls.beta[row * controls.beta_stride + head];
                strengths[row * job.value_heads + head] = 1.0f / (1.0f + std::exp(-beta));
            }
    });
}

// The last width - 1 inputs of a sequence, for its next step. Reading and writing the same slot is safe: what is read
// never lies before what is written.
void keep_inputs(const DeltaJob& job, const DeltaStates& states, int64_t sequence, int64_t first, int64_t last) {
    const int64_t kept = job.width - 1;
    const auto slot = [&](int64_t index) { return states.inputs + index * kept * job.channels; };
    const float* before = states.reads[sequence] < 0 ? nullptr : slot(states.reads[sequence]);
    for (int64_t i = 0; i < kept; ++i) {
        const int64_t row = last - kept + i;
        float* to = slot(states.writes[sequence]) + i * job.channels;
        if (row >= first)
            std::memcpy(to, job.qkv + row * job.qkv_stride, job.channels * sizeof(float));
        else if (before != nullptr)
            std::memmove(to, before + (row - first + kept) * job.channels, job.channels * sizeof(float));
        else
            std::memset(to, 0, job.channels * sizeof(float));
    }
}

}  // namespace

void check(const DeltaStates& states, int64_t sequences) {
    std::vector<int64_t> writers(states.slots, nobody);
    for (int64_t sequence = 0; sequence < sequences; ++sequence) {
        const int64_t read = states.reads[sequence], write = states.writes[sequence];
        if (read < -1 || read >= states.slots || write < 0 || write >= states.slots)
            refuse("sequence " + to_string(sequence) + " reads slot " + to_string(read) + " and writes slot " +
                   to_string(write) + ", but there are " + to_string(states.slots) + " slots");
        if (writers[write] != nobody)
            refuse("slot " + to_string(write) + " is written by sequences " + to_string(writers[write]) + " and " +
                   to_string(sequence));
        writers[write] = sequence;
    }
    for (int64_t sequence = 0; sequence < sequences; ++sequence) {
        const int64_t read = states.reads[sequence];
        if (read >= 0 && writers[read] != nobody && writers[read] != sequence)
            refuse("slot " + to_string(read) + " is read by sequence " + to_string(sequence) +
                   " and written by sequence " + to_string(writers[read]));
    }
}

void delta_rule(DeltaJob job, const DeltaControls& controls, const float* convolution, const int32_t* offsets,
                int64_t sequences, const DeltaStates* states) {
    thread_local Scratch memory, row_memory, worker_memory;
    const Kernels& kernel = kernels();
    const int64_t tokens = offsets[sequences];
    const int64_t inputs = (job.width - 1) * job.channels;
    const int64_t matrix = job.key_dim * job.value_dim;
    const auto read_of = [&](int64_t sequence) { return states == nullptr ? -1 : int64_t{states->reads[sequence]}; };

    auto* taps = memory.reserve<float>(job.width * job.channels + tokens * (job.channels + 2 * job.value_heads));
    for (int64_t channel = 0; channel < job.channels; ++channel)
        for (int64_t tap = 0; tap < job.width; ++tap)
            taps[tap * job.channels + channel] = convolution[channel * job.width + tap];
    float* mixed = taps + job.width * job.channels;
    float* factors = mixed + tokens * job.channels;
    float* strengths = factors + tokens * job.value_heads;
    auto* befores = row_memory.reserve<const float*>(2 * tokens);
    auto* begins = reinterpret_cast<int64_t*>(befores + tokens);
    for (int64_t sequence = 0; sequence < sequences; ++sequence) {
        const int64_t read = read_of(sequence);
        std::fill(begins + offsets[sequence], begins + offsets[sequence + 1], offsets[sequence]);
        std::fill(befores + offsets[sequence], befores + offsets[sequence + 1],
                  read < 0 ? nullptr : states->inputs + read * inputs);
    }
    job.taps = taps, job.mixed = mixed, job.factors = factors, job.strengths = strengths;
    job.befores = befores, job.begins = begins;

    fill_controls(job, controls, tokens, factors, strengths);
    parallel_ranges(tokens * (2 * job.key_heads + job.value_heads), grain_of_heads,
                    [&](int64_t first, int64_t last) { kernel.delta_inputs(job, first, last); });
    const int workers = threads();
    auto* scratch = worker_memory.reserve<float>(workers * job.key_dim * delta_lanes);
    const int64_t slices = (job.value_dim + delta_lanes - 1) / delta_lanes;
    parallel_for(sequences * job.value_heads * slices, workers, [&](int64_t piece, int worker) {
        const int64_t sequence = piece / slices / job.value_heads;
        const int64_t read = read_of(sequence);
        DeltaRange range{};
        range.first = offsets[sequence], range.last = offsets[sequence + 1];
        range.head = piece / slices % job.value_heads;
        range.first_value = piece % slices * delta_lanes;
        range.last_value = std::min(range.first_value + delta_lanes, job.value_dim);
        const auto slot = [&](int64_t index) {
            return states->matrices + (index * job.value_heads + range.head) * matrix;
        };
        range.from = read < 0 ? nullptr : slot(read);
        range.to = states == nullptr ? nullptr : slot(states->writes[sequence]);
        kernel.delta_rule(job, range, scratch + worker * job.key_dim * delta_lanes);
    });
    if (states == nullptr) return;
    for (int64_t sequence = 0; sequence < sequences; ++sequence)
        keep_inputs(job, *states, sequence, offsets[sequence], offsets[sequence + 1]);
}

}  // namespace freehold
