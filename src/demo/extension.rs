//! Finding cr-sqlite's loadable extension without being told where it is.

use std::path::{Path, PathBuf};

/// How to get the extension, for people who have none.
pub const HOW_TO_GET_IT: &str = "run tools/crsqlite of dotfill's source,\nor name the library \
    of cr-sqlite 0.17 in DOTFILL_CRSQLITE";

/// Names the library.
const VARIABLE: &str = "DOTFILL_CRSQLITE";

/// BLAKE3 of the library of cr-sqlite 0.17 in the package klukai-types 0.4.0, for x86-64 and
/// aarch64: what is found rather than named is loaded only where it is that one.
const KNOWN: [&str; 2] = [
    "71c8074d16233264b56740ff6f74c7bc8215ee843342e71e7989039033c106d8",
    "b164902deac861a85b136691db39eab3d095234fdd01f9988ce335dfcd314480",
];

/// The extension: what the variable `DOTFILL_CRSQLITE` names; else what `tools/crsqlite` has left
/// in `target/` below the present folder; else cargo's copy of the package klukai-types.
#[must_use]
pub fn find_extension() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(VARIABLE).filter(|name| !name.is_empty()) {
        return Some(PathBuf::from(named));
    }
    let built = Path::new("target/crsqlite/crsqlite.so").canonicalize();
    built.into_iter().chain(in_cargo_home()).find(|path| is_known(path))
}

fn in_cargo_home() -> Vec<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let Some(home) = home else { return Vec::new() };
    let Ok(registries) = std::fs::read_dir(home.join("registry/src")) else { return Vec::new() };
    let file = format!("klukai-types-0.4.0/crsqlite-linux-{}.so", std::env::consts::ARCH);
    registries.flatten().map(|registry| registry.path().join(&file)).collect()
}

fn is_known(path: &Path) -> bool {
    let digest = std::fs::read(path).map(|bytes| blake3::hash(&bytes).to_hex().to_string());
    digest.is_ok_and(|digest| KNOWN.contains(&digest.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_that_the_tools_fetch_is_known_and_no_other() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/crsqlite");
        let output = std::process::Command::new(script).output().expect("tools/crsqlite");
        assert!(output.status.success(), "tools/crsqlite: {output:?}");
        let library = String::from_utf8(output.stdout).expect("a path");
        assert!(is_known(Path::new(library.trim_end())));
        assert!(!is_known(Path::new(file!())));
    }
}
