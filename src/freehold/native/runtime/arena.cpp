#include "runtime/arena.hpp"

#include <utility>

namespace freehold {

std::byte* Arena::take(std::size_t bytes) {
    Piece* best = nullptr;
    for (Piece& piece : pieces_)
        if (!piece.taken && piece.size >= bytes && (best == nullptr || piece.size < best->size)) best = &piece;
    if (best == nullptr) {
        Memory memory = allocate(bytes);
        best = &pieces_.emplace_back(std::move(memory), bytes, false);
    }
    best->taken = true;
    return best->memory.get();
}

void Arena::give_back(const std::byte* memory) {
    for (Piece& piece : pieces_)
        if (piece.memory.get() == memory) piece.taken = false;
}

bool Arena::owns(const void* address) const {
    const auto* byte = static_cast<const std::byte*>(address);
    for (const Piece& piece : pieces_)
        if (byte >= piece.memory.get() && byte < piece.memory.get() + piece.size) return true;
    return false;
}

}  // namespace freehold
