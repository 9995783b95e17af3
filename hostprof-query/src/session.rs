//! A run folder as a database: each folder with Parquet parts in it is a table.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, anyhow, bail};
use datafusion::{
    error::DataFusionError,
    execution::{
        SendableRecordBatchStream, context::SQLOptions, memory_pool::FairSpillPool,
        runtime_env::RuntimeEnvBuilder,
    },
    prelude::{ParquetReadOptions, SessionConfig, SessionContext},
};

/// What sorts and joins may hold at a time; beyond it they use temporary files. A query may run beside the
/// server that was recorded.
const MEMORY_BYTES: usize = 2 << 30;

/// A recording that can be asked.
pub struct Session {
    context: SessionContext,
    /// Names of its tables, in order.
    tables: Vec<String>,
}

impl Session {
    /// Opens a run folder.
    pub async fn open(run: &Path) -> Result<Self> {
        let tables = tables(run)?;
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(MEMORY_BYTES)))
            .build_arc()
            .map_err(one_line)
            .context("start query engine")?;
        let config = SessionConfig::new().with_information_schema(true);
        let context = SessionContext::new_with_config_rt(config, runtime);
        for (name, folder) in &tables {
            // The slash tells that it is a folder.
            let url = format!("{}/", folder.display());
            context
                .register_parquet(name, url, ParquetReadOptions::default())
                .await
                .map_err(one_line)
                .with_context(|| format!("open table {name}"))?;
        }
        Ok(Self { context, tables: tables.into_iter().map(|(name, _)| name).collect() })
    }

    /// Plans a query and starts it.
    pub async fn query(&self, sql: &str) -> Result<SendableRecordBatchStream> {
        let read_only =
            SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        let plan = self.context.sql_with_options(sql, read_only).await.map_err(|error| {
            anyhow!("plan query: {} (tables: {})", one_line(error), self.tables.join(", "))
        })?;
        plan.execute_stream().await.map_err(one_line).context("run query")
    }
}

/// The folders of a run folder that hold closed parts, by name.
fn tables(run: &Path) -> Result<Vec<(String, PathBuf)>> {
    if !run.join("config.json").is_file() {
        bail!("open {}: not a run folder (no config.json)", run.display());
    }
    let read = || -> io::Result<Vec<(String, PathBuf)>> {
        let mut tables = Vec::new();
        for entry in fs::read_dir(run.canonicalize()?)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() && has_parts(&entry.path())? {
                tables.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
            }
        }
        tables.sort();
        Ok(tables)
    };
    let tables = read().with_context(|| format!("read {}", run.display()))?;
    if tables.is_empty() {
        bail!("open {}: no table has a part yet", run.display());
    }
    Ok(tables)
}

fn has_parts(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        if entry?.path().extension().is_some_and(|extension| extension == "parquet") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The engine's errors span lines.
#[expect(clippy::needless_pass_by_value, reason = "the shape `map_err` takes")]
pub fn one_line(error: DataFusionError) -> anyhow::Error {
    let text = error.strip_backtrace();
    anyhow!("{}", text.split_whitespace().collect::<Vec<_>>().join(" "))
}
