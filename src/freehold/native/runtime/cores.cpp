#include "runtime/cores.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <utility>

#if defined(__linux__)
#include <sched.h>
#endif

namespace freehold {
namespace {

#if defined(__linux__)

int read_number(const std::string& path, int otherwise) {
    std::ifstream file(path);
    int value = 0;
    return file >> value ? value : otherwise;
}

// Two hardware threads of one core share (package, core).
int physical_cores() {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return 0;
    std::set<std::pair<int, int>> cores;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (!CPU_ISSET(cpu, &allowed)) continue;
        const std::string folder = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
        const int core = read_number(folder + "core_id", -1 - cpu);  // no topology: count it as a core of its own
        cores.emplace(read_number(folder + "physical_package_id", 0), core);
    }
    return static_cast<int>(cores.size());
}

double quota_of_version_2(const std::string& folder) {
    std::ifstream file("/sys/fs/cgroup" + folder + "/cpu.max");
    std::string quota;
    double period = 0;
    if (!(file >> quota >> period) || quota == "max" || period <= 0) return INFINITY;
    return std::strtod(quota.c_str(), nullptr) / period;
}

double quota_of_version_1(const std::string& folder) {
    const std::string root = "/sys/fs/cgroup/cpu" + folder;
    const int quota = read_number(root + "/cpu.cfs_quota_us", -1);
    const int period = read_number(root + "/cpu.cfs_period_us", 0);
    return quota > 0 && period > 0 ? static_cast<double>(quota) / period : INFINITY;
}

// The tightest limit of the process's control group and of the groups around it, in cores.
double group_limit() {
    std::ifstream file("/proc/self/cgroup");
    std::string line;
    double limit = std::min(quota_of_version_2(""), quota_of_version_1(""));
    while (std::getline(file, line)) {
        const auto first = line.find(':');
        const auto second = line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        for (std::string folder = line.substr(second + 1); folder.size() > 1;
             folder = folder.substr(0, folder.rfind('/'))) {
            if (controllers.empty()) limit = std::min(limit, quota_of_version_2(folder));
            if (controllers.find("cpu") != std::string::npos) limit = std::min(limit, quota_of_version_1(folder));
        }
    }
    return limit;
}

#endif

}  // namespace

int available_cores() {
    int cores = static_cast<int>(std::thread::hardware_concurrency());
#if defined(__linux__)
    if (const int physical = physical_cores(); physical > 0) cores = physical;
    if (const double limit = group_limit(); limit < cores) cores = static_cast<int>(std::ceil(limit));
#endif
    return std::max(cores, 1);
}

}  // namespace freehold
