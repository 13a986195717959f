//! A file operation that fails, once or from then on: the command says so, naming the file and what
//! to do, or completes; it never panics, hangs, or claims what is not so. The same command then
//! completes, and leaves what an undisturbed one leaves.

use std::fs;

use crate::cases::Case;
use crate::scene::{Scene, points};
use crate::shim::{Ended, Fault};

#[track_caller]
fn check(case: Case) {
    let scene = Scene::new(case);
    let whole = scene.copy("whole");
    let ended = scene.call(&whole, None);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let count = ended.operations.len();
    let want = scene.dump(&whole);
    let (mut failed, mut problems) = (0, Vec::new());
    for (first, action) in ["eio", "eio-on", "enospc", "enospc-on"].into_iter().enumerate() {
        for at in points(count, first * 2) {
            let place = scene.copy("copy");
            let ended = scene.call(&place, Some(Fault { at, action }));
            let found = if ended.code == Some(0) {
                scene.compare(&place, &want).map(|found| format!("claims to be done: {found}"))
            } else {
                failed += 1;
                untold(&ended, &place.display().to_string())
                    .or_else(|| scene.again(&place))
                    .or_else(|| scene.compare(&place, &want))
            };
            let operation = ended.operations.get(at - 1).cloned().unwrap_or_default();
            problems.extend(found.map(|found| format!("{action} of {operation}: {found}")));
            fs::remove_dir_all(&place).unwrap();
        }
    }
    assert!(problems.is_empty(), "{} problems: {}", problems.len(), problems.join("\n"));
    assert!(failed > 10, "premise: failed {failed} times");
}

/// What a failed command keeps to itself: the exit code, the file, or what to do.
fn untold(ended: &Ended, place: &str) -> Option<String> {
    let error = ended.stderr.lines().find_map(|line| line.strip_prefix("error: "));
    let problem = match error {
        _ if ended.code != Some(1) => "exit code",
        _ if ended.stderr.contains("panicked") => "panic",
        None => "no message",
        Some(error) if !error.contains(place) => "which file?",
        Some(error) if !error.contains("repeat the command") => "what to do?",
        Some(_) => return None,
    };
    Some(format!("{problem}: {:?} {}", ended.code, ended.stderr))
}

each_case!(check);
