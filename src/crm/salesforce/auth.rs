//! Access to an organization: the client credentials flow, one refresh at a time.

use reqwest::Method;
use tokio::sync::Mutex;

use crate::crm::Error;
use crate::crm::salesforce::wire::{TokenAnswer, TokenError};
use crate::crm::transport::{Body, Call, Transport};
use crate::domain::{SalesforceId, Secret, System};

/// The app's own credentials; the user behind them is set on the app.
#[derive(Clone, Debug)]
pub struct ClientCredentials {
    /// The consumer key.
    pub client_id: Secret,
    /// The consumer secret.
    pub client_secret: Secret,
}

/// Where and as whom calls are made.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) token: Secret,
    pub(super) instance_url: String,
    pub(super) user_id: SalesforceId,
}

/// Keeps a session.
pub(super) struct Access {
    login_url: String,
    organization: SalesforceId,
    credentials: ClientCredentials,
    session: Mutex<Option<Session>>,
}

impl Access {
    pub(super) fn new(login_url: String, organization: SalesforceId, credentials: ClientCredentials) -> Self {
        Self { login_url, organization, credentials, session: Mutex::default() }
    }

    /// The present session, signing in if there is none.
    pub(super) async fn session(&self, transport: &Transport) -> Result<Session, Error> {
        let mut held = self.session.lock().await;
        if let Some(session) = &*held {
            return Ok(session.clone());
        }
        let session = self.sign_in(transport).await?;
        *held = Some(session.clone());
        Ok(session)
    }

    /// A session newer than `stale`. Callers that find the same session stale wait for one sign-in together.
    pub(super) async fn renewed(&self, transport: &Transport, stale: &Session) -> Result<Session, Error> {
        let mut held = self.session.lock().await;
        if let Some(session) = held.as_ref().filter(|session| session.token.expose() != stale.token.expose())
        {
            return Ok(session.clone());
        }
        *held = None;
        let session = self.sign_in(transport).await?;
        *held = Some(session.clone());
        Ok(session)
    }

    async fn sign_in(&self, transport: &Transport) -> Result<Session, Error> {
        let fields = vec![
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", self.credentials.client_id.expose().to_owned()),
            ("client_secret", self.credentials.client_secret.expose().to_owned()),
        ];
        let call = Call {
            system: System::Salesforce,
            endpoint: "oauth2/token",
            method: Method::POST,
            url: format!("{}/services/oauth2/token", self.login_url),
            token: None,
            headers: Vec::new(),
            body: Body::Form(fields),
        };
        let answer = transport.send(call).await?;
        match answer.status {
            200 => self.session_from(&answer.body),
            400 | 401 | 403 => {
                let error: TokenError = serde_json::from_slice(&answer.body).unwrap_or_default();
                Err(Error::Unauthorized {
                    reason: format!("{} {}", error.error, error.error_description).trim().to_owned(),
                })
            }
            status => {
                Err(Error::Unavailable { status: status.to_string(), retry_after_ms: None, source: None })
            }
        }
    }

    fn session_from(&self, body: &[u8]) -> Result<Session, Error> {
        let unreadable = |_| Error::Unexpected { text: "a token answer of unexpected shape".to_owned() };
        let answer: TokenAnswer = serde_json::from_slice(body).map_err(unreadable)?;
        let mut ids = answer.id.rsplit('/');
        let user_id = ids.next().and_then(|id| SalesforceId::parse(id).ok());
        let organization = ids.next().and_then(|id| SalesforceId::parse_organization(id).ok());
        let (Some(user_id), Some(organization)) = (user_id, organization) else {
            return Err(Error::Unexpected {
                text: "a token answer that does not say whose it is".to_owned(),
            });
        };
        if organization.short() != self.organization.short() {
            let reason = format!(
                "the credentials belong to organization {organization}, not to {}",
                self.organization
            );
            return Err(Error::Unauthorized { reason });
        }
        Ok(Session { token: Secret::new(answer.access_token), instance_url: answer.instance_url, user_id })
    }
}
