//! Known bug: a regression test that passes without the fix.
//!
//! Taken out: the paragraph `Taken out` of another file here.
//! Seen: that file is named, with the word that it does not say.

use std::fs;
use std::path::Path;

#[test]
fn each_file_says_how() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/known_bugs");
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("main.rs") {
            continue;
        }
        files += 1;
        let text = fs::read_to_string(&path).unwrap();
        let head: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
        for word in ["Known bug: ", "Taken out: ", "Seen: "] {
            let said = head.iter().filter_map(|line| line.strip_prefix(&format!("//! {word}")));
            let said: Vec<&str> = said.collect();
            assert!(said.len() == 1 && said[0].len() > 20, "{}: {word}{said:?}", path.display());
        }
    }
    assert_eq!(files, 8, "a file for each of them");
}
