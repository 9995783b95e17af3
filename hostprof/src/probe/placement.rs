//! Which container and pod a process is in.

/// Where the container runtime put a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// The container's id, as its runtime gives it; `None` outside one.
    pub container_id: Option<String>,
    /// The pod's UID, or the id of a Podman pod; `None` outside one.
    pub pod: Option<String>,
}

impl Placement {
    /// Whether it is in neither.
    pub fn is_empty(&self) -> bool {
        self.container_id.is_none() && self.pod.is_none()
    }
}
