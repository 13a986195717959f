//! A command that is killed before, after or in the middle of any of its file operations: the same
//! command then completes, and leaves what an undisturbed one leaves.

use std::fs;

use crate::cases::Case;
use crate::scene::{Scene, points};
use crate::shim::Fault;

#[track_caller]
fn check(case: Case) {
    let scene = Scene::new(case);
    let whole = scene.copy("whole");
    let ended = scene.call(&whole, None);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let count = ended.operations.len();
    assert!(count > 15, "premise: {ended:#?}");
    let want = scene.dump(&whole);
    let (mut killed, mut problems) = (0, Vec::new());
    for (first, action) in ["before", "after", "torn"].into_iter().enumerate() {
        for at in points(count, first * 3) {
            let place = scene.copy("copy");
            let ended = scene.call(&place, Some(Fault { at, action }));
            killed += usize::from(ended.code.is_none());
            // Threads may share fewer operations among them than the undisturbed ones had.
            let found = match ended.code {
                None => scene.again(&place).or_else(|| scene.compare(&place, &want)),
                Some(0) => scene.compare(&place, &want),
                Some(_) => Some(ended.stderr),
            };
            let last = ended.operations.last().cloned().unwrap_or_default();
            problems.extend(found.map(|found| format!("killed {action} {last}: {found}")));
            fs::remove_dir_all(&place).unwrap();
        }
    }
    assert!(problems.is_empty(), "{} problems: {}", problems.len(), problems.join("\n"));
    assert!(killed > 10, "premise: killed {killed} times");
}

each_case!(check);
