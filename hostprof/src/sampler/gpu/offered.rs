//! What a GPU offers: a call that it refuses for good is not made again, and its columns' reason is kept.

use std::collections::BTreeMap;

use nvml_wrapper::error::NvmlError;

/// The refusals of one GPU.
#[derive(Debug, Default)]
pub struct Offered {
    reasons: BTreeMap<&'static str, String>,
    refused: Vec<&'static str>,
    gone: Option<String>,
}

impl Offered {
    /// Makes a call that fills these columns, unless the GPU refused it before or is gone.
    pub fn ask<T>(
        &mut self,
        columns: &'static [&'static str],
        call: impl FnOnce() -> Result<T, NvmlError>,
    ) -> Option<T> {
        let first = columns.first()?;
        if self.gone.is_some() || self.refused.contains(first) {
            return None;
        }
        match call() {
            Ok(value) => Some(value),
            Err(error) => {
                self.refuse(columns, &error);
                None
            }
        }
    }

    /// Keeps why columns are null.
    pub fn refuse(&mut self, columns: &[&'static str], error: &NvmlError) {
        let is_final = matches!(
            error,
            NvmlError::NotSupported
                | NvmlError::NoPermission
                | NvmlError::FailedToLoadSymbol(_)
                | NvmlError::FunctionNotFound
        );
        for column in columns {
            self.lacks(column, error);
            if is_final && !self.refused.contains(column) {
                self.refused.push(column);
            }
        }
    }

    /// Keeps why one column of a call that fills several is null: the call is made again for the others.
    pub fn lacks(&mut self, column: &'static str, error: &NvmlError) {
        if is_gone(error) {
            self.gone.get_or_insert_with(|| error.to_string());
        } else {
            self.reasons.entry(column).or_insert_with(|| reason(error));
        }
    }

    /// Whether the GPU can no longer be read, and why.
    pub fn gone(&self) -> Option<&str> {
        self.gone.as_deref()
    }

    /// Columns that are null, or were once, and why.
    pub fn reasons(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.reasons.iter().map(|(column, reason)| (*column, reason.as_str()))
    }
}

fn is_gone(error: &NvmlError) -> bool {
    matches!(error, NvmlError::GpuLost | NvmlError::ResetRequired)
}

fn reason(error: &NvmlError) -> String {
    match error {
        NvmlError::NotSupported => "not offered by this GPU".to_owned(),
        NvmlError::NoPermission => {
            "not allowed to this user (for GPM: load the driver with NVreg_RestrictProfilingToAdminUsers=0)"
                .to_owned()
        }
        NvmlError::FailedToLoadSymbol(_) | NvmlError::FunctionNotFound => {
            "not in this version of NVML (a newer driver may have it)".to_owned()
        }
        error => format!("NVML: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[&str] = &["power_mw"];

    #[test]
    fn what_is_refused_for_good_is_asked_for_once() {
        let mut offered = Offered::default();
        assert_eq!(offered.ask(COLUMNS, || Err::<u32, _>(NvmlError::NotSupported)), None);
        let again = offered.ask(COLUMNS, || -> Result<u32, NvmlError> { panic!("it was asked for again") });
        assert_eq!(again, None);
        assert_eq!(offered.reasons().collect::<Vec<_>>(), [("power_mw", "not offered by this GPU")]);
    }

    #[test]
    fn what_failed_once_is_asked_for_again_and_its_reason_kept() {
        let mut offered = Offered::default();
        assert_eq!(offered.ask(COLUMNS, || Err::<u32, _>(NvmlError::Timeout)), None);
        assert_eq!(offered.ask(COLUMNS, || Ok(7)), Some(7));
        assert!(offered.reasons().next().is_some_and(|(_, reason)| reason.contains("timeout")));
    }

    #[test]
    fn a_lost_gpu_is_asked_for_nothing_more() {
        let mut offered = Offered::default();
        assert_eq!(offered.ask(COLUMNS, || Err::<u32, _>(NvmlError::GpuLost)), None);
        assert!(offered.gone().is_some());
        assert_eq!(offered.ask(&["energy_mj"], || -> Result<u32, NvmlError> { panic!("asked") }), None);
    }
}
