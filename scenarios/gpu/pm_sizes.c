/* Prints how long CUPTI's parameter blocks are: c++ -x c++ pm_sizes.c -I /usr/local/cuda/include -o pm_sizes && ./pm_sizes */
#include <cupti_pmsampling.h>
#include <cupti_profiler_host.h>
#include <cupti_profiler_target.h>
#include <stdio.h>

#define SIZE(name) printf("%-60s %zu\n", #name, (size_t)name##_Params_STRUCT_SIZE)

int main(void)
{
    SIZE(CUpti_Profiler_Initialize);
    SIZE(CUpti_Profiler_Host_Initialize);
    SIZE(CUpti_Profiler_Host_Deinitialize);
    SIZE(CUpti_Profiler_Host_ConfigAddMetrics);
    SIZE(CUpti_Profiler_Host_GetConfigImageSize);
    SIZE(CUpti_Profiler_Host_GetConfigImage);
    SIZE(CUpti_Profiler_Host_GetNumOfPasses);
    SIZE(CUpti_Profiler_Host_EvaluateToGpuValues);
    SIZE(CUpti_PmSampling_GetCounterAvailability);
    SIZE(CUpti_PmSampling_Enable);
    SIZE(CUpti_PmSampling_SetConfig);
    SIZE(CUpti_PmSampling_GetCounterDataSize);
    SIZE(CUpti_PmSampling_CounterDataImage_Initialize);
    SIZE(CUpti_PmSampling_Start);
    SIZE(CUpti_PmSampling_DecodeData);
    SIZE(CUpti_PmSampling_GetCounterDataInfo);
    SIZE(CUpti_PmSampling_CounterData_GetSampleInfo);
    return 0;
}
