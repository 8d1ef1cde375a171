//! `hubforce demo`: both emulators, the service on a temporary file, and a scenario that a person can follow.
//!
//! Every step compares what both CRMs really hold. Everything goes over HTTP on this machine, signed as the vendors sign.

mod accounts;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use comfy_table::Table;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use crate::cli::emulate::{self, Emulated};
use crate::cli::{DONE, FAILED, Outside, assemble, say};
use crate::config::Config;
use crate::domain::{Clock, SystemClock};
use crate::emulator::{Caller, Control, Fault};
use crate::http;
use crate::shutdown::Shutdown;

/// What `demo` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Plays the scenario, checks its outcome and ends.
    #[arg(long)]
    once: bool,
}

/// How long a step may take. Agreement is a matter of milliseconds here; the failing CRM of the last step costs a few seconds.
const STEP_PATIENCE: Duration = Duration::from_secs(20);

/// How often a step looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long a stop may take.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<u8> {
    let shutdown = Shutdown::default();
    let signals = tokio::spawn(shutdown.clone().on_signal());
    let directory = tempfile::tempdir().context("no temporary directory can be made")?;
    let demo = start(&shutdown, directory.path()).await?;
    let passed = play(&demo).await;
    if arguments.once {
        shutdown.stop.cancel();
    } else {
        demo.say_where_to_look();
    }
    signals.await??;
    shutdown.finish(STOP_PATIENCE).await;
    Ok(if passed { DONE } else { FAILED })
}

/// A running demo.
pub struct Demo {
    emulated: Emulated,
    address: String,
    token: String,
}

async fn bind(preferred: &str) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(preferred).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind("127.0.0.1:0").await.context("no port is free on this machine"),
    }
}

async fn start(shutdown: &Shutdown, directory: &std::path::Path) -> anyhow::Result<Demo> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let emulated =
        emulate::start((bind("127.0.0.1:9101").await?, bind("127.0.0.1:9102").await?), &clock, shutdown)?;
    accounts::add_owner(&emulated);
    let listener = bind("127.0.0.1:8080").await?;
    let address = listener.local_addr()?.to_string();
    let [secret, path_token, token] = [(); 3].map(|()| Uuid::now_v7().simple().to_string());
    let config = Config::parse(&format!(
        r#"
        [server]
        public_url = "http://{address}"
        [database]
        url = "sqlite://{}/demo.db"
        [admin]
        tokens = [{{ name = "demo", token = "{token}", role = "operator" }}]
        [[connections]]
        name = "demo"
        [connections.hubspot]
        portal_id = 1234567
        app_id = 998877
        client_secrets = ["{secret}"]
        api_url = "{}"
        auth = {{ type = "access_token", access_token = "pat-integration" }}
        [connections.salesforce]
        org_id = "00D000000000001"
        login_url = "{}"
        path_tokens = ["{path_token}"]
        auth = {{ type = "client_credentials", client_id = "integration-client", client_secret = "integration-secret" }}
        [connections.sync.companies]
        enabled = true
        [connections.sync.deals]
        enabled = true
        [connections.sync.lifecycle]
        opportunity_transitions = true
        "#,
        directory.display(),
        emulated.hubspot_url,
        emulated.salesforce_url
    ))?;
    let metrics = crate::telemetry::count().context("metrics cannot be counted")?;
    let outside = Outside { clock, metrics, shutdown: shutdown.clone() };
    let assembled = assemble(&config, &outside).await?;
    shutdown.tasks.spawn(Arc::clone(&assembled.worker).run(shutdown.stop.clone()));
    let (router, stop) = (http::router(assembled.state), shutdown.stop.clone());
    shutdown.tasks.spawn(async move {
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
        {
            tracing::warn!(%error, "The listener failed");
        }
    });
    emulated.hubspot.deliver_to(&format!("http://{address}/webhooks/hubspot"), &secret);
    emulated.salesforce.deliver_to(&format!("http://{address}/webhooks/salesforce/{path_token}"));
    Ok(Demo { emulated, address, token })
}

/// One step's outcome.
struct Outcome {
    step: &'static str,
    passed: bool,
    calls: u64,
}

/// Plays the scenario; returns whether every step came out as it should.
pub async fn play(demo: &Demo) -> bool {
    let mut outcomes = Vec::new();
    say("hubforce demo: two emulated CRMs, one service, ten steps\n");
    let (contact, lead) = demo.born_in_hubspot(&mut outcomes).await;
    demo.sales_edits(contact, &lead, &mut outcomes).await;
    demo.born_in_salesforce(&mut outcomes).await;
    demo.both_edit(contact, &lead, &mut outcomes).await;
    demo.echo(contact, &lead, &mut outcomes).await;
    demo.forged(&mut outcomes).await;
    demo.failing_crm(&mut outcomes).await;
    let account = demo.company(&mut outcomes).await;
    demo.deal_won(&account, &mut outcomes).await;
    demo.owner(contact, &lead, &mut outcomes).await;
    let mut table = Table::new();
    table.set_header(["step", "outcome", "calls to both CRMs"]);
    for outcome in &outcomes {
        table.add_row([
            outcome.step,
            if outcome.passed { "as it should be" } else { "NOT as it should be" },
            &outcome.calls.to_string(),
        ]);
    }
    say(format!("\n{table}"));
    outcomes.iter().all(|outcome| outcome.passed)
}

impl Demo {
    fn desks(&self) -> [&Control; 2] {
        [self.emulated.hubspot.control(), self.emulated.salesforce.control()]
    }

    fn calls(&self) -> u64 {
        self.desks().map(|desk| desk.total(Caller::Integration)).iter().sum()
    }

    /// Looks until the condition holds, or patience ends.
    async fn until(condition: impl Fn() -> bool) -> bool {
        let look = async {
            while !condition() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(STEP_PATIENCE, look).await.is_ok()
    }

    fn conclude(&self, step: &'static str, passed: bool, calls_before: u64, outcomes: &mut Vec<Outcome>) {
        let calls = self.calls() - calls_before;
        say(format!("  {} ({calls} calls)", if passed { "ok" } else { "FAILED" }));
        outcomes.push(Outcome { step, passed, calls });
    }

    fn lead(&self, lead: &str, field: &str) -> Option<String> {
        self.emulated.salesforce.field("Lead", lead, field)
    }

    fn lead_of(&self, address: &str) -> Vec<String> {
        let ids = self.emulated.salesforce.ids("Lead");
        ids.into_iter().filter(|id| self.lead(id, "Email").as_deref() == Some(address)).collect()
    }

    async fn born_in_hubspot(&self, outcomes: &mut Vec<Outcome>) -> (u64, String) {
        say("1. A contact is born in HubSpot: Ada Lovelace, London. It becomes a lead.");
        let before = self.calls();
        let properties = [
            ("email", "ada@example.com"),
            ("firstname", "Ada"),
            ("lastname", "Lovelace"),
            ("company", "Analytical Engines"),
            ("city", "London"),
        ];
        let contact = self.emulated.hubspot.create(&properties).unwrap_or_default();
        let there = Self::until(|| {
            let linked = self.emulated.hubspot.property(contact, "hubforce_salesforce_lead_id");
            linked.is_some() && linked == self.lead_of("ada@example.com").into_iter().next()
        });
        there.await;
        let lead = self.lead_of("ada@example.com").into_iter().next().unwrap_or_default();
        let expected = [
            ("FirstName", "Ada"),
            ("LastName", "Lovelace"),
            ("Company", "Analytical Engines"),
            ("City", "London"),
        ];
        let equal = expected.iter().all(|(field, value)| self.lead(&lead, field).as_deref() == Some(value));
        let keyed = self.lead(&lead, "Hubforce_HubSpot_Id__c") == Some(contact.to_string());
        self.conclude("a contact born in HubSpot becomes a lead", equal && keyed, before, outcomes);
        (contact, lead)
    }

    async fn sales_edits(&self, contact: u64, lead: &str, outcomes: &mut Vec<Outcome>) {
        say("2. Sales edits the lead: a telephone number and a title. HubSpot follows.");
        let before = self.calls();
        let edited = self
            .emulated
            .salesforce
            .update("Lead", lead, &[("Phone", "+44 20 1234"), ("Title", "Countess")])
            .is_ok();
        let property = |name| self.emulated.hubspot.property(contact, name);
        let followed = Self::until(|| {
            property("phone").as_deref() == Some("+44 20 1234")
                && property("jobtitle").as_deref() == Some("Countess")
        });
        let passed = followed.await && edited;
        self.conclude("sales edits the lead and HubSpot follows", passed, before, outcomes);
    }

    async fn born_in_salesforce(&self, outcomes: &mut Vec<Outcome>) {
        say("3. A contact is made in Salesforce: Grace Hopper. She appears in HubSpot.");
        let before = self.calls();
        let fields = [
            ("LastName", "Hopper"),
            ("FirstName", "Grace"),
            ("Email", "grace@example.com"),
            ("MailingCity", "Arlington"),
        ];
        let record = self.emulated.salesforce.create("Contact", &fields).unwrap_or_default();
        let hubspot = &self.emulated.hubspot;
        let twin = || {
            hubspot
                .ids()
                .into_iter()
                .find(|id| hubspot.property(*id, "email").as_deref() == Some("grace@example.com"))
        };
        let passed = Self::until(|| {
            twin().is_some_and(|id| {
                hubspot.property(id, "city").as_deref() == Some("Arlington")
                    && hubspot.property(id, "hubforce_salesforce_contact_id").as_deref() == Some(&record)
                    && self.emulated.salesforce.field("Contact", &record, "Hubforce_HubSpot_Id__c")
                        == Some(id.to_string())
            })
        });
        let passed = passed.await;
        self.conclude("a contact made in Salesforce appears in HubSpot", passed, before, outcomes);
    }

    async fn both_edit(&self, contact: u64, lead: &str, outcomes: &mut Vec<Outcome>) {
        say(
            "4. Both sides edit Ada at once: marketing her first name, sales her street. Neither edit is lost.",
        );
        let before = self.calls();
        let (hubspot, salesforce) = (&self.emulated.hubspot, &self.emulated.salesforce);
        let edited = hubspot.update(contact, &[("firstname", "Augusta Ada")]).is_ok()
            && salesforce.update("Lead", lead, &[("Street", "St James's Square 12")]).is_ok();
        let merged = Self::until(|| {
            let street = "St James's Square 12";
            self.lead(lead, "FirstName").as_deref() == Some("Augusta Ada")
                && hubspot.property(contact, "firstname").as_deref() == Some("Augusta Ada")
                && hubspot.property(contact, "address").as_deref() == Some(street)
                && self.lead(lead, "Street").as_deref() == Some(street)
        });
        let passed = merged.await && edited;
        self.conclude("both sides edit one record at once", passed, before, outcomes);
    }

    async fn echo(&self, contact: u64, lead: &str, outcomes: &mut Vec<Outcome>) {
        say(
            "5. Our own writes have come back as webhooks all along. They cause no write, and no call where they tell who they are.",
        );
        self.rested().await;
        let before = self.calls();
        let writes_before = self.writes();
        // One edit: what follows it is the write to the lead, and nothing else.
        let edited = self.emulated.hubspot.update(contact, &[("city", "Marylebone")]).is_ok();
        Self::until(|| self.lead(lead, "City").as_deref() == Some("Marylebone")).await;
        self.rested().await;
        let (calls, writes) = (self.calls() - before, self.writes() - writes_before);
        self.conclude("our own echo does nothing", edited && calls <= 3 && writes == 1, before, outcomes);
    }

    /// Waits until no message is under way and no call was made for a while.
    async fn rested(&self) {
        let mut calls = None;
        while calls != Some(self.calls()) {
            calls = Some(self.calls());
            Self::until(|| self.is_quiet()).await;
            tokio::time::sleep(LOOK_EVERY * 30).await;
        }
    }

    fn is_quiet(&self) -> bool {
        use crate::emulator::Vendor;
        self.emulated.hubspot.pending() + self.emulated.salesforce.pending() == 0
    }

    fn writes(&self) -> u64 {
        let endpoints = [
            "batch/create",
            "batch/update",
            "composite/sobjects/update",
            "composite/sobjects/upsert",
            "composite/sobjects/insert",
        ];
        self.desks()
            .iter()
            .map(|desk| endpoints.iter().map(|endpoint| desk.calls_to(endpoint)).sum::<u64>())
            .sum()
    }

    async fn forged(&self, outcomes: &mut Vec<Outcome>) {
        say("6. Somebody posts a forged webhook. It is refused, and nothing happens.");
        let before = self.calls();
        let body = r#"[{"subscriptionType":"contact.deletion","portalId":1234567,"occurredAt":1,"objectId":734931000001}]"#;
        let status = self.post("/webhooks/hubspot", body).await.unwrap_or_default();
        let passed = status == 401 && self.calls() == before;
        self.conclude("a forged webhook is refused", passed, before, outcomes);
    }

    /// Posts without a signature; returns the status.
    async fn post(&self, path: &str, body: &str) -> anyhow::Result<u16> {
        let mut stream = TcpStream::connect(&self.address).await?;
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {length}\r\nConnection: close\r\nX-HubSpot-Signature-v3: Zm9yZ2Vk\r\nX-HubSpot-Request-Timestamp: {}\r\n\r\n",
            self.address,
            SystemClock.now().as_millis()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default())
    }

    async fn failing_crm(&self, outcomes: &mut Vec<Outcome>) {
        say(
            "7. Salesforce fails: once it is unavailable, once it creates a lead and its answer is lost. There is one lead in the end.",
        );
        let before = self.calls();
        let fault = |status, applied_but_unanswered| Fault {
            method: Some("PATCH".to_owned()),
            path: "/composite/sobjects/Lead".to_owned(),
            skip: 0,
            times: 1,
            status,
            body: None,
            delay_ms: 0,
            applied_but_unanswered,
        };
        let desk = self.emulated.salesforce.control();
        desk.add_fault(fault(Some(503), false));
        desk.add_fault(fault(None, true));
        let made = self
            .emulated
            .hubspot
            .create(&[("email", "emmy@example.com"), ("lastname", "Noether")])
            .unwrap_or_default();
        let linked =
            Self::until(|| self.emulated.hubspot.property(made, "hubforce_salesforce_lead_id").is_some());
        let passed = linked.await && self.lead_of("emmy@example.com").len() == 1;
        self.conclude("the far CRM fails and recovers", passed, before, outcomes);
    }

    fn say_where_to_look(&self) {
        let Self { address, token, emulated } = self;
        say(format!(
            "\nLook around:\n  service     http://{address}/healthz\n  connections curl -H 'Authorization: Bearer {token}' http://{address}/v1/connections\n  audit       curl -H 'Authorization: Bearer {token}' http://{address}/v1/connections/demo/audit\n  HubSpot     {}/_control/state\n  Salesforce  {}/_control/state\nEdit something as a person:\n  curl -X PATCH -H 'Authorization: Bearer pat-person' -H 'Content-Type: application/json' -d '{{\"properties\":{{\"city\":\"Ockham\"}}}}' {}/crm/v3/objects/contacts/{}\nCtrl-C ends it.",
            emulated.hubspot_url,
            emulated.salesforce_url,
            emulated.hubspot_url,
            emulated.hubspot.ids().first().copied().unwrap_or_default()
        ));
    }
}
