/* A stand-in for NVIDIA's libnvidia-ml.so.1: the calls Headroom makes, answered from a script.
 *
 * The file named by NVML_STANDIN is read at every call, so that a test changes the machine while
 * the program runs. standin.py writes it; its lines are described there. Signatures and structures
 * follow NVIDIA's NVML API reference (nvml.h), as the Python package nvidia-ml-py 13 calls them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GPUS 8
#define PROCESSES 64
#define TEXT 512
#define ERRORS 32
#define MIB 1048576ULL
#define NOT_AVAILABLE (~0ULL)

enum { OK = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7,
       DRIVER_NOT_LOADED = 9 };

typedef struct { char key[40]; int code; } Error;
typedef struct { unsigned pid; int graphics; unsigned long long used; char name[TEXT]; } Process;
typedef struct {
    char name[TEXT], uuid[TEXT];
    unsigned long long total, used;
    int utilisation, temperature, power, power_limit, width, width_max, major, minor, cores, display;
    int sliced; /* -1: the card has no such mode */
    int processes, errors;
    Process process[PROCESSES];
    Error error[ERRORS];
} Gpu;
typedef struct {
    char driver[TEXT];
    int generation, gpus, errors;
    Error error[ERRORS];
    Gpu gpu[GPUS];
} Machine;

typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } Memory2;
typedef struct { unsigned gpu, memory; } Rates;
typedef struct { unsigned pid; unsigned long long used; unsigned instance, compute; } Info;

static int initialised = 0; /* like NVML, nvmlInit counts */
static int generation = 0;  /* of the driver at the last nvmlInit */

/* Names travel as hexadecimal digits, so that they can hold any byte. */
static void unhex(const char *digits, char *text)
{
    unsigned byte, n = 0;
    while (n < TEXT - 1 && sscanf(digits + 2 * n, "%2x", &byte) == 1)
        text[n++] = (char)byte;
    text[n] = 0;
}

static void gpu_line(Gpu *gpu, const char *key, const char *rest)
{
    char word[2 * TEXT];
    if (!strcmp(key, "name")) unhex(rest, gpu->name);
    else if (!strcmp(key, "uuid")) unhex(rest, gpu->uuid);
    else if (!strcmp(key, "memory")) {
        sscanf(rest, "%llu %llu", &gpu->total, &gpu->used);
        gpu->total *= MIB;
        gpu->used *= MIB;
    }
    else if (!strcmp(key, "utilisation")) gpu->utilisation = atoi(rest);
    else if (!strcmp(key, "temperature")) gpu->temperature = atoi(rest);
    else if (!strcmp(key, "power")) sscanf(rest, "%d %d", &gpu->power, &gpu->power_limit);
    else if (!strcmp(key, "pcie")) sscanf(rest, "%d %d", &gpu->width, &gpu->width_max);
    else if (!strcmp(key, "cores")) sscanf(rest, "%d", &gpu->cores);
    else if (!strcmp(key, "capability")) sscanf(rest, "%d %d", &gpu->major, &gpu->minor);
    else if (!strcmp(key, "display")) gpu->display = atoi(rest);
    else if (!strcmp(key, "mig")) gpu->sliced = atoi(rest);
    else if (!strcmp(key, "process") && gpu->processes < PROCESSES) {
        Process *process = &gpu->process[gpu->processes++];
        long long mib;
        word[0] = 0;
        sscanf(rest, "%d %u %lld %1023s", &process->graphics, &process->pid, &mib, word);
        process->used = mib < 0 ? NOT_AVAILABLE : (unsigned long long)mib * MIB;
        unhex(word, process->name);
    }
}

/* 0 if the script can't be read: to the caller that is a driver that isn't loaded. */
static int machine(Machine *m)
{
    const char *path = getenv("NVML_STANDIN");
    FILE *script = path ? fopen(path, "r") : NULL;
    char line[4 * TEXT], key[40];
    Gpu *gpu = NULL;
    int begin;
    memset(m, 0, sizeof *m);
    if (!script)
        return 0;
    while (fgets(line, sizeof line, script)) {
        begin = 0;
        if (sscanf(line, "%39s %n", key, &begin) != 1)
            continue;
        if (!strcmp(key, "gpu") && m->gpus < GPUS) {
            gpu = &m->gpu[m->gpus++];
            gpu->sliced = -1;
        }
        else if (!strcmp(key, "error")) {
            int *count = gpu ? &gpu->errors : &m->errors;
            Error *error = (gpu ? gpu->error : m->error) + *count;
            if (*count < ERRORS && sscanf(line + begin, "%39s %d", error->key, &error->code) == 2)
                ++*count;
        }
        else if (!strcmp(key, "driver")) unhex(line + begin, m->driver);
        else if (!strcmp(key, "generation")) m->generation = atoi(line + begin);
        else if (gpu) gpu_line(gpu, key, line + begin);
    }
    fclose(script);
    return 1;
}

static int scripted(const Error *errors, int count, const char *key)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(errors[i].key, key))
            return errors[i].code;
    return OK;
}

/* What every call but init does first. */
static int enter(Machine *m, const char *key)
{
    if (!initialised)
        return UNINITIALIZED;
    if (!machine(m))
        return DRIVER_NOT_LOADED;
    if (m->generation != generation) /* the driver was reloaded since nvmlInit */
        return UNINITIALIZED;
    return scripted(m->error, m->errors, key);
}

/* A handle is the GPU's number plus one. */
static int device(Machine *m, void *handle, const char *key, Gpu **gpu)
{
    size_t number = (size_t)handle;
    int code = enter(m, key);
    if (code)
        return code;
    if (number < 1 || number > (size_t)m->gpus)
        return INVALID_ARGUMENT;
    *gpu = &m->gpu[number - 1];
    return scripted((*gpu)->error, (*gpu)->errors, key);
}

static int text(char *out, unsigned room, const char *answer)
{
    if (strlen(answer) + 1 > room)
        return INSUFFICIENT_SIZE;
    strcpy(out, answer);
    return OK;
}

int nvmlInitWithFlags(unsigned flags)
{
    Machine m;
    int code;
    (void)flags;
    if (!machine(&m))
        return DRIVER_NOT_LOADED;
    code = scripted(m.error, m.errors, "init");
    if (!code) {
        initialised++;
        generation = m.generation;
    }
    return code;
}

int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

int nvmlShutdown(void)
{
    if (!initialised)
        return UNINITIALIZED;
    initialised--;
    return OK;
}

const char *nvmlErrorString(int code)
{
    return code == 15 ? "GPU is lost" : "An error of the stand-in";
}

int nvmlSystemGetDriverVersion(char *out, unsigned room)
{
    Machine m;
    int code = enter(&m, "driver");
    return code ? code : text(out, room, m.driver);
}

int nvmlSystemGetProcessName(unsigned pid, char *out, unsigned room)
{
    Machine m;
    int code = enter(&m, "process_name");
    for (int g = 0; !code && g < m.gpus; g++)
        for (int p = 0; p < m.gpu[g].processes; p++)
            if (m.gpu[g].process[p].pid == pid && m.gpu[g].process[p].name[0])
                return text(out, room, m.gpu[g].process[p].name);
    return code ? code : NOT_FOUND;
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
    Machine m;
    int code = enter(&m, "count");
    if (!code)
        *count = (unsigned)m.gpus;
    return code;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle)
{
    Machine m;
    Gpu *gpu;
    *handle = (void *)((size_t)index + 1);
    return device(&m, *handle, "handle", &gpu);
}

int nvmlDeviceGetName(void *handle, char *out, unsigned room)
{
    Machine m;
    Gpu *gpu;
    int code = device(&m, handle, "name", &gpu);
    return code ? code : text(out, room, gpu->name);
}

int nvmlDeviceGetUUID(void *handle, char *out, unsigned room)
{
    Machine m;
    Gpu *gpu;
    int code = device(&m, handle, "uuid", &gpu);
    return code ? code : text(out, room, gpu->uuid);
}

int nvmlDeviceGetMemoryInfo(void *handle, Memory *memory)
{
    Machine m;
    Gpu *gpu;
    int code = device(&m, handle, "memory", &gpu);
    if (!code) {
        memory->total = gpu->total;
        memory->used = gpu->used;
        memory->free = gpu->total - gpu->used;
    }
    return code;
}

int nvmlDeviceGetMemoryInfo_v2(void *handle, Memory2 *memory)
{
    Memory plain;
    int code = nvmlDeviceGetMemoryInfo(handle, &plain);
    if (!code) {
        memory->total = plain.total;
        memory->reserved = 0;
        memory->used = plain.used;
        memory->free = plain.free;
    }
    return code;
}

int nvmlDeviceGetUtilizationRates(void *handle, Rates *rates)
{
    Machine m;
    Gpu *gpu;
    int code = device(&m, handle, "utilisation", &gpu);
    if (!code) {
        rates->gpu = (unsigned)gpu->utilisation;
        rates->memory = 0;
    }
    return code;
}

int nvmlDeviceGetCudaComputeCapability(void *handle, int *major, int *minor)
{
    Machine m;
    Gpu *gpu;
    int code = device(&m, handle, "capability", &gpu);
    if (!code) {
        *major = gpu->major;
        *minor = gpu->minor;
    }
    return code;
}

int nvmlDeviceGetNumGpuCores(void *handle, unsigned *cores)
{
    Machine m;
    Gpu *gpu;
    int code = device(&m, handle, "cores", &gpu);
    if (!code) *cores = (unsigned)gpu->cores;
    return code;
}

int nvmlDeviceGetMigMode(void *handle, unsigned *now, unsigned *pending)
{
    Machine m;
    Gpu *gpu;
    int code = device(&m, handle, "mig", &gpu);
    if (code || gpu->sliced < 0)
        return code ? code : NOT_SUPPORTED;
    *now = *pending = (unsigned)gpu->sliced;
    return OK;
}

int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned *out)
{
    Machine m;
    Gpu *gpu;
    int code = device(&m, handle, "temperature", &gpu);
    (void)sensor;
    if (!code)
        *out = (unsigned)gpu->temperature;
    return code;
}

/* The calls that answer with one number. */
#define NUMBER(function, key, field)                                                               \
    int function(void *handle, unsigned *out)                                                      \
    {                                                                                              \
        Machine m;                                                                                 \
        Gpu *gpu;                                                                                  \
        int code = device(&m, handle, key, &gpu);                                                  \
        if (!code)                                                                                 \
            *out = (unsigned)gpu->field;                                                           \
        return code;                                                                               \
    }

NUMBER(nvmlDeviceGetPowerUsage, "power", power)
NUMBER(nvmlDeviceGetEnforcedPowerLimit, "power_limit", power_limit)
NUMBER(nvmlDeviceGetPowerManagementLimit, "power_limit", power_limit)
NUMBER(nvmlDeviceGetCurrPcieLinkWidth, "pcie_width", width)
NUMBER(nvmlDeviceGetMaxPcieLinkWidth, "pcie_width_max", width_max)
NUMBER(nvmlDeviceGetDisplayActive, "display", display)
NUMBER(nvmlDeviceGetDisplayMode, "display", display)

/* As NVML does: too little room says how much is needed. */
static int list(void *handle, unsigned *count, Info *infos, int graphics)
{
    Machine m;
    Gpu *gpu;
    unsigned needed = 0, room = *count;
    int code = device(&m, handle, "processes", &gpu);
    if (code)
        return code;
    for (int p = 0; p < gpu->processes; p++) {
        const Process *process = &gpu->process[p];
        if (process->graphics != graphics)
            continue;
        if (infos && needed < room) {
            infos[needed].pid = process->pid;
            infos[needed].used = process->used;
            infos[needed].instance = infos[needed].compute = ~0U;
        }
        needed++;
    }
    *count = needed;
    return needed > room ? INSUFFICIENT_SIZE : OK;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *count, Info *infos)
{
    return list(handle, count, infos, 0);
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(void *handle, unsigned *count, Info *infos)
{
    return list(handle, count, infos, 1);
}
