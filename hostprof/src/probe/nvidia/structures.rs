//! Where the driver's structures have what: by call, size and the driver's version.

use hostprof_common::nvidia::{HEAD, NO_STATUS, Shape, ShapeKey, device};

use super::names;

#[allow(clippy::unreadable_literal, reason = "made by the build")]
pub(super) mod tables {
    //! Made by the build from `data/nvidia`.
    use super::{Structure, device};
    include!(concat!(env!("OUT_DIR"), "/nvidia.rs"));
}

/// The releases whose layouts were compared, first and last.
pub const CHECKED: (&str, &str) = ("515.43.04", "595.45.04");

/// The number of the escape that allocates objects.
pub(super) const ALLOC: u32 = 43;

/// A layout of a structure.
#[derive(Clone, Copy, Debug)]
pub struct Structure {
    /// One of [`device`].
    pub device: u32,
    /// The call.
    pub nr: u32,
    /// Bytes.
    pub size: u32,
    /// The first release that has it; empty where the size alone tells, or where it never changed.
    pub since: &'static str,
    /// The first release that has another; empty as for `since`.
    pub until: &'static str,
    /// Offset of the driver's status.
    pub status: Option<u32>,
    /// Offset of the length that the call is about.
    pub length: Option<u32>,
    /// Offset of that length less one.
    pub limit: Option<u32>,
}

/// A driver's version: `580.159.04`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DriverVersion(Vec<u32>);

impl DriverVersion {
    /// Reads one; `None` where it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Option<Vec<u32>> = text.trim().split('.').map(|part| part.parse().ok()).collect();
        parts.filter(|parts| parts.len() >= 2).map(Self)
    }

    /// Whether its layouts were compared: it lies between the first and last release that were.
    pub fn is_checked(&self) -> bool {
        Self::parse(CHECKED.0).is_some_and(|first| first <= *self)
            && Self::parse(CHECKED.1).is_some_and(|last| *self <= last)
    }
}

impl Structure {
    /// Whether a driver has this layout, as far as can be told. Of an unknown driver, and of one that was not checked,
    /// only what the size of the structure tells is known.
    fn is_of(&self, driver: Option<&DriverVersion>) -> bool {
        let by_size = self.device == device::FRONTEND && self.since.is_empty() && self.until.is_empty();
        let Some(driver) = driver.filter(|driver| driver.is_checked()) else { return by_size };
        let bound = |text: &str| DriverVersion::parse(text);
        bound(self.since).is_none_or(|since| since <= *driver)
            && bound(self.until).is_none_or(|until| *driver < until)
    }
}

/// The layouts of a driver.
pub(super) fn of(driver: Option<&DriverVersion>) -> impl Iterator<Item = &'static Structure> {
    tables::STRUCTURES.iter().filter(move |structure| structure.is_of(driver))
}

/// What the kernel half is to read, of a driver.
pub fn shapes(driver: Option<&DriverVersion>) -> Vec<(ShapeKey, Shape)> {
    of(driver)
        .map(|structure| {
            let sized = structure.device == device::FRONTEND;
            let key = ShapeKey {
                device: structure.device,
                nr: structure.nr,
                size: if sized { structure.size } else { 0 },
            };
            let shape = Shape {
                head: structure.size.min(HEAD as u32),
                status: structure.status.unwrap_or(NO_STATUS),
                allocates: u32::from(sized && structure.nr == ALLOC),
            };
            (key, shape)
        })
        .collect()
}

/// Whether an escape's structure has a size that no layout of any checked release has: the driver is another.
pub fn has_other_layout(name: &str, size_bytes: Option<u32>) -> bool {
    let Some(size) = size_bytes else { return false };
    let mut known = tables::STRUCTURES
        .iter()
        .filter(|structure| structure.device == device::FRONTEND)
        .filter(|structure| names::escape(structure.nr) == Some(name))
        .peekable();
    known.peek().is_some() && known.all(|structure| structure.size != size)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn status(driver: Option<&str>, device: u32, nr: u32, size: u32) -> Option<u32> {
        let driver = driver.and_then(DriverVersion::parse);
        let key = ShapeKey { device, nr, size };
        shapes(driver.as_ref()).into_iter().find(|(known, _)| *known == key).map(|(_, shape)| shape.status)
    }

    #[test]
    fn versions_compare_by_number_and_not_by_letter() {
        let version = |text| DriverVersion::parse(text).unwrap();
        assert!(version("580.65.06") < version("580.159.04") && version("550.40.53") < version("550.163.01"));
        assert!(version("580.159.04").is_checked() && version("565.77").is_checked());
        assert!(!version("600.10").is_checked() && !version("510.47.03").is_checked());
        assert_eq!(DriverVersion::parse("N/A"), None);
    }

    #[test]
    fn a_layout_is_told_by_its_size_and_where_that_is_not_enough_by_the_version() {
        let frontend = |driver, size| status(driver, device::FRONTEND, ALLOC, size);
        assert_eq!(
            (frontend(Some("580.159.04"), 48), frontend(Some("580.159.04"), 32)),
            (Some(40), Some(28))
        );
        assert_eq!((frontend(Some("525.60.13"), 32), frontend(Some("525.60.13"), 40)), (Some(24), Some(36)));
        assert_eq!((frontend(None, 48), frontend(None, 32)), (Some(40), None));
        let uvm = |driver, nr| status(driver, device::UVM, nr, 0);
        assert_eq!((uvm(Some("580.159.04"), 34), uvm(Some("595.45.04"), 34)), (Some(16), Some(8)));
        assert_eq!((uvm(Some("535.104.05"), 33), uvm(Some("580.159.04"), 33)), (Some(1196), Some(9260)));
        // Of what no request tells the size of, an unknown driver leaves nothing certain.
        assert_eq!((uvm(None, 34), uvm(Some("700.1"), 73)), (None, None));
    }

    #[test]
    fn no_two_layouts_of_one_driver_answer_to_the_same_call_and_size() {
        for driver in [None, Some("515.43.04"), Some("530.30.02"), Some("550.40.53"), Some("595.45.04")] {
            let driver = driver.and_then(DriverVersion::parse);
            let shapes = shapes(driver.as_ref());
            let keys: HashSet<ShapeKey> = shapes.iter().map(|(key, _)| *key).collect();
            assert_eq!(keys.len(), shapes.len(), "{driver:?}");
            assert!(shapes.len() < 512, "the kernel half's room");
        }
        for structure in tables::STRUCTURES {
            let within = |at: Option<u32>, bytes| at.is_none_or(|at| at + bytes <= structure.size);
            assert!(within(structure.status, 4) && within(structure.length, 8), "{structure:?}");
            assert!(within(structure.limit, 8), "{structure:?}");
        }
    }

    #[test]
    fn a_size_that_no_release_had_is_another_layout() {
        assert!(has_other_layout("NV_ESC_RM_CONTROL", Some(40)));
        assert!(!has_other_layout("NV_ESC_RM_CONTROL", Some(32)) && !has_other_layout("UVM_FREE", None));
        // Its array has as many entries as the caller likes.
        assert!(!has_other_layout("NV_ESC_CARD_INFO", Some(72)));
    }
}
