#include "runtime/weight.hpp"

namespace freehold {

int64_t Weight::outputs() const {
    int64_t rows = 0;
    for (const Part& part : parts) rows += part.matrix.rows;
    return rows;
}

}  // namespace freehold
