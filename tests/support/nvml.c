/* A stand-in for NVIDIA's libnvidia-ml.so.1: the file in FAKE_NVML says what it answers.

A line is "WHO.WHAT = ANSWER". WHO is "system", a board ("0") or a slice ("0.1"); WHAT is a function
without "nvmlDeviceGet", and an argument if it has one ("ClockInfo.1"). The answer "error N" is
NVML's error N; what is not in the file is not supported. It is read anew at every call.

"children" in a list of processes are those that the calling process has started, without its guard
(`bench.machine.guard`), which uses no GPU. "N watts" is an energy that grows by so many joules per second. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { OK = 0, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, DRIVER_GONE = 9 };
typedef struct { char who[16]; } Device;
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned pid; unsigned long long used; unsigned instance, compute; } Process;

static Device devices[8][9]; /* a board, then its slices */

static Device *device(unsigned board, int part) {
    Device *found = &devices[board][part + 1];
    if (part < 0) sprintf(found->who, "%u", board);
    else sprintf(found->who, "%u.%d", board, part);
    return found;
}

static int look(const char *who, const char *what, char *answer) {
    char line[512], wanted[64];
    FILE *file = fopen(getenv("FAKE_NVML") ? getenv("FAKE_NVML") : "", "r");
    int code = NOT_SUPPORTED;
    if (!file) return DRIVER_GONE;
    int length = sprintf(wanted, "%s.%s = ", who, what);
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, wanted, length)) continue;
        line[strcspn(line, "\n")] = 0;
        code = sscanf(line + length, "error %d", &code) == 1 ? code : OK;
        strcpy(answer, line + length);
    }
    fclose(file);
    return code;
}

static int text(const char *who, const char *what, char *out, unsigned size) {
    char answer[512];
    int code = look(who, what, answer);
    if (code == OK) snprintf(out, size, "%s", answer);
    return code;
}

static int number(const char *who, const char *what, unsigned long long *out) {
    char answer[512];
    int code = look(who, what, answer);
    struct timespec now;
    if (code != OK) return code;
    *out = strtoull(answer, NULL, 10);
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (strstr(answer, " watts")) *out *= now.tv_sec * 1000 + now.tv_nsec / 1000000; /* mJ */
    return OK;
}

static int pair(const char *who, const char *what, unsigned *first, unsigned *second) {
    char answer[512];
    int code = look(who, what, answer);
    if (code == OK) sscanf(answer, "%u %u", first, second);
    return code;
}

static int small(const char *who, const char *what, int argument, unsigned *out) {
    char name[64];
    unsigned long long value;
    if (argument < 0) strcpy(name, what);
    else sprintf(name, "%s.%d", what, argument);
    int code = number(who, name, &value);
    if (code == OK) *out = (unsigned)value;
    return code;
}

static int exists(const char *who) {
    char answer[512];
    return look(who, "Handle", answer);
}

static void add(Process *list, unsigned room, unsigned *count, unsigned pid,
                unsigned long long used) {
    if (*count < room) list[*count] = (Process){pid, used, -1u, -1u};
    ++*count;
}

static unsigned parent_of(unsigned pid) {
    char path[64], state;
    unsigned parent = 0;
    snprintf(path, sizeof path, "/proc/%u/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    if (fscanf(file, "%*d (%*[^)]) %c %u", &state, &parent) != 2) parent = 0;
    fclose(file);
    return parent;
}

static int is_guard(unsigned pid) {
    char path[64], text[4096];
    size_t size = 0;
    snprintf(path, sizeof path, "/proc/%u/cmdline", pid);
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    for (size_t i = 0; i < size; i++) if (!text[i]) text[i] = ' ';
    text[size] = 0;
    return strstr(text, "/machine/guard.py") != NULL;
}

static void add_children(Process *list, unsigned room, unsigned *count, unsigned long long used) {
    DIR *folder = opendir("/proc");
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        unsigned pid = (unsigned)atoi(entry->d_name);
        if (pid && parent_of(pid) == (unsigned)getpid() && !is_guard(pid))
            add(list, room, count, pid, used);
    }
    if (folder) closedir(folder);
}

static int processes(const char *who, const char *what, unsigned *room, Process *list) {
    char answer[512], word[64];
    int code = look(who, what, answer);
    unsigned count = 0;
    if (code != OK) return code;
    for (char *part = strtok(answer, " "); part; part = strtok(NULL, " ")) {
        unsigned long long used = -1ull; /* NVML_VALUE_NOT_AVAILABLE */
        unsigned pid;
        if (sscanf(part, "%u:%llu", &pid, &used) >= 1) add(list, *room, &count, pid, used);
        else if (sscanf(part, "%63[a-z]:%llu", word, &used) >= 1)
            add_children(list, *room, &count, used);
    }
    code = count > *room ? TOO_SMALL : OK;
    *room = count;
    return code;
}

int nvmlInitWithFlags(unsigned flags) {
    unsigned count;
    (void)flags;
    return small("system", "Count", -1, &count) == DRIVER_GONE ? DRIVER_GONE : OK;
}
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { return code == 999 ? "Unknown Error" : "an error"; }
int nvmlDeviceGetCount_v2(unsigned *out) { return small("system", "Count", -1, out); }
int nvmlSystemGetDriverVersion(char *out, unsigned size) {
    return text("system", "DriverVersion", out, size);
}
int nvmlSystemGetCudaDriverVersion_v2(int *out) {
    return small("system", "CudaDriverVersion", -1, (unsigned *)out);
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **out) {
    *out = device(index, -1);
    return exists((*out)->who);
}
int nvmlDeviceGetHandleByUUID(const char *uuid, Device **out) {
    char found[96];
    for (unsigned board = 0; board < 8; ++board)
        for (int part = -1; part < 8; ++part) {
            *out = device(board, part);
            if (text((*out)->who, "UUID", found, sizeof found) == OK && !strcmp(found, uuid))
                return exists((*out)->who);
        }
    return NOT_FOUND;
}
int nvmlDeviceGetMigDeviceHandleByIndex(Device *board, unsigned index, Device **out) {
    *out = device((unsigned)atoi(board->who), (int)index);
    return exists((*out)->who) == OK ? OK : NOT_FOUND;
}
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(Device *part, Device **out) {
    *out = device((unsigned)atoi(part->who), -1);
    return strchr(part->who, '.') ? OK : INVALID;
}
int nvmlDeviceGetName(Device *d, char *out, unsigned size) { return text(d->who, "Name", out, size); }
int nvmlDeviceGetUUID(Device *d, char *out, unsigned size) { return text(d->who, "UUID", out, size); }
int nvmlDeviceGetMemoryInfo(Device *d, Memory *out) {
    char answer[512];
    int code = look(d->who, "MemoryInfo", answer);
    if (code != OK) return code;
    sscanf(answer, "%llu %llu", &out->total, &out->used);
    out->free = out->total - out->used;
    return OK;
}
int nvmlDeviceGetMigMode(Device *d, unsigned *now, unsigned *next) {
    return pair(d->who, "MigMode", now, next);
}
int nvmlDeviceGetEccMode(Device *d, unsigned *now, unsigned *next) {
    return pair(d->who, "EccMode", now, next);
}
int nvmlDeviceGetCudaComputeCapability(Device *d, int *major, int *minor) {
    return pair(d->who, "CudaComputeCapability", (unsigned *)major, (unsigned *)minor);
}
int nvmlDeviceGetRemappedRows(Device *d, unsigned *corrected, unsigned *uncorrected,
                              unsigned *pending, unsigned *failed) {
    *pending = *failed = 0;
    return pair(d->who, "RemappedRows", corrected, uncorrected);
}
int nvmlDeviceGetClockInfo(Device *d, int kind, unsigned *out) {
    return small(d->who, "ClockInfo", kind, out);
}
int nvmlDeviceGetMaxClockInfo(Device *d, int kind, unsigned *out) {
    return small(d->who, "MaxClockInfo", kind, out);
}
int nvmlDeviceGetNvLinkState(Device *d, unsigned link, unsigned *out) {
    return small(d->who, "NvLinkState", (int)link, out);
}
int nvmlDeviceGetTemperature(Device *d, int sensor, unsigned *out) {
    return small(d->who, "Temperature", sensor, out);
}
int nvmlDeviceGetTotalEccErrors(Device *d, int kind, int since, unsigned long long *out) {
    unsigned value;
    int code = small(d->who, since ? "EccErrorsOfLife" : "TotalEccErrors", kind, &value);
    *out = value;
    return code;
}
int nvmlDeviceGetCpuAffinity(Device *d, unsigned words, unsigned long *out) {
    char answer[512], *at = answer;
    int code = look(d->who, "CpuAffinity", answer);
    for (unsigned word = 0; code == OK && word < words; ++word) out[word] = strtoul(at, &at, 16);
    return code;
}
int nvmlDeviceGetTotalEnergyConsumption(Device *d, unsigned long long *out) {
    return number(d->who, "TotalEnergyConsumption", out);
}
#define SMALL(name) \
    int nvmlDeviceGet##name(Device *d, unsigned *out) { return small(d->who, #name, -1, out); }
SMALL(MaxMigDeviceCount)
SMALL(EnforcedPowerLimit)
SMALL(PersistenceMode)
SMALL(ComputeMode)
SMALL(CurrPcieLinkGeneration)
SMALL(CurrPcieLinkWidth)
int nvmlDeviceGetCurrentClocksThrottleReasons(Device *d, unsigned long long *out) {
    return number(d->who, "ThrottleReasons", out);
}
#ifndef OLD /* what drivers before 535 do not have */
int nvmlDeviceGetCurrentClocksEventReasons(Device *d, unsigned long long *out) {
    return number(d->who, "ThrottleReasons", out);
}
int nvmlDeviceGetComputeRunningProcesses_v3(Device *d, unsigned *count, Process *out) {
    return processes(d->who, "Processes", count, out);
}
int nvmlDeviceGetMPSComputeRunningProcesses_v3(Device *d, unsigned *count, Process *out) {
    return processes(d->who, "MPSProcesses", count, out);
}
#endif
