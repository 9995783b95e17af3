//! Tables of the NVIDIA driver's names and layouts, from `data/nvidia/*.csv`: see the README there.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// Tables of numbers and names, by the name of their static.
const NAMES: &[(&str, &str)] = &[
    ("ESCAPES", "escapes.csv"),
    ("UVM", "uvm.csv"),
    ("COMMANDS", "rm_commands.csv"),
    ("CLASSES", "rm_classes.csv"),
    ("STATUSES", "statuses.csv"),
    ("XIDS", "xids.csv"),
];

/// The same two files have layouts beside the names.
const LAYOUTS: &[(&str, &str)] = &[("FRONTEND", "escapes.csv"), ("UVM", "uvm.csv")];

/// Writes the tables as Rust into `out_dir/nvidia.rs`.
pub fn write(out_dir: &Path) -> Result<(), String> {
    let data = PathBuf::from("data/nvidia");
    println!("cargo::rerun-if-changed={}", data.display());
    let mut code = String::new();
    for (table, file) in NAMES {
        let mut names = BTreeMap::new();
        for row in rows(&data.join(file))? {
            names.insert(number(&row[0])?, row[1].clone());
        }
        let _ = writeln!(code, "pub static {table}: &[(u32, &str)] = &[");
        for (number, name) in names {
            let _ = writeln!(code, "    ({number}, {name:?}),");
        }
        code.push_str("];\n");
    }
    code.push_str("pub static STRUCTURES: &[Structure] = &[\n");
    for (device, file) in LAYOUTS {
        for row in rows(&data.join(file))? {
            let [nr, _, since, until, size, status, length, limit] = row.as_slice() else {
                return Err(format!("{file}: a row of {} fields", row.len()));
            };
            if size.is_empty() {
                continue;
            }
            let _ = writeln!(
                code,
                "    Structure {{ device: device::{device}, nr: {}, size: {size}, since: {since:?}, until: {until:?}, \
                 status: {}, length: {}, limit: {} }},",
                number(nr)?,
                option(status),
                option(length),
                option(limit),
            );
        }
    }
    code.push_str("];\n");
    fs::write(out_dir.join("nvidia.rs"), code).map_err(|error| format!("write the tables: {error}"))
}

/// The rows of a file without its head, as fields.
fn rows(path: &Path) -> Result<Vec<Vec<String>>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("read {}: {error}", path.display()))?;
    Ok(text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect())
}

fn number(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|error| format!("{text:?}: {error}"))
}

fn option(text: &str) -> String {
    if text.is_empty() { "None".to_owned() } else { format!("Some({text})") }
}
