#include "runtime/weight.hpp"

#include <algorithm>

namespace freehold {

int64_t Weight::outputs() const {
    int64_t rows = 0;
    for (const Part& part : parts) rows += part.matrix.rows;
    return rows;
}

int64_t Weight::panels() const {
    int64_t count = 0;
    for (const Part& part : parts) count += part.matrix.panels();
    return count;
}

bool Weight::takes_quantised() const {
    return std::any_of(parts.begin(), parts.end(), [](const Part& part) { return is_quantised(part.matrix.format); });
}

bool Weight::takes_floats() const {
    return std::any_of(parts.begin(), parts.end(), [](const Part& part) { return !is_quantised(part.matrix.format); });
}

}  // namespace freehold
