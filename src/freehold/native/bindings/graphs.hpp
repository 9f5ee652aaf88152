// How a binding makes its call, once everything that Python passed has been checked.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "bindings/arrays.hpp"
#include "runtime/arena.hpp"

namespace freehold {

// The calls that a thread made while they were captured, to be made again with the same arguments: the same addresses,
// whatever these hold by then. The arrays and weights are kept alive with them, but for those of the arena, where
// memory is handed from one call to the next.
class Graph {
public:
    explicit Graph(std::shared_ptr<Arena> arena) : arena_(std::move(arena)) {}
    Graph(const Graph&) = delete;
    Graph& operator=(const Graph&) = delete;

    // The graph that captures what this thread calls, or null.
    static Graph* capturing();

    void begin();
    void end();
    void replay() const;
    size_t calls() const { return calls_.size(); }

    template <typename Call, typename... Kept>
    void add(const Call& call, const Kept&... kept) {
        calls_.emplace_back(call);
        (keep(kept), ...);
    }

private:
    void keep(const Array& array) {
        if (!arena_->owns(array.data())) arrays_.push_back(array);
    }
    void keep(const WritableArray& array) { keep(Array(array.handle())); }
    template <typename AnyArray>
    void keep(const std::optional<AnyArray>& array) {
        if (array) keep(*array);
    }
    template <typename Weight>
    void keep(const Weight& weight) {
        weights_.push_back(nb::find(weight));
    }

    std::shared_ptr<Arena> arena_;
    bool being_captured_ = false;  // guarded by Python's lock, as all of this
    std::vector<std::function<void()>> calls_;
    std::vector<Array> arrays_;
    std::vector<nb::object> weights_;
};

// Makes a call without Python's lock, and has the graph that is being captured, if any, keep it with all that it reads
// and writes.
template <typename Call, typename... Kept>
void perform(const Call& call, const Kept&... kept) {
    if (Graph* graph = Graph::capturing()) graph->add(call, kept...);
    nb::gil_scoped_release release;
    call();
}

}  // namespace freehold
