#include "runtime/sampling.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "runtime/isa.hpp"
#include "runtime/philox.hpp"
#include "runtime/selection.hpp"
#include "runtime/thread_pool.hpp"

namespace freehold {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr int32_t seen = int32_t{1} << 30;   // marks a token of the history in the counts
constexpr int64_t chunk = 1024;              // values that are searched at a time
constexpr float steepest = 1e30f;            // 1 / temperature, bounded so that 0 * it stays 0

struct Workspace {
    std::vector<float> values;
    std::vector<float> weights;
    std::vector<int32_t> counts;  // all zero between rows
    std::vector<int32_t> indices;
    std::vector<Candidate> candidates;
    std::vector<Candidate> spare;

    void reserve(int64_t vocabulary) {
        values.resize(vocabulary);
        weights.resize(vocabulary);
        counts.resize(vocabulary);
        indices.resize(vocabulary);
        candidates.reserve(vocabulary);
    }
};

// Weights are exp((value - maximum) * factor).
struct Softmax {
    float maximum;
    float factor;
};

// One row of the job.
class Row {
public:
    Row(const SamplingJob& job, int64_t row, Workspace& space)
        : job_(job), row_(row), space_(space), logits_(job.logits + row * job.logits_stride) {}

    void sample() {
        job_.token_ids[row_] = -1;
        job_.logprobs[row_] = std::numeric_limits<float>::quiet_NaN();
        std::fill_n(job_.top_ids + row_ * job_.top_width, job_.top_width, -1);
        std::fill_n(job_.top_values + row_ * job_.top_width, job_.top_width, -infinity);
        const LogitStatistics raw = kernels().logit_statistics(logits_, job_.vocabulary);
        if (!raw.finite) return finish(RowStatus::not_finite);
        if (reports()) {
            log_total_ = std::log(kernels().exponentials(logits_, job_.vocabulary, raw.maximum, 1.0f, nullptr));
            maximum_ = raw.maximum;
            report_top();
        }

        const float* values = adjusted();
        const LogitStatistics stats = values == logits_ ? raw : kernels().logit_statistics(values, job_.vocabulary);
        if (!stats.finite) return finish(RowStatus::nothing_allowed);
        const bool greedy = job_.temperature[row_] == 0;
        const int64_t id = greedy ? first_equal(values, stats.maximum) : draw(values, stats.maximum);
        job_.token_ids[row_] = static_cast<int32_t>(id);
        if (reports()) job_.logprobs[row_] = logprob(logits_[id]);
        finish(RowStatus::ok);
    }

private:
    void finish(RowStatus status) { job_.status[row_] = static_cast<uint8_t>(status); }

    bool reports() const { return job_.top_logprobs[row_] >= 0; }

    float logprob(float logit) const { return static_cast<float>(double{logit} - maximum_ - log_total_); }

    void report_top() {
        auto& found = space_.candidates;
        select_largest(logits_, job_.vocabulary, job_.top_logprobs[row_], found);
        for (size_t i = 0; i < found.size(); ++i) {
            job_.top_ids[row_ * job_.top_width + i] = found[i].id;
            job_.top_values[row_ * job_.top_width + i] = logprob(found[i].value);
        }
    }

    // The logits after penalties, bias and mask; the raw ones where there are none of these.
    const float* adjusted() {
        const bool penalised = job_.repetition_penalty[row_] != 1 || job_.presence_penalty[row_] != 0 ||
                               job_.frequency_penalty[row_] != 0;
        const bool biased = job_.bias_offsets[row_ + 1] > job_.bias_offsets[row_];
        const bool masked = job_.mask_rows[row_] >= 0;
        if (!penalised && !biased && !masked) return logits_;
        float* values = space_.values.data();
        std::memcpy(values, logits_, job_.vocabulary * sizeof(float));
        if (penalised) penalise(values);
        for (int64_t i = job_.bias_offsets[row_]; i < job_.bias_offsets[row_ + 1]; ++i)
            values[job_.bias_ids[i]] += job_.bias_values[i];
        if (masked) mask(values);
        return values;
    }

    void penalise(float* values) {
        int32_t* counts = space_.counts.data();
        const int64_t begin = job_.history_offsets[row_];
        const int64_t end = job_.history_offsets[row_ + 1];
        for (int64_t i = begin; i < end; ++i) {
            int32_t& count = counts[job_.history[i]];
            count |= seen;
            if (i - begin >= job_.output_starts[row_]) ++count;
        }
        for (int64_t i = begin; i < end; ++i) {
            int32_t& count = counts[job_.history[i]];
            if (count == 0) continue;  // an earlier occurrence did it
            float& value = values[job_.history[i]];
            value = value > 0 ? value / job_.repetition_penalty[row_] : value * job_.repetition_penalty[row_];
            const int32_t produced = count & ~seen;
            if (produced > 0)
                value -= job_.presence_penalty[row_] + job_.frequency_penalty[row_] * static_cast<float>(produced);
            count = 0;
        }
    }

    void mask(float* values) const {
        const uint32_t* words = job_.masks + job_.mask_rows[row_] * job_.mask_words;
        for (int64_t i = 0; i < job_.vocabulary; ++i)
            if ((words[i / 32] >> (i % 32) & 1) == 0) values[i] = -infinity;
    }

    int64_t first_equal(const float* values, float maximum) const {
        int32_t found[chunk];
        int64_t begin = 0;
        while (kernels().at_least(values, begin, std::min(begin + chunk, job_.vocabulary), maximum, found) == 0)
            begin += chunk;
        return found[0];
    }

    int64_t draw(const float* values, float maximum) {
        const double number = uniform(job_.seed[row_], job_.position[row_]);
        const Softmax softmax{maximum, std::min(1.0f / job_.temperature[row_], steepest)};
        if (const int64_t k = job_.top_k[row_]; k > 0 && k < job_.vocabulary) {
            keep_largest(values, k, softmax);
        } else {
            float* weights = space_.weights.data();
            const double total = exponentials(values, job_.vocabulary, softmax, weights);
            if (!keep_likely(weights, total)) return walk(weights, job_.vocabulary, number * total);
        }
        auto& kept = space_.candidates;
        std::erase_if(kept, [&](const Candidate& candidate) { return candidate.value < job_.min_p[row_]; });
        double sum = 0;
        for (const Candidate& candidate : kept) sum += candidate.value;
        const double target = number * sum;
        double reached = 0;
        for (const Candidate& candidate : kept) {
            reached += candidate.value;
            if (reached > target) return candidate.id;
        }
        return kept.back().id;
    }

    // Candidates under top_k and top_p, with their weights. No other weight is needed.
    void keep_largest(const float* values, int64_t k, const Softmax& softmax) {
        auto& found = space_.candidates;
        select_largest(values, job_.vocabulary, k, found);
        float* weights = space_.weights.data();
        for (int64_t i = 0; i < k; ++i) weights[i] = found[i].value;
        exponentials(weights, k, softmax, weights);
        double sum = 0;
        for (int64_t i = 0; i < k; ++i) sum += found[i].value = weights[i];
        if (job_.top_p[row_] < 1) cut(found, job_.top_p[row_] * sum);
    }

    // Candidates under top_p, with their weights; those under min_p when only that is on. False for no filter.
    bool keep_likely(const float* weights, double total) {
        auto& found = space_.candidates;
        int32_t* indices = space_.indices.data();
        if (job_.top_p[row_] < 1) {
            select_nucleus(weights, job_.vocabulary, job_.top_p[row_], total, indices, space_.spare, found);
            return true;
        }
        if (job_.min_p[row_] <= 0) return false;
        found.clear();
        const int64_t count = kernels().at_least(weights, 0, job_.vocabulary, job_.min_p[row_], indices);
        for (int64_t i = 0; i < count; ++i) found.push_back({weights[indices[i]], indices[i]});
        return true;
    }

    static double exponentials(const float* values, int64_t count, const Softmax& softmax, float* weights) {
        return kernels().exponentials(values, count, softmax.maximum, softmax.factor, weights);
    }

    static void cut(std::vector<Candidate>& found, double enough) {
        double reached = 0;
        size_t kept = 0;
        while (kept < found.size() && (kept == 0 || reached < enough)) reached += found[kept++].value;
        found.resize(kept);
    }

    // The first index at which the running sum passes the target; rounding may leave the last one that has any weight.
    static int64_t walk(const float* weights, int64_t count, double target) {
        double reached = 0;
        int64_t last = 0;
        for (int64_t i = 0; i < count; ++i) {
            if (weights[i] > 0) last = i;
            reached += weights[i];
            if (reached > target) return i;
        }
        return last;
    }

    const SamplingJob& job_;
    const int64_t row_;
    Workspace& space_;
    const float* logits_;
    float maximum_ = 0;
    double log_total_ = 0;
};

}  // namespace

void sample(const SamplingJob& job) {
    thread_local std::vector<Workspace> spaces;
    const int workers = static_cast<int>(std::min<int64_t>(threads(), std::max<int64_t>(job.rows, 1)));
    if (spaces.size() < static_cast<size_t>(workers)) spaces.resize(workers);
    for (int worker = 0; worker < workers; ++worker) spaces[worker].reserve(job.vocabulary);
    std::vector<Workspace>& shared = spaces;  // workers must not see their own thread's
    parallel_for(job.rows, workers, [&](int64_t row, int worker) { Row(job, row, shared[worker]).sample(); });
}

}  // namespace freehold
