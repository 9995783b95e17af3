//! Names by number.
//!
//! The driver tells its escapes apart by the request's low byte and ignores its type; the calls of unified memory are
//! plain numbers with neither type nor size, and collide with the escapes: the device decides.

use super::structures::tables::{CLASSES, COMMANDS, ESCAPES, STATUSES, UVM, XIDS};

/// The name of an escape, by the low byte of its request; `None` for one that no table has, here and below.
pub fn escape(request: u32) -> Option<&'static str> {
    find(ESCAPES, request & 0xff)
}

/// The name of a unified-memory call.
pub fn uvm(request: u32) -> Option<&'static str> {
    find(UVM, request)
}

/// The name of an RM control's command.
pub fn command(number: u32) -> Option<&'static str> {
    find(COMMANDS, number)
}

/// The name of a class of RM objects.
pub fn class(number: u32) -> Option<&'static str> {
    find(CLASSES, number)
}

/// The name of a status.
pub fn status(number: u32) -> Option<&'static str> {
    find(STATUSES, number)
}

/// The name of an error in the kernel's log.
pub(super) fn xid(number: u32) -> Option<&'static str> {
    find(XIDS, number)
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
    }

    #[test]
    fn commands_classes_and_statuses_have_names() {
        assert_eq!(command(0x2080_1303), Some("NV2080_CTRL_CMD_FB_GET_INFO_V2"));
        assert_eq!((class(0x40), class(0xcbc0)), (Some("NV01_MEMORY_LOCAL_USER"), Some("HOPPER_COMPUTE_A")));
        assert_eq!((status(0), status(0x51)), (Some("NV_OK"), Some("NV_ERR_NO_MEMORY")));
        assert_eq!(xid(79), Some("ROBUST_CHANNEL_GPU_HAS_FALLEN_OFF_THE_BUS"));
        assert_eq!((command(0x2080_a026), class(u32::MAX), status(0x1234_5678)), (None, None, None));
    }

    #[test]
    fn every_table_is_in_order_and_long_enough_to_be_whole() {
        for (names, least) in
            [(ESCAPES, 40), (UVM, 70), (COMMANDS, 1600), (CLASSES, 200), (STATUSES, 140), (XIDS, 100)]
        {
            assert!(names.is_sorted_by(|(a, _), (b, _)| a < b));
            assert!(names.len() >= least, "{} names", names.len());
        }
    }
}
