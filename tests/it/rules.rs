//! `docs/rules.md` says what is kept; the tests' names say what is shown. They must say the same.

use std::collections::BTreeSet;
use std::path::Path;

/// Appends every Rust file below a directory.
pub(crate) fn read_all(directory: &Path, text: &mut String) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// The three-digit numbers that follow `mark`.
fn numbers_after(mark: &str, text: &str) -> BTreeSet<u16> {
    text.split(mark).skip(1).filter_map(|rest| rest.get(..3)?.parse().ok()).collect()
}

/// The numbers in the names of tests: `r_063_and_r_064_...`, `r_292_to_r_295_...`.
fn numbers_of_tests(text: &str) -> BTreeSet<u16> {
    let mut numbers = BTreeSet::new();
    for name in text.split("fn r_").skip(1).filter_map(|rest| rest.split('(').next()) {
        let name = format!("r_{name}");
        let own = numbers_after("r_", &name);
        if name.contains("_to_r_")
            && let (Some(first), Some(last)) = (own.first(), own.last())
        {
            numbers.extend(*first..=*last);
        }
        numbers.extend(own);
    }
    numbers
}

#[test]
fn every_rule_that_is_promised_is_shown_and_every_one_shown_is_promised() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = String::new();
    read_all(&root.join("src"), &mut tests);
    read_all(&root.join("tests"), &mut tests);
    let promised = numbers_after("| R-", &std::fs::read_to_string(root.join("docs/rules.md")).unwrap());
    let shown = numbers_of_tests(&tests);
    assert!(promised.len() > 40, "{promised:?}");
    let unshown: Vec<_> = promised.difference(&shown).collect();
    let unpromised: Vec<_> = shown.difference(&promised).collect();
    assert!(unshown.is_empty(), "docs/rules.md has rules that no test bears: {unshown:?}");
    assert!(unpromised.is_empty(), "tests bear rules that docs/rules.md lacks: {unpromised:?}");
}

#[test]
fn every_rule_is_either_promised_or_named_with_the_reason_why_not() {
    let documented =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rules.md")).unwrap();
    let promised = numbers_after("| R-", &documented);
    let mut others = Vec::new();
    for status in ["| otherwise: ", "| not yet: ", "| not ours: "] {
        for rules in documented.split(status).skip(1).filter_map(|row| row.split(" |").next()) {
            for part in rules.split(", ") {
                let own: Vec<u16> = numbers_after("R-", part).into_iter().collect();
                let [first, .., last] = own.as_slice() else {
                    others.extend(own);
                    continue;
                };
                others.extend(*first..=*last);
            }
        }
    }
    let known: BTreeSet<u16> = others.iter().copied().collect();
    assert_eq!(known.len(), others.len(), "a rule is named twice: {others:?}");
    assert_eq!(
        promised.intersection(&known).collect::<Vec<_>>(),
        Vec::<&u16>::new(),
        "promised, and named as an exception"
    );
    for row in documented.lines().filter(|line| line.starts_with("| ")) {
        assert!(row.ends_with(" |"), "a table is broken: {row}");
    }
}
