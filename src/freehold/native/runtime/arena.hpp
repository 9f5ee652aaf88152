// Memory of the activations of graphs.
#pragma once

#include <cstddef>
#include <vector>

#include "runtime/memory.hpp"

namespace freehold {

// Pieces that are handed out again once they have been given back. What a graph's calls write to is taken while they are
// captured, and lies where it lay then whenever they are made again; who holds what when is the same, too, so pieces
// serve one call after another, and one graph after another, as long as only one of them runs.
class Arena {
public:
    Arena() = default;
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;

    // Uninitialised memory from the start of a cache line: the smallest piece that is free and large enough, or a new
    // one. Throws std::bad_alloc.
    std::byte* take(std::size_t bytes);

    // What take() gave.
    void give_back(const std::byte* memory);

    bool owns(const void* address) const;

private:
    struct Piece {
        Memory memory;
        std::size_t size;
        bool taken;
    };
    std::vector<Piece> pieces_;
};

}  // namespace freehold
