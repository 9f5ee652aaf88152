// How many cores this process may use.
#pragma once

namespace freehold {

// Physical cores in the affinity mask, and no more than the control group's share of processor time. At least 1.
int available_cores();

}  // namespace freehold
