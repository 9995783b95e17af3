//! Making run folders: numbers, modes, links, and nothing left behind.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    sync::Barrier,
    thread,
};

use hostprof::recording::{FolderError, Recording, RunFolder};
use nix::{
    sys::stat::{Mode, umask},
    unistd::Uid,
};

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn is_empty(path: &Path) -> bool {
    fs::read_dir(path).unwrap().next().is_none()
}

#[test]
fn two_recorders_at_once_never_share_a_folder() {
    const THREADS: usize = 8;
    const EACH: usize = 20;
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("new/runs");
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                barrier.wait();
                for _ in 0..EACH {
                    RunFolder::create(&out).unwrap();
                }
            });
        }
    });
    let runs = Recording::list(&out).unwrap();
    assert_eq!(runs.len(), THREADS * EACH);
    assert_eq!(runs.last().unwrap().file_name().unwrap(), "run_160");
}

#[test]
fn numbers_go_on_after_the_highest_and_past_999() {
    let out = tempfile::tempdir().unwrap();
    for name in ["run_007", "run_998", "run_12", "run_x", "run_99999999999999999999", "other"] {
        fs::create_dir(out.path().join(name)).unwrap();
    }
    fs::write(out.path().join("run_999"), "a file").unwrap();
    let names: Vec<_> = (0..2)
        .map(|_| RunFolder::create(out.path()).unwrap().path().file_name().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["run_1000", "run_1001"]);
}

#[test]
fn folders_and_files_are_the_users_alone_whatever_the_umask() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("a/runs");
    let before = umask(Mode::empty());
    let run = RunFolder::create(&out).unwrap();
    run.write_file("config.json", b"{}").unwrap();
    let table = run.create_table("off_cpu").unwrap();
    table.begin_part(0).unwrap();
    umask(before);
    for folder in [parent.path().join("a"), out, run.path().to_owned(), table.path().to_owned()] {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
    }
    assert_eq!(mode(run.path().join("config.json")), 0o600);
    assert_eq!(mode(table.path().join(".part-00000.parquet.tmp")), 0o600);
}

#[test]
fn a_file_is_replaced_whole_and_leaves_no_other() {
    let out = tempfile::tempdir().unwrap();
    let run = RunFolder::create(out.path()).unwrap();
    fs::write(run.path().join(".config.json.tmp"), "left by another").unwrap();
    for content in ["first", "second"] {
        run.write_file("config.json", content.as_bytes()).unwrap();
        assert_eq!(fs::read_to_string(run.path().join("config.json")).unwrap(), content);
    }
    assert_eq!(fs::read_dir(run.path()).unwrap().count(), 1);
}

#[test]
fn links_in_place_of_folders_and_files_are_not_followed() {
    let elsewhere = tempfile::tempdir().unwrap();
    let out = tempfile::tempdir().unwrap();
    let run = RunFolder::create(out.path()).unwrap();
    symlink(elsewhere.path(), run.path().join("off_cpu")).unwrap();
    let victim = elsewhere.path().join("victim");
    symlink(&victim, run.path().join("config.json")).unwrap();
    assert!(run.create_table("off_cpu").is_err());
    run.write_file("config.json", b"{}").unwrap();
    assert!(fs::symlink_metadata(run.path().join("config.json")).unwrap().is_file());
    let table = run.create_table("loss").unwrap();
    symlink(&victim, table.path().join(".part-00000.parquet.tmp")).unwrap();
    assert_eq!(table.begin_part(0).unwrap().0, 1, "the next that nothing has");
    symlink(&victim, table.path().join("part-00001.parquet")).unwrap();
    table.publish_part(1).unwrap();
    assert!(fs::symlink_metadata(table.path().join("part-00002.parquet")).unwrap().is_file());
    assert!(is_empty(elsewhere.path()));
}

#[test]
fn writers_of_one_table_never_take_each_others_names() {
    const WRITERS: usize = 6;
    const EACH: u32 = 20;
    let out = tempfile::tempdir().unwrap();
    let run = RunFolder::create(out.path()).unwrap();
    let barrier = Barrier::new(WRITERS);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (barrier, run) = (&barrier, &run);
            scope.spawn(move || {
                let table = RunFolder::join(run.path()).unwrap().create_table("token").unwrap();
                barrier.wait();
                let mut next = 0;
                for part in 0..EACH {
                    let (number, mut file) = table.begin_part(next).unwrap();
                    write!(file, "{writer} {part}").unwrap();
                    table.publish_part(number).unwrap();
                    next = number + 1;
                }
            });
        }
    });
    let table = run.path().join("token");
    let parts = WRITERS as u32 * EACH;
    let content: std::collections::HashSet<String> = (0..parts)
        .map(|number| fs::read_to_string(table.join(hostprof::recording::part_name(number))).unwrap())
        .collect();
    assert_eq!(content.len() as u32, parts, "each part is there, once");
    assert_eq!(fs::read_dir(&table).unwrap().count() as u32, parts);
}

#[test]
fn out_may_be_a_link_but_not_for_root() {
    let elsewhere = tempfile::tempdir().unwrap();
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("runs");
    symlink(elsewhere.path(), &out).unwrap();
    let run = RunFolder::create(&out);
    if Uid::effective().is_root() {
        let error = run.unwrap_err();
        assert!(matches!(error, FolderError::Symlink(_)), "{error:?}");
        assert!(error.to_string().ends_with(
            "runs: is a symbolic link, not followed as root (name the folder it points to with -o)"
        ));
        assert!(is_empty(elsewhere.path()));
        // Above the last, links are followed: `/home` may be one.
        RunFolder::create(&out.join("below")).unwrap();
    } else {
        run.unwrap();
        assert!(elsewhere.path().join("run_001").is_dir());
    }
}

#[test]
fn what_was_made_is_removed_when_the_rest_fails() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    let error = RunFolder::create(&file).unwrap_err();
    assert!(matches!(error, FolderError::NotFolder(_)), "{error:?}");
    let long = parent.path().join("new").join("x".repeat(300));
    assert!(RunFolder::create(&long).is_err());
    assert!(!parent.path().join("new").exists());
    assert!(matches!(RunFolder::create(Path::new("")), Err(FolderError::Empty)));
}

#[test]
fn a_folder_the_user_may_not_write_is_told_with_the_remedy() {
    // Root may write anywhere but here.
    let error = RunFolder::create(Path::new("/proc/self/runs")).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("create /proc/self/runs: "), "{text}");
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("runs");
    fs::create_dir(&out).unwrap();
    fs::set_permissions(&out, fs::Permissions::from_mode(0o500)).unwrap();
    match RunFolder::create(&out) {
        Ok(_) => assert!(Uid::effective().is_root()),
        Err(error) => assert!(
            error.to_string().ends_with("run_001: permission denied (choose a writable folder with -o)"),
            "{error}"
        ),
    }
}

#[test]
fn only_an_empty_run_is_removed() {
    let out = tempfile::tempdir().unwrap();
    let run = RunFolder::create(out.path()).unwrap();
    let path = run.path().to_owned();
    run.write_file("config.json", b"{}").unwrap();
    assert!(!run.remove_if_empty().unwrap() && path.exists());
    fs::remove_file(path.join("config.json")).unwrap();
    assert!(run.remove_if_empty().unwrap() && !path.exists());
}
