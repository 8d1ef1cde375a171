//! Getting in: the token endpoint, the SOAP sign-in of clients that know a password, and sessions.

use base64::Engine;
use serde_json::json;

use crate::emulator::salesforce::rest::error;
use crate::emulator::salesforce::{INTEGRATION_USER, PERSON_USER, SalesforceEmulator};
use crate::emulator::{Asked, Caller, Reply, decode_pair};

/// The user of a live session.
pub(super) fn session(emulator: &SalesforceEmulator, asked: &Asked<'_>) -> Result<&'static str, Reply> {
    let now = emulator.now();
    let held = asked.bearer().and_then(|token| emulator.state().sessions.get(token).copied());
    match held {
        Some((caller, until)) if until > now => {
            Ok(if caller == Caller::Person { PERSON_USER } else { INTEGRATION_USER })
        }
        _ => Err(error("(unauthenticated)", 401, "INVALID_SESSION_ID", "Session expired or invalid")),
    }
}

fn open_session(emulator: &SalesforceEmulator, caller: Caller) -> String {
    let until = emulator.now().plus_millis(emulator.options.session_ms);
    let mut state = emulator.state();
    state.last_session += 1;
    let token = format!("{}!emulated.{}", &emulator.options.organization[..15], state.last_session);
    state.sessions.insert(token.clone(), (caller, until));
    token
}

pub(super) fn token(emulator: &SalesforceEmulator, asked: &Asked<'_>) -> Reply {
    let body = String::from_utf8_lossy(asked.body);
    let fields: Vec<(String, String)> = body.split('&').map(decode_pair).collect();
    let field = |name: &str| {
        fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let basic = asked.header("authorization").and_then(|value| value.strip_prefix("Basic ")).map(|text| {
        let decoded = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
        let text = String::from_utf8_lossy(&decoded).into_owned();
        text.split_once(':').map(|(id, secret)| (id.to_owned(), secret.to_owned())).unwrap_or_default()
    });
    let client = basic.unwrap_or_else(|| (field("client_id"), field("client_secret")));
    let own = &emulator.options;
    let refuse = |error: &str, description: &str| {
        Reply::json("oauth2/token", 400, &json!({ "error": error, "error_description": description }))
    };
    if client != (own.client.0.clone(), own.client.1.expose().to_owned()) {
        return refuse("invalid_client", "invalid client credentials");
    }
    let caller = match field("grant_type").as_str() {
        "client_credentials" => Caller::Integration,
        "password"
            if (field("username"), field("password"))
                == (own.person.0.clone(), own.person.1.expose().to_owned()) =>
        {
            Caller::Person
        }
        "password" => return refuse("invalid_grant", "authentication failure"),
        _ => return refuse("unsupported_grant_type", "grant type not supported"),
    };
    let user = if caller == Caller::Person { PERSON_USER } else { INTEGRATION_USER };
    let body = json!({
        "access_token": open_session(emulator, caller), "instance_url": own.instance_url, "token_type": "Bearer", "scope": "api id",
        "id": format!("https://login.salesforce.com/id/{}/{user}", own.organization),
        "issued_at": emulator.now().as_millis().to_string(), "signature": "emulated",
    });
    Reply::json("oauth2/token", 200, &body)
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    Some(rest.split_once(end)?.0)
}

/// The sign-in of clients that know a user name and a password.
pub(super) fn soap_login(emulator: &SalesforceEmulator, asked: &Asked<'_>) -> Reply {
    let body = String::from_utf8_lossy(asked.body);
    let part = |name: &str| {
        let raw = between(&body, &format!("{name}>"), "</").unwrap_or_default();
        quick_xml::escape::unescape(raw).unwrap_or_default().into_owned()
    };
    let own = &emulator.options;
    let envelope = |inner: &str| {
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns="urn:partner.soap.sforce.com"><soapenv:Body>{inner}</soapenv:Body></soapenv:Envelope>"#
        )
    };
    if (part("username"), part("password")) != (own.person.0.clone(), own.person.1.expose().to_owned()) {
        let fault = "<soapenv:Fault><faultcode>INVALID_LOGIN</faultcode><faultstring>INVALID_LOGIN: Invalid username, password, security token; or user locked out.</faultstring></soapenv:Fault>";
        return Reply {
            endpoint: "Soap/login",
            status: 500,
            headers: Vec::new(),
            body: envelope(fault).into_bytes(),
        };
    }
    let token = open_session(emulator, Caller::Person);
    let url = format!("{}/services/Soap/u/62.0/{}", own.instance_url, &own.organization[..15]);
    let result = format!(
        "<loginResponse><result><metadataServerUrl>{url}</metadataServerUrl><passwordExpired>false</passwordExpired><sandbox>false</sandbox><serverUrl>{url}</serverUrl><sessionId>{token}</sessionId><userId>{PERSON_USER}</userId><userInfo><organizationId>{}</organizationId><userId>{PERSON_USER}</userId><userName>{}</userName><sessionSecondsValid>7200</sessionSecondsValid></userInfo></result></loginResponse>",
        own.organization, own.person.0
    );
    Reply { endpoint: "Soap/login", status: 200, headers: Vec::new(), body: envelope(&result).into_bytes() }
}

pub(super) fn userinfo(emulator: &SalesforceEmulator, user: &str) -> Reply {
    let own = &emulator.options;
    let state = emulator.state();
    let part = |name: &str| state.tables["User"].get(user).map(|row| row.text(name)).unwrap_or_default();
    let body = json!({
        "sub": format!("https://login.salesforce.com/id/{}/{user}", own.organization), "user_id": user,
        "organization_id": own.organization, "preferred_username": part("Username"), "name": part("Name"), "email": part("Email"),
    });
    Reply::json("oauth2/userinfo", 200, &body)
}
