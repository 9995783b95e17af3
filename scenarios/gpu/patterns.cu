// Known answers on a GPU: what each pattern asks of the driver is counted by count_ioctl.c beside it.
//   patterns init | alloc N | pinned N | launch N | sync N [blocking]
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cuda_runtime.h>

#define CHECK(call)                                                                     \
    do {                                                                                \
        cudaError_t error = (call);                                                     \
        if (error != cudaSuccess) {                                                     \
            fprintf(stderr, "%s: %s\n", #call, cudaGetErrorString(error));              \
            return 1;                                                                   \
        }                                                                               \
    } while (0)

__global__ void nothing() {}

int main(int argc, char **argv) {
    const char *pattern = argc > 1 ? argv[1] : "init";
    long count = argc > 2 ? atol(argv[2]) : 0;
    if (argc > 3 && !strcmp(argv[3], "blocking")) CHECK(cudaSetDeviceFlags(cudaDeviceScheduleBlockingSync));
    CHECK(cudaFree(nullptr));
    if (!strcmp(pattern, "alloc")) {
        for (long i = 0; i < count; i++) {
            void *memory;
            CHECK(cudaMalloc(&memory, 64 << 20));
            CHECK(cudaFree(memory));
        }
    } else if (!strcmp(pattern, "pinned")) {
        for (long i = 0; i < count; i++) {
            void *memory;
            CHECK(cudaMallocHost(&memory, 4 << 20));
            CHECK(cudaFreeHost(memory));
        }
    } else if (!strcmp(pattern, "launch")) {
        for (long i = 0; i < count; i++) nothing<<<1, 1>>>();
        CHECK(cudaDeviceSynchronize());
    } else if (!strcmp(pattern, "sync")) {
        for (long i = 0; i < count; i++) {
            nothing<<<1, 1>>>();
            CHECK(cudaDeviceSynchronize());
        }
    }
    return 0;
}
