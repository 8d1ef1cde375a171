//! The configuration, held to `config.default.toml`.

use super::*;
use crate::plan::options::PeopleOptions;

const DEFAULTS: &str = include_str!("../../config.default.toml");

/// The smallest configuration that works.
pub(crate) const SMALLEST: &str = r#"
[server]
public_url = "https://sync.example.com"

[[connections]]
name = "acme"

[connections.hubspot]
portal_id = 1
app_id = 2
client_secrets = ["s"]
auth = { type = "access_token", access_token = "t" }

[connections.salesforce]
org_id = "00D000000000001AAA"
path_tokens = ["p"]
auth = { type = "client_credentials", client_id = "i", client_secret = "s" }
"#;

#[test]
fn the_smallest_configuration_works() {
    let config = Config::parse(SMALLEST).unwrap();
    assert_eq!(config.connections[0].sync.contacts, PeopleOptions::default());
}

#[test]
fn r_001_and_r_010_government_and_sandbox_hosts_are_welcome() {
    for host in ["https://acme.my.salesforce.mil", "https://acme--full.sandbox.my.salesforce.com"] {
        let text = SMALLEST.replace(
            "[connections.salesforce]",
            &format!("[connections.salesforce]\nlogin_url = \"{host}\""),
        );
        assert_eq!(Config::parse(&text).unwrap().connections[0].salesforce.login_url, host);
    }
}

/// Every key that a configuration can hold, as dotted paths; lists count as their first element.
fn keys(value: &toml::Value, prefix: &str, found: &mut Vec<String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                keys(value, &format!("{prefix}.{key}"), found);
            }
        }
        toml::Value::Array(list)
            if list.first().is_some_and(toml::Value::is_table) && prefix == ".connections" =>
        {
            keys(&list[0], prefix, found);
        }
        _ => found.push(prefix.to_owned()),
    }
}

#[test]
fn the_default_file_lists_every_key_with_its_default() {
    let written: Config = toml::from_str(DEFAULTS).unwrap();
    let mut bare: Config = Config { connections: vec![Connection::default()], ..Config::default() };
    // What has no default is shown by an example.
    bare.server.public_url.clone_from(&written.server.public_url);
    bare.admin.tokens.clone_from(&written.admin.tokens);
    let (shown, connection) = (&written.connections[0], &mut bare.connections[0]);
    connection.name.clone_from(&shown.name);
    connection.hubspot.portal_id = shown.hubspot.portal_id;
    connection.hubspot.app_id = shown.hubspot.app_id;
    connection.hubspot.client_secrets.clone_from(&shown.hubspot.client_secrets);
    connection.hubspot.auth.clone_from(&shown.hubspot.auth);
    connection.salesforce.org_id.clone_from(&shown.salesforce.org_id);
    connection.salesforce.path_tokens.clone_from(&shown.salesforce.path_tokens);
    connection.salesforce.auth.clone_from(&shown.salesforce.auth);
    assert_eq!(written, bare);
    let (mut listed, mut known) = (Vec::new(), Vec::new());
    keys(&toml::from_str(DEFAULTS).unwrap(), "", &mut listed);
    keys(&toml::Value::try_from(&bare).unwrap(), "", &mut known);
    listed.sort();
    known.sort();
    assert_eq!(listed, known);
}

#[track_caller]
fn wrong(text: &str) -> String {
    Config::parse(text).unwrap_err().to_string()
}

#[test]
fn an_unknown_key_names_the_nearest_known_one() {
    let text = wrong(&SMALLEST.replace("portal_id", "portalid"));
    assert_eq!(text, "line 9, column 1: `portalid` is not known here; did you mean `portal_id`?");
    assert!(wrong("[sever]\n").contains("did you mean `server`"));
    assert!(
        wrong(&format!("{SMALLEST}\n[connections.sync.contacts]\ncreate_in_salesforce = \"leed\"\n"))
            .contains("did you mean `lead`")
    );
}

#[test]
fn everything_that_is_missing_is_named_at_once() {
    let text = wrong("[[connections]]\n");
    for part in [
        "public_url",
        "name",
        "portal_id",
        "app_id",
        "client_secrets",
        "hubspot.auth",
        "org_id",
        "path_tokens",
        "salesforce.auth",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(wrong("").contains("[[connections]]"));
}

#[test]
fn contradictions_are_named() {
    assert!(wrong(&SMALLEST.replace("https://sync", "http://sync")).contains("https://"));
    assert!(wrong(&SMALLEST.replace("00D000000000001AAA", "001000000000001AAA")).contains("org_id"));
    let twice = format!(
        "{SMALLEST}{}",
        SMALLEST.split_once("[[connections]]").map(|(_, rest)| format!("[[connections]]{rest}")).unwrap()
    );
    let text = wrong(&twice);
    assert!(text.contains("named acme") && text.contains("external_id_field"), "{text}");
}

/// Two connections, the second with these replacements.
fn two(replacements: &[(&str, &str)]) -> String {
    let (_, second) = SMALLEST.split_once("[[connections]]").unwrap();
    let second = replacements.iter().fold(second.to_owned(), |text, (from, to)| text.replace(from, to));
    format!("{SMALLEST}[[connections]]{second}")
}

#[test]
fn r_009_a_portal_goes_with_one_organization() {
    let elsewhere = ("00D000000000001AAA", "00D000000000002");
    let text = wrong(&two(&[("\"acme\"", "\"other\""), elsewhere]));
    assert!(
        text.contains("acme and other") && text.contains("portal_id 1") && text.contains("R-009"),
        "{text}"
    );
    Config::parse(&two(&[("\"acme\"", "\"other\""), ("portal_id = 1", "portal_id = 3"), elsewhere])).unwrap();
}

#[test]
fn r_005_an_organization_is_the_same_however_its_id_is_written() {
    let second = [("\"acme\"", "\"other\""), ("portal_id = 1", "portal_id = 3")];
    for id in ["00D000000000001", "00D000000000001EAA"] {
        let text = wrong(&two(&[second[0], second[1], ("00D000000000001AAA", id)]));
        assert!(text.contains("external_id_field"), "{text}");
    }
}

#[test]
fn a_worker_that_would_spin_or_lose_its_leases_is_refused() {
    let working = |line: &str| format!("{SMALLEST}\n[worker]\n{line}\n");
    for line in ["poll_seconds = 0", "lease_seconds = 4"] {
        let key = line.split(' ').next().unwrap();
        assert!(wrong(&working(line)).contains(key), "{line}");
    }
    for line in ["poll_seconds = 1", "lease_seconds = 5"] {
        Config::parse(&working(line)).unwrap();
    }
}

#[test]
fn a_sweep_can_be_switched_off_but_not_be_done_all_the_time() {
    let sweeping = |seconds: u32| format!("{SMALLEST}\n[connections.sweep]\ninterval_seconds = {seconds}\n");
    for seconds in [0, 10, 86_400] {
        assert_eq!(Config::parse(&sweeping(seconds)).unwrap().connections[0].sweep.interval_seconds, seconds);
    }
    assert!(wrong(&sweeping(9)).contains("sweep.interval_seconds"));
}

#[test]
fn secrets_come_from_three_places_and_show_nothing() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), " from a file\n").unwrap();
    let source = SecretSource::File { file: file.path().to_owned() };
    assert_eq!(source.resolve().unwrap().expose(), "from a file");
    assert_eq!(SecretSource::Text("t".to_owned()).resolve().unwrap().expose(), "t");
    let missing = SecretSource::Env { env: "HUBFORCE_NO_SUCH_VARIABLE".to_owned() };
    assert!(missing.resolve().unwrap_err().to_string().contains("HUBFORCE_NO_SUCH_VARIABLE"));
    std::fs::write(file.path(), " \n").unwrap();
    let named = file.path().display().to_string();
    let empty = [
        (source, named.as_str()),
        (SecretSource::Text(String::new()), "configuration"),
        (SecretSource::Text(" ".to_owned()), "configuration"),
    ];
    for (source, place) in empty {
        let said = source.resolve().unwrap_err().to_string();
        assert!(said.contains(place) && said.contains("empty"), "{source:?}: {said}");
    }
    assert_eq!(format!("{:?}", SecretSource::Text("hunter2".to_owned())), "Text(…)");
}
