//! The mean of what held for some time each.

/// A mean under way, of values by how long they held.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mean {
    sum: f64,
    ns: f64,
}

impl Mean {
    /// Adds a value, where it is told.
    pub fn add(&mut self, value: Option<f64>, ns: u64) {
        if let Some(value) = value {
            self.sum += value * ns as f64;
            self.ns += ns as f64;
        }
    }

    /// The mean; `None` of nothing.
    pub fn get(self) -> Option<f64> {
        (self.ns > 0.0).then(|| self.sum / self.ns)
    }
}
