//! Where this machine has its cgroups: which version, which controllers in which hierarchy, mounted where.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::Name;

/// Stands for the one hierarchy of version 2.
pub const UNIFIED: &str = "unified";

/// The controllers of version 1 that are sampled.
const V1_CONTROLLERS: [&str; 4] = ["cpu", "cpuacct", "memory", "blkio"];

/// The controllers of version 2 that are sampled.
const V2_CONTROLLERS: [&str; 3] = ["cpu", "memory", "io"];

/// A mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    /// The cgroup at the mount point.
    root: String,
    point: PathBuf,
}

/// The hierarchies of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    v2: Option<Mount>,
    /// The controllers that version 2 has at its root.
    v2_controllers: Vec<String>,
    v1: Vec<(&'static str, Mount)>,
}

impl Layout {
    /// This machine's.
    pub fn read() -> Self {
        Self::read_under(Path::new("/"))
    }

    /// That of a machine whose files lie under a folder.
    pub fn read_under(root: &Path) -> Self {
        let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).unwrap_or_default();
        let mut layout = Self::parse(&mounts, "");
        if let Some(mount) = &layout.v2 {
            let point = root.join(mount.point.strip_prefix("/").unwrap_or(&mount.point));
            let controllers = fs::read_to_string(point.join("cgroup.controllers")).unwrap_or_default();
            layout.v2_controllers = controllers.split_whitespace().map(str::to_owned).collect();
        }
        layout
    }

    /// From `/proc/self/mountinfo` and the controllers of version 2.
    pub fn parse(mounts: &str, v2_controllers: &str) -> Self {
        let mut layout = Self {
            v2_controllers: v2_controllers.split_whitespace().map(str::to_owned).collect(),
            ..Self::default()
        };
        for line in mounts.lines() {
            let Some((place, kind)) = line.split_once(" - ") else { continue };
            let mut place = place.split(' ').skip(3);
            let mut kind = kind.split(' ');
            let (Some(root), Some(point)) = (place.next(), place.next()) else { continue };
            let mount = Mount { root: unescape(root), point: unescape(point).into() };
            layout.hide(&mount.point);
            match (kind.next(), kind.nth(1)) {
                (Some("cgroup2"), _) => {
                    layout.v2.get_or_insert(mount);
                }
                (Some("cgroup"), Some(options)) => {
                    for controller in V1_CONTROLLERS {
                        let known = layout.v1.iter().any(|(name, _)| *name == controller);
                        if !known && options.split(',').any(|option| option == controller) {
                            layout.v1.push((controller, mount.clone()));
                        }
                    }
                }
                _ => {}
            }
        }
        layout
    }

    /// A mount hides what was mounted before at its point and below.
    fn hide(&mut self, point: &Path) {
        self.v2.take_if(|mount| mount.point.starts_with(point));
        self.v1.retain(|(_, mount)| !mount.point.starts_with(point));
    }

    /// The cgroups that a text of `/proc/PID/cgroup` names, and those above them but the root, each with a
    /// controller it has and its folder for that.
    pub fn cgroups(&self, membership: &str) -> Vec<(Name, &'static str, PathBuf)> {
        let mut found = Vec::new();
        for line in membership.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
            let mut add = |version, controller, mount: &Mount| {
                for path in with_those_above(path) {
                    found.extend(
                        folder(mount, path).map(|folder| ((version, path.to_owned()), controller, folder)),
                    );
                }
            };
            if controllers.is_empty() {
                self.v2.iter().for_each(|mount| add(2, UNIFIED, mount));
            }
            for (controller, mount) in &self.v1 {
                if controllers.split(',').any(|name| name == *controller) {
                    add(1, controller, mount);
                }
            }
        }
        found
    }

    /// For people: which controllers are where.
    pub fn describe(&self) -> String {
        let v1: Vec<&str> = self.v1.iter().map(|(controller, _)| *controller).collect();
        let v2: Vec<&str> = V2_CONTROLLERS
            .into_iter()
            .filter(|name| self.v2_controllers.iter().any(|had| had == name))
            .collect();
        match (v1.is_empty(), v2.is_empty()) {
            (true, true) => "no cgroup hierarchy with a cpu, memory or io controller is mounted".to_owned(),
            (true, false) => format!("v2: {}", v2.join(" ")),
            (false, true) if self.v2.is_some() => {
                format!("v1: {} (v2 is mounted, and has none of these)", v1.join(" "))
            }
            (false, true) => format!("v1: {}", v1.join(" ")),
            (false, false) => format!("v1: {}; v2: {}", v1.join(" "), v2.join(" ")),
        }
    }

    /// Whether there is anything to sample.
    pub fn is_empty(&self) -> bool {
        self.v1.is_empty() && self.v2_controllers.is_empty()
    }

    /// What is missing for it, if something is.
    pub fn note(&self) -> Option<String> {
        let has = |name: &str| self.v2_controllers.iter().any(|had| had == name);
        if V2_CONTROLLERS.into_iter().all(has) {
            return None;
        }
        let (lacks, remedy) = if self.v1.is_empty() {
            ("columns of missing controllers", "enable them in cgroup.subtree_control")
        } else {
            (
                "pressure, reclaim and most events",
                "for version 2 boot with systemd.unified_cgroup_hierarchy=1",
            )
        };
        Some(format!("cgroup_sample: {lacks} are null with {} ({remedy})", self.describe()))
    }
}

/// A path and every one above it but the root, which stands only for itself.
fn with_those_above(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| {
        let (above, _) = path.rsplit_once('/')?;
        (!above.is_empty()).then_some(above)
    })
}

/// The folder of a cgroup; `None` where the mount does not show it.
fn folder(mount: &Mount, path: &str) -> Option<PathBuf> {
    // Outside the recorder's cgroup namespace.
    if path.split('/').any(|part| part == "..") {
        return None;
    }
    let below = Path::new(path).strip_prefix(&mount.root).ok()?;
    Some(mount.point.join(below))
}

/// mountinfo writes blanks and the like in octal: `\040`.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..3).and_then(|code| u8::from_str_radix(code, 8).ok()) {
            Some(code) => {
                plain.push(char::from(code));
                plain.push_str(&part[3..]);
            }
            None => plain.push_str(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
        32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:5 - cgroup cgroup rw,memory\n\
        40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

    #[test]
    fn each_controller_of_a_hybrid_machine_is_found_where_it_is() {
        let layout = Layout::parse(HYBRID, "hugetlb");
        let text = "9:name=systemd:/\n4:memory:/pod/one\n1:cpu,cpuacct:/\n0::/\n";
        let found: Vec<_> = layout
            .cgroups(text)
            .into_iter()
            .map(|((version, path), controller, folder)| {
                format!("{version} {path} {controller} {}", folder.display())
            })
            .collect();
        assert_eq!(
            found,
            [
                "1 /pod/one memory /sys/fs/cgroup/memory/pod/one",
                "1 /pod memory /sys/fs/cgroup/memory/pod",
                "1 / cpu /sys/fs/cgroup/cpu/",
                "1 / cpuacct /sys/fs/cgroup/cpu/",
                "2 / unified /sys/fs/cgroup/unified/",
            ]
        );
        assert_eq!(layout.describe(), "v1: cpu cpuacct memory (v2 is mounted, and has none of these)");
        assert!(layout.note().is_some_and(|note| note.contains("pressure")));
    }

    #[test]
    fn a_pure_second_version_lacks_nothing() {
        let mounts = "30 23 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
        let layout = Layout::parse(mounts, "cpuset cpu io memory hugetlb pids");
        assert_eq!((layout.describe().as_str(), layout.note()), ("v2: cpu memory io", None));
        assert!(Layout::parse("", "").describe().starts_with("no cgroup hierarchy"));
    }

    #[test]
    fn a_mount_of_a_part_shows_that_part() {
        let mounts = r"30 23 0:27 /docker/1 /mnt/a\040b rw - cgroup2 cgroup2 rw";
        let layout = Layout::parse(mounts, "");
        let folders = |text| -> Vec<PathBuf> {
            layout.cgroups(text).into_iter().map(|(_, _, folder)| folder).collect()
        };
        assert_eq!(folders("0::/docker/1/app\n"), [Path::new("/mnt/a b/app"), Path::new("/mnt/a b")]);
        assert!(folders("0::/other\n0::/../x\n").is_empty());
    }
}
