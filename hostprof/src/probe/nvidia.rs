//! The names of the NVIDIA driver's ioctls, by number.
//!
//! From `nv_escape.h`, `nv-ioctl-numbers.h` and `uvm_ioctl.h` of
//! <https://github.com/NVIDIA/open-gpu-kernel-modules/tree/595.45.04>, with the numbers that earlier releases
//! since 515 had. The driver tells its escapes apart by the request's low byte and ignores its type; those of
//! unified memory are plain numbers with neither type nor size, and collide with the escapes.

/// Escapes of `/dev/nvidiactl` and `/dev/nvidiaN`.
const ESCAPES: &[(u32, &str)] = &[
    (39, "NV_ESC_RM_ALLOC_MEMORY"),
    (40, "NV_ESC_RM_ALLOC_OBJECT"),
    (41, "NV_ESC_RM_FREE"),
    (42, "NV_ESC_RM_CONTROL"),
    (43, "NV_ESC_RM_ALLOC"),
    (50, "NV_ESC_RM_CONFIG_GET"),
    (51, "NV_ESC_RM_CONFIG_SET"),
    (52, "NV_ESC_RM_DUP_OBJECT"),
    (53, "NV_ESC_RM_SHARE"),
    (55, "NV_ESC_RM_CONFIG_GET_EX"),
    (56, "NV_ESC_RM_CONFIG_SET_EX"),
    (57, "NV_ESC_RM_I2C_ACCESS"),
    (65, "NV_ESC_RM_IDLE_CHANNELS"),
    (74, "NV_ESC_RM_VID_HEAP_CONTROL"),
    (77, "NV_ESC_RM_ACCESS_REGISTRY"),
    (78, "NV_ESC_RM_MAP_MEMORY"),
    (79, "NV_ESC_RM_UNMAP_MEMORY"),
    (82, "NV_ESC_RM_GET_EVENT_DATA"),
    (84, "NV_ESC_RM_ALLOC_CONTEXT_DMA2"),
    (86, "NV_ESC_RM_ADD_VBLANK_CALLBACK"),
    (87, "NV_ESC_RM_MAP_MEMORY_DMA"),
    (88, "NV_ESC_RM_UNMAP_MEMORY_DMA"),
    (89, "NV_ESC_RM_BIND_CONTEXT_DMA"),
    (92, "NV_ESC_RM_EXPORT_OBJECT_TO_FD"),
    (93, "NV_ESC_RM_IMPORT_OBJECT_FROM_FD"),
    (94, "NV_ESC_RM_UPDATE_DEVICE_MAPPING_INFO"),
    (95, "NV_ESC_RM_NVLOG_CTRL"),
    (200, "NV_ESC_CARD_INFO"),
    (201, "NV_ESC_REGISTER_FD"),
    (206, "NV_ESC_ALLOC_OS_EVENT"),
    (207, "NV_ESC_FREE_OS_EVENT"),
    (209, "NV_ESC_STATUS_CODE"),
    (210, "NV_ESC_CHECK_VERSION_STR"),
    (211, "NV_ESC_IOCTL_XFER_CMD"),
    (212, "NV_ESC_ATTACH_GPUS_TO_FD"),
    (213, "NV_ESC_QUERY_DEVICE_INTR"),
    (214, "NV_ESC_SYS_PARAMS"),
    (215, "NV_ESC_NUMA_INFO"),
    (216, "NV_ESC_SET_NUMA_STATUS"),
    (217, "NV_ESC_EXPORT_TO_DMABUF_FD"),
    (218, "NV_ESC_WAIT_OPEN_COMPLETE"),
];

/// Calls of `/dev/nvidia-uvm`.
const UVM: &[(u32, &str)] = &[
    (1, "UVM_RESERVE_VA"),
    (2, "UVM_RELEASE_VA"),
    (3, "UVM_REGION_COMMIT"),
    (4, "UVM_REGION_DECOMMIT"),
    (5, "UVM_REGION_SET_STREAM"),
    (6, "UVM_SET_STREAM_RUNNING"),
    (7, "UVM_SET_STREAM_STOPPED"),
    (9, "UVM_RUN_TEST"),
    (10, "UVM_ADD_SESSION"),
    (11, "UVM_REMOVE_SESSION"),
    (12, "UVM_ENABLE_COUNTERS"),
    (13, "UVM_MAP_COUNTER"),
    (14, "UVM_CREATE_EVENT_QUEUE"),
    (15, "UVM_REMOVE_EVENT_QUEUE"),
    (16, "UVM_MAP_EVENT_QUEUE"),
    (17, "UVM_EVENT_CTRL"),
    (18, "UVM_REGISTER_MPS_SERVER"),
    (19, "UVM_REGISTER_MPS_CLIENT"),
    (20, "UVM_GET_GPU_UUID_TABLE"),
    (21, "UVM_REGION_SET_BACKING"),
    (22, "UVM_REGION_UNSET_BACKING"),
    (23, "UVM_CREATE_RANGE_GROUP"),
    (24, "UVM_DESTROY_RANGE_GROUP"),
    (25, "UVM_REGISTER_GPU_VASPACE"),
    (26, "UVM_UNREGISTER_GPU_VASPACE"),
    (27, "UVM_REGISTER_CHANNEL"),
    (28, "UVM_UNREGISTER_CHANNEL"),
    (29, "UVM_ENABLE_PEER_ACCESS"),
    (30, "UVM_DISABLE_PEER_ACCESS"),
    (31, "UVM_SET_RANGE_GROUP"),
    (33, "UVM_MAP_EXTERNAL_ALLOCATION"),
    (34, "UVM_FREE"),
    (35, "UVM_MEM_MAP"),
    (36, "UVM_DEBUG_ACCESS_MEMORY"),
    (37, "UVM_REGISTER_GPU"),
    (38, "UVM_UNREGISTER_GPU"),
    (39, "UVM_PAGEABLE_MEM_ACCESS"),
    (40, "UVM_PREVENT_MIGRATION_RANGE_GROUPS"),
    (41, "UVM_ALLOW_MIGRATION_RANGE_GROUPS"),
    (42, "UVM_SET_PREFERRED_LOCATION"),
    (43, "UVM_UNSET_PREFERRED_LOCATION"),
    (44, "UVM_ENABLE_READ_DUPLICATION"),
    (45, "UVM_DISABLE_READ_DUPLICATION"),
    (46, "UVM_SET_ACCESSED_BY"),
    (47, "UVM_UNSET_ACCESSED_BY"),
    (51, "UVM_MIGRATE"),
    (53, "UVM_MIGRATE_RANGE_GROUP"),
    (54, "UVM_ENABLE_SYSTEM_WIDE_ATOMICS"),
    (55, "UVM_DISABLE_SYSTEM_WIDE_ATOMICS"),
    (56, "UVM_TOOLS_INIT_EVENT_TRACKER"),
    (57, "UVM_TOOLS_SET_NOTIFICATION_THRESHOLD"),
    (58, "UVM_TOOLS_EVENT_QUEUE_ENABLE_EVENTS"),
    (59, "UVM_TOOLS_EVENT_QUEUE_DISABLE_EVENTS"),
    (60, "UVM_TOOLS_ENABLE_COUNTERS"),
    (61, "UVM_TOOLS_DISABLE_COUNTERS"),
    (62, "UVM_TOOLS_READ_PROCESS_MEMORY"),
    (63, "UVM_TOOLS_WRITE_PROCESS_MEMORY"),
    (64, "UVM_TOOLS_GET_PROCESSOR_UUID_TABLE"),
    (65, "UVM_MAP_DYNAMIC_PARALLELISM_REGION"),
    (66, "UVM_UNMAP_EXTERNAL"),
    (67, "UVM_TOOLS_FLUSH_EVENTS"),
    (68, "UVM_ALLOC_SEMAPHORE_POOL"),
    (69, "UVM_CLEAN_UP_ZOMBIE_RESOURCES"),
    (70, "UVM_PAGEABLE_MEM_ACCESS_ON_GPU"),
    (71, "UVM_POPULATE_PAGEABLE"),
    (72, "UVM_VALIDATE_VA_RANGE"),
    (73, "UVM_CREATE_EXTERNAL_RANGE"),
    (74, "UVM_MAP_EXTERNAL_SPARSE"),
    (75, "UVM_MM_INITIALIZE"),
    (76, "UVM_TOOLS_INIT_EVENT_TRACKER_V2"),
    (77, "UVM_TOOLS_GET_PROCESSOR_UUID_TABLE_V2"),
    (78, "UVM_ALLOC_DEVICE_P2P"),
    (79, "UVM_CLEAR_ALL_ACCESS_COUNTERS"),
    (80, "UVM_DISCARD"),
    (2047, "UVM_IS_8_SUPPORTED"),
    (0x3000_0001, "UVM_INITIALIZE"),
    (0x3000_0002, "UVM_DEINITIALIZE"),
];

/// The name of an escape; `None` for one this list does not know.
pub fn escape(request: u32) -> Option<&'static str> {
    find(ESCAPES, request & 0xff)
}

/// The name of a unified-memory call; `None` for one this list does not know.
pub fn uvm(request: u32) -> Option<&'static str> {
    find(UVM, request)
}

fn find(names: &[(u32, &'static str)], number: u32) -> Option<&'static str> {
    names.binary_search_by_key(&number, |&(known, _)| known).ok().map(|at| names[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_decides_between_two_meanings_of_a_number() {
        assert_eq!(escape(0xc020_462a), Some("NV_ESC_RM_CONTROL"));
        assert_eq!((escape(39), uvm(39)), (Some("NV_ESC_RM_ALLOC_MEMORY"), Some("UVM_PAGEABLE_MEM_ACCESS")));
        assert_eq!(uvm(0x3000_0001), Some("UVM_INITIALIZE"));
        assert_eq!(escape(1), None);
        for names in [ESCAPES, UVM] {
            assert!(names.is_sorted_by_key(|(number, _)| *number));
        }
    }
}
