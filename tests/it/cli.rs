//! The binary as its users call it.

use std::io::{Read, Write};
use std::process::{Command, Output};

use hubforce::store::Database;
use hubforce::store::testing::TestDatabase;
use rstest::rstest;

use crate::harness::chosen;

fn hubforce(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hubforce"))
        .args(arguments)
        .env_remove("HUBFORCE_CONFIG")
        .output()
        .unwrap()
}

fn with_configuration(text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hubforce.toml");
    std::fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    (directory, path)
}

fn good(database: &TestDatabase) -> String {
    crate::harness::Setup::default().configuration(database, ("http://127.0.0.1:1", "http://127.0.0.1:1"))
}

/// A database of a kind, for tests that wait for nothing else.
fn database(on: Database) -> Option<TestDatabase> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(TestDatabase::new(on)).unwrap()
}

#[test]
fn an_unknown_key_exits_2_and_names_the_nearest() {
    let (_directory, path) = with_configuration("[server]\nlistn = \"x\"\n");
    let output = hubforce(&["check", "--offline", "--config", &path]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("`listn` is not known here; did you mean `listen`?"), "{said}");
}

#[test]
fn wrong_usage_exits_2() {
    assert_eq!(hubforce(&["serve", "--nonsense"]).status.code(), Some(2));
    assert_eq!(hubforce(&["serve", "--config", "/nowhere/hubforce.toml"]).status.code(), Some(2));
}

#[test]
fn check_offline_passes_what_is_right_and_fails_what_contradicts_itself() {
    let database = database(Database::Sqlite).unwrap();
    let right = good(&database);
    let (_one, path) = with_configuration(&right);
    let output = hubforce(&["check", "--offline", "--config", &path]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let twice = format!(
        "{right}\nmappings = [{{ hubspot = \"a\", lead = \"A\" }}, {{ hubspot = \"a\", lead = \"B\" }}]\n"
    );
    let (_two, path) = with_configuration(&twice);
    let output = hubforce(&["check", "--offline", "--config", &path]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stdout).unwrap().contains("mapped twice"));
}

#[rstest]
fn migrate_applies_what_check_misses(#[values(Database::Sqlite, Database::Postgres)] on: Database) {
    let Some(database) = database(on) else { return };
    let (_one, path) = with_configuration(&good(&database));
    assert_eq!(hubforce(&["migrate", "--check", "--config", &path]).status.code(), Some(1));
    assert_eq!(hubforce(&["migrate", "--config", &path]).status.code(), Some(0));
    assert_eq!(hubforce(&["migrate", "--check", "--config", &path]).status.code(), Some(0));
}

#[test]
fn a_port_that_is_taken_is_said_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let database = database(chosen()).unwrap();
    let text = good(&database).replace("127.0.0.1:0", &taken.local_addr().unwrap().to_string());
    let (_one, path) = with_configuration(&text);
    let output = hubforce(&["serve", "--config", &path]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("is another instance running there?"));
}

#[test]
fn serve_lives_until_it_is_told_to_stop() {
    let port = hubforce::emulator::free_port().unwrap();
    let database = database(chosen()).unwrap();
    let text = good(&database).replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
    let (_one, path) = with_configuration(&text);
    let mut process =
        Command::new(env!("CARGO_BIN_EXE_hubforce")).args(["serve", "--config", &path]).spawn().unwrap();
    let alive = (0..1_000).any(|_| {
        std::thread::yield_now();
        hubforce(&["health", "--config", &path]).status.success()
    });
    assert!(alive);
    let stopped = Command::new("kill").args(["-TERM", &process.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    assert_eq!(process.wait().unwrap().code(), Some(0));
}

/// What a listener answers to one request: the status line.
fn status_of(address: &str, request: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(format!("{request} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[rstest]
#[case::receiving(&["serve", "--only", "ingress"], "401")]
#[case::working(&["serve", "--only", "worker"], "404")]
fn either_half_answers_the_probes_and_one_alone_takes_webhooks(
    #[case] serve: &[&str],
    #[case] webhook: &str,
    #[values(false, true)] admin_apart: bool,
) {
    let ports = [(); 2].map(|()| hubforce::emulator::free_port().unwrap());
    let [address, admin] = ports.map(|port| format!("127.0.0.1:{port}"));
    let database = database(chosen()).unwrap();
    let mut text = good(&database).replace("127.0.0.1:0", &address);
    if admin_apart {
        text = text.replace("[admin]", &format!("[admin]\nlisten = {admin:?}"));
    }
    let (_one, path) = with_configuration(&text);
    let mut process =
        Command::new(env!("CARGO_BIN_EXE_hubforce")).args(serve).args(["--config", &path]).spawn().unwrap();
    let alive = (0..1_000).any(|_| {
        std::thread::yield_now();
        hubforce(&["health", "--config", &path]).status.success() || process.try_wait().unwrap().is_some()
    });
    let answered = alive && process.try_wait().unwrap().is_none();
    let ready = answered.then(|| status_of(&address, "GET /readyz"));
    let taken = answered.then(|| status_of(&address, "POST /webhooks/hubspot"));
    let asked =
        answered.then(|| status_of(if admin_apart { &admin } else { &address }, "GET /v1/connections"));
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(answered);
    for (what, said, expected) in
        [("ready", ready, "200"), ("webhook", taken, webhook), ("admin", asked, "401")]
    {
        assert!(said.as_ref().is_some_and(|said| said.contains(expected)), "{what}: {said:?}");
    }
}

#[test]
fn a_configuration_that_is_not_there_is_named_once_with_what_to_do() {
    let output = hubforce(&["check", "--config", "/nowhere/hubforce.toml"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.matches("hubforce.toml cannot be read").count(), 1, "{said}");
    assert_eq!(said.matches("/nowhere").count(), 1, "{said}");
    for next in ["copy config.default.toml to hubforce.toml", "--config", "HUBFORCE_CONFIG"] {
        assert!(said.contains(next), "{next} in {said}");
    }
}

#[rstest]
fn check_changes_nothing_and_asks_the_crms_all_the_same(
    #[values(Database::Sqlite, Database::Postgres)] on: Database,
    #[values(true, false)] migrate: bool,
) {
    let Some(database) = database(on) else { return };
    let text = good(&database).replace("free_mb_min", &format!("migrate = {migrate}\nfree_mb_min"));
    let (_one, path) = with_configuration(&text);
    let output = hubforce(&["check", "--config", &path]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("migrations are missing") && said.contains("acme"), "{said}");
    let missing = hubforce(&["migrate", "--check", "--config", &path]);
    assert!(!String::from_utf8(missing.stdout).unwrap().contains("applied"), "check has migrated");
    assert_eq!(hubforce(&["migrate", "--config", &path]).status.code(), Some(0));
    let said = String::from_utf8(hubforce(&["check", "--config", &path]).stdout).unwrap();
    assert!(said.contains("acme") && !said.contains("migrations"), "{said}");
}

#[test]
fn check_says_what_a_database_out_of_reach_leaves_to_say() {
    let text = good(&database(Database::Sqlite).unwrap());
    let url = text.lines().find(|line| line.trim().starts_with("url = ")).unwrap();
    let (_one, path) = with_configuration(&text.replace(url, "url = \"postgres://ops@%2Fnowhere/hubforce\""));
    let output = hubforce(&["check", "--config", &path]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("database") && said.contains("acme"), "{said}");
}

#[test]
fn a_secret_that_is_not_there_or_empty_exits_2() {
    let database = database(Database::Sqlite).unwrap();
    let text = good(&database);
    let secret = format!("{:?}", crate::harness::SECRET);
    for (source, named) in
        [("{ env = \"HUBFORCE_NO_SUCH_SECRET\" }", "HUBFORCE_NO_SUCH_SECRET"), ("\"\"", "empty")]
    {
        let (_one, path) = with_configuration(&text.replace(&secret, source));
        for verb in ["serve", "check"] {
            let output = hubforce(&[verb, "--config", &path]);
            assert_eq!(output.status.code(), Some(2), "{verb} {source}: {output:?}");
            assert!(String::from_utf8(output.stderr).unwrap().contains(named), "{verb} {source}");
        }
    }
}

#[test]
fn the_demo_comes_out_as_it_should() {
    let output = hubforce(&["demo", "--once"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(said.matches("as it should be").count(), 10, "{said}");
}

#[test]
fn what_a_database_says_names_no_password() {
    let text = good(&database(Database::Sqlite).unwrap());
    let url = text.lines().find(|line| line.trim().starts_with("url = ")).unwrap();
    let (_one, path) =
        with_configuration(&text.replace(url, "url = \"postgres://ops:secret@%2Fnowhere/hubforce\""));
    for arguments in [&["serve"][..], &["migrate"], &["migrate", "--check"], &["check"]] {
        let output = hubforce(&[arguments, &["--config", &path]].concat());
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        assert!(!format!("{output:?}").contains("secret"), "{arguments:?}: {output:?}");
    }
}
