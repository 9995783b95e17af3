//! What is shipped: one list of files, with each one's place in the archive and in the package.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{dist::licences, process, workspace::Workspace};

/// A file that is shipped.
#[derive(Debug)]
pub struct File {
    pub bytes: Vec<u8>,
    /// Whether it is run.
    pub program: bool,
    /// Where it lies in the archive's folder.
    pub archive: String,
    /// Where it lies once the package is installed, from the root; `None` where the archive alone has it.
    pub package: Option<String>,
}

/// Completions: what the program calls the shell, and where the file goes.
const SHELLS: [(&str, &str, &str); 3] = [
    ("bash", "completions/hostprof.bash", "usr/share/bash-completion/completions/hostprof"),
    ("zsh", "completions/_hostprof", "usr/share/zsh/vendor-completions/_hostprof"),
    ("fish", "completions/hostprof.fish", "usr/share/fish/vendor_completions.d/hostprof.fish"),
];

/// Files of this workspace that are shipped as they are.
const PAGES: [&str; 5] = ["README.md", "CHANGELOG.md", "docs/schema.md", "docs/probes.md", "docs/queries.md"];
/// A package's `copyright` says what these do.
const LICENCES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];
const UNIT: &str = "packaging/systemd/hostprof@.service";

/// Collects all of it; manual pages and completions are what the program says of itself.
pub fn collect(workspace: &Workspace, program: &Path) -> Result<Vec<File>> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("read {}", path.display()));
    let file = |bytes, archive: &str, package: Option<String>| File {
        bytes,
        program: false,
        archive: archive.to_owned(),
        package,
    };
    let doc = |name: &str| Some(format!("usr/share/doc/hostprof/{name}"));
    let mut files = vec![File {
        bytes: read(program)?,
        program: true,
        archive: "hostprof".to_owned(),
        package: Some("usr/bin/hostprof".to_owned()),
    }];
    for path in manual_pages(workspace, program)? {
        let name = file_name(&path);
        let package = Some(format!("usr/share/man/man1/{name}.gz"));
        files.push(file(read(&path)?, &format!("man/man1/{name}"), package));
    }
    for (shell, archive, package) in SHELLS {
        let text = process::output(Command::new(program).args(["completions", shell]))?;
        files.push(file(text.into_bytes(), archive, Some(package.to_owned())));
    }
    let unit = file_name(Path::new(UNIT));
    let installed = Some(format!("usr/lib/systemd/system/{unit}"));
    files.push(file(read(&workspace.root.join(UNIT))?, &format!("systemd/{unit}"), installed));
    for page in PAGES {
        files.push(file(read(&workspace.root.join(page))?, page, doc(page.trim_start_matches("docs/"))));
    }
    for licence in LICENCES {
        files.push(file(read(&workspace.root.join(licence))?, licence, None));
    }
    let notices = licences::notices(workspace)?.into_bytes();
    files.push(file(notices, "THIRD-PARTY-LICENSES.txt", doc("THIRD-PARTY-LICENSES.txt")));
    files.push(File {
        package: doc("copyright"),
        ..file(read(&workspace.root.join("packaging/deb/copyright"))?, "COPYRIGHT", None)
    });
    Ok(files)
}

fn manual_pages(workspace: &Workspace, program: &Path) -> Result<Vec<PathBuf>> {
    let dir = workspace.target.join("dist-man");
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("remove {}", dir.display()))?;
    }
    process::output(Command::new(program).args(["man", "-o"]).arg(&dir))?;
    let mut pages: Vec<PathBuf> = fs::read_dir(&dir)
        .with_context(|| format!("read {}", dir.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    pages.sort();
    if pages.is_empty() {
        bail!("make manual pages: {} wrote none", program.display());
    }
    Ok(pages)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
